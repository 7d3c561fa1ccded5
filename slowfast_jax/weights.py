"""Variables of a network: their shapes, a random start, and what a checkpoint holds."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from absl import logging
from ml_collections import ConfigDict

from convert import names, ports
from convert.load import fit, strip_names
from convert.readers import ForeignCheckpoint, read_checkpoint
from convert.trees import flatten
from convert.unpickle import CheckpointError
from slowfast_jax.config import ConfigError, build_model
from slowfast_jax.models import zoo
from slowfast_jax.training.checkpoint import load_checkpoint, load_metadata
from slowfast_jax.training.checkpoint_manager import latest_checkpoint

# Keywords in which a checkpoint and the network may differ: none changes what the parameters mean.
FREE_KEYWORDS = {
    "average", "drop_connect", "dropout", "dtype", "dtypes", "fc_init_std", "frozen_norm",
    "group_size", "head_pool", "remat", "zero_init_final_bn",
}


def variable_shapes(model: nn.Module) -> dict[str, Any]:
    """{"params": ..., "batch_stats": ...} of the network's shapes and types, nothing computed."""
    return jax.eval_shape(lambda: _init(model, 0))


def initial_variables(model: nn.Module, seed: int) -> dict[str, Any]:
    """A random start. Compiled, so that the network is not run for it."""
    # On a CPU compiling it well takes longer than running it badly.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(lambda: _init(model, seed), compiler_options=options)()


def _init(model: nn.Module, seed: int) -> dict[str, Any]:
    clip = jnp.zeros((1, model.num_frames, model.crop_size, model.crop_size, 3), jnp.uint8)
    boxes = None
    if getattr(model, "detection", False):
        boxes = jnp.array([[[0, 0, model.crop_size, model.crop_size]]], jnp.float32)
    return model.init(jax.random.key(seed), clip, boxes)


def read_weights(
    config: ConfigDict,
    shapes: Mapping,
    path: str | os.PathLike,
    *,
    skip: Sequence[str] = (),
    strip: Sequence[str] = (),
    init: Mapping | None = None,
) -> tuple[dict, list[str]]:
    """Variables from the checkpoint `path` for the config's network, and the class names stored
    beside them ([]: none).

    skip, strip, init: as `convert.load_variables` takes them.

    Raises:
      FileNotFoundError: where there is no such file or folder.
      ConfigError: where a checkpoint of our own says that it is of another model.
      convert.load.CheckpointMismatch: where the parameters differ.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"weights {path} do not exist")
    read = read_checkpoint_folder if path.is_dir() else read_checkpoint
    checkpoint = strip_names(read(path), strip)
    check_origin(path, checkpoint, config, skip)
    variables, report = fit(checkpoint, shapes, skip=skip, init=init, source=str(path))
    if report.skipped:
        logging.info("not from %s but at their start: %s", path, ", ".join(report.skipped))
    return variables, list(checkpoint.metadata.get("class_names", []))


def read_checkpoint_folder(path: str | os.PathLike) -> ForeignCheckpoint:
    """Reads a checkpoint folder that this project wrote, in the form that `convert.fit` takes.

    Args:
      path: the folder of one checkpoint, as `save_checkpoint` wrote it.

    Returns:
      A checkpoint of kind "orbax": parameter path -> array, and the saved metadata.

    Raises:
      FileNotFoundError: the folder does not exist.
      convert.CheckpointError: the folder is not a checkpoint of this project.
    """
    try:
        variables, metadata = load_checkpoint(path)
    except ValueError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error}") from error
    tensors = {name: leaf for (_, name), leaf in flatten(variables).items()}
    return ForeignCheckpoint("orbax", tensors, metadata)


def describe(config: ConfigDict, class_names: Sequence[str]) -> dict[str, Any]:
    """What a checkpoint stores beside its arrays, so that it cannot be run as something else."""
    return {
        "model": config.model.to_dict(),
        "class_names": list(class_names),
        "mean": list(config.protocol.mean),
        "std": list(config.protocol.std),
        "config": json.loads(config.to_json_best_effort()),
    }


def stored_config(folder: str | os.PathLike) -> tuple[ConfigDict, list[str]]:
    """The complete config that a folder was trained or converted with, its test.checkpoint being
    what is in there, and the class names.

    `folder`: of a run, whose last checkpoint it is, or of a checkpoint.

    Raises FileNotFoundError or ValueError where there is no checkpoint, ConfigError where it does
    not hold its config.
    """
    path = latest_checkpoint(folder) or folder
    metadata = load_metadata(path)
    if "config" not in metadata:
        raise ConfigError(f"checkpoint {path} does not say its config: name the recipe")
    config = ConfigDict(_with_tuples(metadata["config"]))
    config.test.checkpoint = os.fspath(path)
    return config.lock(), list(metadata["class_names"])


def _with_tuples(value: Any) -> Any:
    """What JSON has made lists of."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def check_origin(
    path: str | Path, checkpoint: ForeignCheckpoint, config: ConfigDict, skip: Sequence[str]
) -> None:
    """ConfigError where a checkpoint of our own says that it is of another model than the config's,
    and where another program's networks compute something else than it with the same parameters.
    (With `skip`, training goes on from there: then that is a warning.)
    """
    if checkpoint.kind != "orbax":
        problem = _check_program(path, checkpoint, config)
        if problem and not skip:
            raise ConfigError(problem)
        if problem:
            logging.warning("%s", problem)
        return
    metadata = checkpoint.metadata
    stored = dict(metadata.get("model", {}))
    wanted = json.loads(json.dumps(config.model.to_dict()))  # tuples as JSON gives them back
    free = FREE_KEYWORDS | ({"num_classes"} if skip else set())
    keywords = [
        f"{key} is {stored[key]!r} in the checkpoint and {wanted[key]!r} in the config"
        for key in stored
        if key in wanted and key not in free and stored[key] != wanted[key]
    ]
    inputs = [
        f"{key} is {metadata[key]} in the checkpoint and {list(config.protocol[key])} in the config"
        for key in ("mean", "std")
        if key in metadata and list(metadata[key]) != list(config.protocol[key])
    ]
    if keywords and skip and not inputs:
        logging.warning("%s is not of %s's network: %s", path, config.name, "; ".join(keywords))
    elif keywords or inputs:
        raise ConfigError(
            f"checkpoint {path} does not belong to {config.name}: " + "; ".join(keywords + inputs)
            + ". Choose the config it was saved with, or set these (a list of class names sets "
            "num_classes)"
        )


def _check_program(path: str | Path, checkpoint: ForeignCheckpoint, config: ConfigDict) -> str:
    """What the config's network lacks to compute what the file's program does; "" for nothing."""
    scheme = names.scheme_of(checkpoint.tensors)
    needed = ports.keywords(checkpoint.tensors, scheme)
    model = build_model(config)
    different = {k: v for k, v in needed.items() if getattr(model, k, None) != v}
    if not different:
        return ""
    known = {name: zoo.create(name) for name in zoo.ZOO}
    wanted = needed | {"detection": getattr(model, "detection", False)}
    takes = [
        name for name, other in known.items()
        if type(other) is type(model)
        and all(getattr(other, k, None) == v for k, v in wanted.items())
    ]
    listed = ", ".join(
        f"{key}={value!r} (the config has {getattr(model, key, None)!r})"
        for key, value in different.items()
    )
    return (
        f"{path} has the names of {scheme}, whose networks compute something else than "
        f"{config.name} with the same parameters: for the same numbers they need {listed}. Set "
        f"these keywords, or choose a model that has them ({', '.join(takes) or 'none yet'})"
    )
