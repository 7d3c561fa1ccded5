"""The variables of a network: their shapes, initial values, and values from checkpoints."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from absl import logging
from ml_collections import ConfigDict

from convert import names
from convert.load import CheckpointMismatch, fit, patterns_of, strip_names, texts_of
from convert.names import ports
from convert.program_settings import box_head_keywords, clip_settings, unsupported_settings
from convert.readers import ForeignCheckpoint, describe_source
from convert.trees import flatten, not_finite
from convert.unpickle import CheckpointError
from data_pipelines.text_files import counted, first_few
from slowfast_jax.config import ConfigError, build_model
from slowfast_jax.models import zoo
from slowfast_jax.models.parameters import only_shapes
from slowfast_jax.ops.backend import PLAIN_BACKEND, written_for
from slowfast_jax.published.hub import local_path
from slowfast_jax.weights.folders import (
    describe,
    find_checkpoint,
    read_any,
    read_checkpoint_folder,
    stored_config,
)

__all__ = [
    "RANDOM", "check_origin", "describe", "find_checkpoint", "initial_variables", "read_any",
    "read_checkpoint_folder", "read_weights", "stored_config", "variable_shapes",
]
RANDOM = "random"  # in place of a checkpoint: an untrained network is wanted
# Keywords that may differ between a checkpoint and the network: none of them changes what the
# parameters mean.
FREE_KEYWORDS = {
    "average", "decay_positions", "drop_connect", "drop_path", "dropout", "dtype", "dtypes",
    "fc_init_std", "frozen_norm", "group_size", "head_init_scale", "head_pool", "norm_splits",
    "rel_pos_zero_init", "remat", "zero_init_final_bn",
}
# Fields of the protocol that a network has no parameters for.
CLIPS = {
    "num_frames": "frames", "sampling_rate": "frames from one to the next", "train_crop": "pixels"
}


def variable_shapes(model: nn.Module) -> dict[str, Any]:
    """Shapes and dtypes of the network's variables {"params": ..., "batch_stats": ...}.

    Nothing is computed. Raises ConfigError if the fields of the model do not make a network.
    """
    try:
        # PLAIN_BACKEND is traced fastest; all backends have the same variables.
        with written_for(PLAIN_BACKEND), only_shapes():
            return jax.eval_shape(lambda: _init(model, 0))
    except Exception as error:  # of flax, jax or the network, whichever finds it first
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConfigError(
            f"config.model and config.protocol do not make a network: {reason}"
        ) from error


def initial_variables(model: nn.Module, seed: int) -> dict[str, Any]:
    """Randomly initialized variables of the network.

    The initialization is compiled, so that the forward pass is optimized away.
    """
    # On a CPU, optimizing this function takes longer than running it unoptimized.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    with written_for(PLAIN_BACKEND):
        return jax.jit(lambda: _init(model, seed), compiler_options=options)()


def _init(model: nn.Module, seed: int) -> dict[str, Any]:
    clip = jnp.zeros((1, model.num_frames, model.crop_size, model.crop_size, 3), jnp.uint8)
    boxes = None
    if model.detection:
        boxes = jnp.array([[[0, 0, model.crop_size, model.crop_size]]], jnp.float32)
    return model.init(jax.random.key(seed), clip, boxes)


def read_weights(
    config: ConfigDict,
    shapes: Mapping,
    path: str | os.PathLike,
    *,
    skip: str | Sequence[str] = (),
    strip: str | Sequence[str] = (),
    entry: str = "",
    init: Mapping | None = None,
    new_classes: bool = False,
    adapt: str = "",
    quiet: bool = False,
) -> tuple[dict, list[str]]:
    """Reads the weights of the config's network from a checkpoint.

    Args:
      config: names the network.
      shapes: shapes of its variables, see `variable_shapes`.
      path: a run folder, of which the last checkpoint is read, a checkpoint folder of this project,
        a checkpoint file of any supported program, or an address on the hub.
      skip, strip, entry, init: see `convert.load_variables`.
      new_classes: for fine-tuning. If nothing but the number of classes differs, the classifier is
        taken from `init`, with a log line.
      adapt: rules for weights of networks of other clips or of images, see
        `convert.training.adapt`.
      quiet: writes no log lines, for a check.

    Returns:
      The variables, and the class names stored with them, [] if the checkpoint has no names.

    Raises:
      FileNotFoundError: `path` does not exist.
      ConfigError: the checkpoint belongs to another network, see `check_origin`.
      convert.CheckpointError: the checkpoint cannot be read, or has values that are not finite.
      convert.CheckpointMismatch: the parameters differ.
      ValueError: `skip` has something that is no regular expression.
    """
    path = Path(local_path(path))
    if not path.exists():
        raise FileNotFoundError(f"weights {path}: no such file or folder")
    patterns_of(skip)
    skip = texts_of(skip)
    log = logging.debug if quiet else logging.info
    checkpoint = strip_names(read_any(path, entry), strip)
    for line in describe_source(checkpoint) if not checkpoint.own else ():
        log("%s: %s", path, line)
    replaced = []
    if new_classes:
        replaced = _classifier_of_other_classes(path, checkpoint, shapes, skip, adapt, log)
    check_origin(path, checkpoint, config, (*skip, *replaced))
    if not quiet:
        _warn_of_other_clips(path, checkpoint, config)
    variables, report = fit(
        checkpoint, shapes, skip=(*skip, *replaced), init=init, adapt=adapt, source=str(path)
    )
    for how, count in Counter(report.derived.values()).items() if adapt else ():
        log("%s: parameters %s: %d", path, how, count)
    if bad := not_finite(variables):
        raise CheckpointError(
            f"{path}: {len(bad)} of {len(flatten(shapes))} parameters have values that are NaN or "
            f"infinite: {first_few(bad, 3)}; the training that wrote them probably diverged: use "
            "an earlier checkpoint"
        )
    beside = [name for name, reason in report.ignored.items() if reason.startswith("beside")]
    if beside:
        log("%s: not used, because beside the network: %s (%s)", path,
            counted(len(beside), "tensor"), first_few(beside, 5))
    initialized = [name for name in report.skipped if re.escape(name) not in replaced]
    if initialized:
        log("initialized, not loaded from %s: %s", path, ", ".join(initialized))
    return variables, list(checkpoint.metadata.get("class_names", []))


def _warn_of_other_clips(
    path: Path, checkpoint: ForeignCheckpoint, config: ConfigDict
) -> None:
    """Logs a warning if a checkpoint states that it was trained on other clips.

    Networks that differ only in their clips have the same parameters, such as X3D-XS, -S and -M.
    """
    origin, theirs = _stated_clips(checkpoint)
    ours = config.protocol
    different = [
        f"{theirs[field]} {unit} (here {ours[field]})"
        for field, unit in CLIPS.items() if theirs.get(field, ours[field]) != ours[field]
    ]
    if different:
        logging.warning(
            "%s%s was trained on other clips than those of %s: %s; the weights fit, but another "
            "config probably suits them better", path, origin and f" ({origin})", config.name,
            ", ".join(different),
        )


def _stated_clips(checkpoint: ForeignCheckpoint) -> tuple[str, Mapping[str, Any]]:
    """The name and the protocol of the config in a checkpoint, as far as it has them."""
    metadata = checkpoint.metadata
    if checkpoint.own:
        stored = metadata.get("config", {})
        return stored.get("name", ""), stored.get("protocol", {})
    text = metadata.get("cfg")
    return "", clip_settings(text) if isinstance(text, str) else {}


def _classifier_of_other_classes(
    path: Path, checkpoint: ForeignCheckpoint, shapes: Mapping, skip: Sequence[str], adapt: str,
    log: Callable[..., None],
) -> list[str]:
    """Patterns of the classifier's parameters if only their number of classes differs, else none.
    """
    try:
        fit(checkpoint, shapes, skip=skip, adapt=adapt, source=str(path))
    except CheckpointMismatch as error:
        if error.classes:
            ours, theirs = error.classes
            log(
                "classifier: %d classes in %s, %d here: it is initialized randomly",
                theirs, path, ours,
            )
            return list(map(re.escape, error.reshaped))
    return []


def check_origin(
    path: str | Path, checkpoint: ForeignCheckpoint, config: ConfigDict, skip: Sequence[str]
) -> None:
    """Checks that a checkpoint belongs to the config's network.

    A checkpoint of this project stores the keywords of its network, which must be the config's. For
    a checkpoint of another program, the config's network must compute what that program computes
    with the same parameters.

    Args:
      path: the checkpoint, for messages.
      checkpoint: its content.
      config: names the network.
      skip: if not empty, the network is to be fine-tuned, and a difference is only a warning.

    Raises:
      ConfigError: the network or its input normalization differs.
    """
    if not checkpoint.own:
        problem = _check_program(path, checkpoint, config)
        if problem and not skip:
            raise ConfigError(problem)
        if problem:
            logging.warning("%s", problem)
        return
    metadata = checkpoint.metadata
    stored = dict(metadata.get("model", {}))
    wanted = json.loads(json.dumps(config.model.to_dict()))  # tuples become lists, as in `stored`
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
        logging.warning(
            "checkpoint %s is of another network than %s: %s",
            path, config.name, "; ".join(keywords),
        )
    elif keywords or inputs:
        raise ConfigError(
            f"checkpoint {path} does not belong to {config.name}: " + "; ".join(keywords + inputs)
            + ". Choose the config that it was saved with, or set these values (class names set "
            "num_classes)"
        )


def _check_program(path: str | Path, checkpoint: ForeignCheckpoint, config: ConfigDict) -> str:
    """How the config's network differs from that of the file's program; "" if it does not."""
    scheme = names.scheme_of(checkpoint.tensors)
    program_config = checkpoint.metadata.get("program_config", "")
    settings = unsupported_settings(program_config)
    if scheme == "MMAction2" and settings:
        return (
            f"{path} was trained by MMAction2 with settings that this project does not have, so "
            f"its results would differ: {'; '.join(settings)}"
        )
    needed = ports.required_keywords(checkpoint.tensors, scheme)
    if scheme == "MMAction2":
        needed |= box_head_keywords(program_config)
    model = build_model(config)
    different = {k: v for k, v in needed.items() if getattr(model, k, None) != v}
    if not different:
        return ""
    known = {name: zoo.create(name) for name in zoo.ZOO}
    wanted = needed | {"detection": model.detection}
    suitable = [
        name for name, other in known.items()
        if type(other) is type(model)
        and all(getattr(other, k, None) == v for k, v in wanted.items())
    ]
    listed = ", ".join(
        f"{key}={value!r} (the config has {getattr(model, key, None)!r})"
        for key, value in different.items()
    )
    return (
        f"{path} has {scheme} names. With the same parameters, {scheme}'s networks compute "
        f"different results than {config.name}: to get the same results, set {listed}, or choose a "
        f"model that has these values ({', '.join(suitable) or 'none in the zoo'})"
    )
