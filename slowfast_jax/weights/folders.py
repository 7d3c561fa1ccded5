"""Checkpoints of this project: which folder is one, what it holds, and what describes it.

A checkpoint is a folder that training or the convert command wrote: in Orbax's format
(slowfast_jax/training/checkpoint.py), or with model.safetensors and config.json
(slowfast_jax/weights/safetensors_folder.py).
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from convert.formats.sharded import index_in
from convert.names import scheme_of, without_shared_prefix
from convert.readers import ForeignCheckpoint, read_checkpoint
from convert.trees import flatten
from convert.unpickle import CheckpointError
from data_pipelines.labels import unnamed
from slowfast_jax.config import ConfigError, check_values, restore_config
from slowfast_jax.published.cached_weights import identify
from slowfast_jax.published.hub import address_of, local_path
from slowfast_jax.training.checkpoint import (
    FOLDER,
    is_checkpoint,
    latest_checkpoint,
    load_checkpoint,
    load_metadata,
    save_checkpoint,
)
from slowfast_jax.weights.description import check_description
from slowfast_jax.weights.safetensors_folder import (
    is_safetensors_folder,
    own_tensors,
    read_description,
    read_safetensors_folder,
    save_safetensors_folder,
    source_of,
)


def read_any(path: str | os.PathLike, entry: str = "") -> ForeignCheckpoint:
    """Reads a checkpoint file of any supported program, or a run or checkpoint folder of this one.

    Args:
      path: the file or folder.
      entry: see `convert.read_checkpoint`.

    Raises:
      See `convert.read_checkpoint` and `read_checkpoint_folder`.
    """
    path = Path(local_path(path))
    if not path.is_dir():
        return own_tensors(read_checkpoint(path, entry))
    index = index_in(path)
    if index and not is_safetensors_folder(path):
        return read_checkpoint(index, entry)
    if entry:
        raise CheckpointError(
            f"{path} is a checkpoint of this project, which has no entries to choose from, so no "
            f"entry {entry!r}"
        )
    return read_checkpoint_folder(path)


def find_checkpoint(path: str | os.PathLike) -> Path:
    """The last checkpoint of a run, if `path` is a run's folder; any other path is returned as is,
    and what an address on the hub is of as a path in its cache folder.

    Raises:
      convert.CheckpointError: the run has no complete checkpoint.
    """
    path = Path(local_path(path))
    run = path.parent if path.name == FOLDER else path
    if is_checkpoint(path) or not (run / FOLDER).is_dir():
        return path
    last = latest_checkpoint(run)
    if last is None:
        raise CheckpointError(f"the run {run} has no complete checkpoint yet")
    logging.info("%s: the last checkpoint of the run is %s", run, last)
    return last


def read_checkpoint_folder(path: str | os.PathLike) -> ForeignCheckpoint:
    """Reads a checkpoint folder that this project wrote, in the form that `convert.fit` takes.

    Args:
      path: the folder of a run, of which the last checkpoint is read, or of one checkpoint.

    Returns:
      A checkpoint of one of the OWN_KINDS: parameter path -> array, and the saved metadata.

    Raises:
      FileNotFoundError: the folder does not exist.
      convert.CheckpointError: the folder is neither a run nor a checkpoint of this project, or
        its metadata are damaged.
    """
    path = find_checkpoint(path)
    if is_safetensors_folder(path):
        return read_safetensors_folder(path)
    try:
        variables, metadata = load_checkpoint(path)
    except ValueError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error}") from error
    check_description(metadata, path)
    tensors = {name: leaf for (_, name), leaf in flatten(variables).items()}
    return ForeignCheckpoint("orbax", tensors, metadata)


def write_folder(
    path: str | os.PathLike, kind: str, variables: Mapping, metadata: Mapping[str, Any],
    overwrite: bool,
) -> None:
    """Writes a checkpoint of this project atomically.

    Args:
      path: the folder.
      kind: "orbax"; "safetensors"; or "hub-folder", which is "safetensors" with a model card.
      variables: {"params": tree[, "batch_stats": tree]} of arrays.
      metadata: see `describe`.
      overwrite: replace the folder if it exists.

    Raises:
      FileExistsError: `path` exists and `overwrite` is false.
    """
    if kind == "orbax":
        kept = {name: value for name, value in metadata.items() if name != "tested"}
        save_checkpoint(path, variables, kept, overwrite=overwrite)
    else:
        save_safetensors_folder(
            path, variables, metadata, overwrite=overwrite, card=kind == "hub-folder"
        )


def recorded_test(path: str | os.PathLike) -> dict[str, Any]:
    """{"tested": {"metrics", "fingerprint"}} of a run's last test; {} if it was not of this
    checkpoint.

    Args:
      path: the folder of a run, of which the last checkpoint is meant, or of one checkpoint.
    """
    checkpoint = find_checkpoint(path).absolute()
    file = checkpoint.parent.parent / "results.json"
    if is_safetensors_folder(checkpoint):
        tested = read_description(checkpoint).get("tested")
        return {"tested": tested} if tested else {}
    if checkpoint.parent.name != FOLDER or not file.is_file():
        return {}
    results = json.loads(file.read_text(encoding="utf-8"))
    fingerprint = dict(results["fingerprint"])
    if Path(fingerprint["weights"]).absolute() != checkpoint:
        return {}
    for field in ("list", "weights"):  # without the folders of this machine
        fingerprint[field] = Path(fingerprint[field]).name
    metrics = {
        name: value for name, value in results["metrics"].items()
        if not name.startswith("per_class") and isinstance(value, float)
    }
    return {"tested": {"metrics": metrics, "fingerprint": fingerprint}}


def origin_of(path: str | os.PathLike, checkpoint: ForeignCheckpoint) -> dict[str, Any]:
    """Where weights come from, for the metadata of another checkpoint of them.

    Args:
      path: the checkpoint.
      checkpoint: its content.
    """
    name = address_of(path) or Path(path).name
    if checkpoint.own:
        return {"file": name, "format": checkpoint.kind} | source_of(checkpoint.metadata)
    kept = {
        name: value
        for name, value in checkpoint.metadata.items()
        if (name, type(value)) in (("cfg", str), ("epoch", int))
    }
    program = scheme_of(without_shared_prefix(checkpoint.tensors)[1].values())
    row = identify(Path(path))
    return kept | {"file": name, "format": checkpoint.kind, "program": program} | (
        {"published": row.name} if row else {}
    )


def describe(config: ConfigDict, class_names: Sequence[str]) -> dict[str, Any]:
    """The metadata to save with a checkpoint, so that it cannot be loaded as another network.

    Classes without names are called "class 0", "class 1" and so on.
    """
    return {
        "model": config.model.to_dict(),
        "class_names": list(class_names) or unnamed(config.model.get("num_classes", 0)),
        "mean": list(config.protocol.mean),
        "std": list(config.protocol.std),
        "config": json.loads(config.to_json_best_effort()),
    }


def stored_config(folder: str | os.PathLike) -> tuple[ConfigDict, list[str]]:
    """The config and class names that are stored in a checkpoint.

    Args:
      folder: a run folder, of which the last checkpoint is used, or a checkpoint folder.

    Returns:
      The complete config of the training or conversion, with test.checkpoint set to the checkpoint,
      and the class names ("class 0", ... if the checkpoint has none).

    Raises:
      FileNotFoundError: the folder does not exist.
      convert.CheckpointError: the run has no complete checkpoint, or what it stores is damaged.
      ValueError: the folder is not a checkpoint.
      ConfigError: the checkpoint does not store its config.
    """
    path = find_checkpoint(folder)
    if path.is_dir() and index_in(path) and not is_safetensors_folder(path):
        raise ConfigError(
            f"{path} has weights of another program, which do not store a config; name the recipe "
            "or zoo entry of their network"
        )
    if is_safetensors_folder(path):
        metadata = read_description(path)
    else:
        metadata = load_metadata(path)
        check_description(metadata, path)
    if "config" not in metadata:
        raise ConfigError(
            f"checkpoint {path} does not store the config that it was trained with; name its "
            "recipe or zoo entry"
        )
    try:
        config = restore_config(ConfigDict(_with_tuples(metadata["config"])))
        check_values(config)
    except (ConfigError, RecursionError) as error:
        raise CheckpointError(f"the config stored in {path}: {error}") from error
    config.test.checkpoint = os.fspath(path)
    names = list(metadata.get("class_names", ())) or unnamed(config.model.get("num_classes", 0))
    return config, names


def _with_tuples(value: Any) -> Any:
    """Restores tuples, which JSON stores as lists."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
