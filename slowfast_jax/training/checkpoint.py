"""Self-describing checkpoints: arrays, with the metadata needed to run the model.

A checkpoint is an Orbax directory with one item for each variable collection (params, batch_stats)
and a JSON item `metadata`: model name and keywords, class names, input normalization, config.

Orbax takes long to import, and many commands only look for a checkpoint, so it is imported where it
reads or writes one.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np

FOLDER = "checkpoints"  # of a run, with a checkpoint named after each saved step
COLLECTIONS = ("params", "batch_stats")
AVERAGE = "average"  # item of a training run that keeps the moving average of its parameters
METADATA = "metadata"


def save_checkpoint(
    directory: str | Path, variables: Mapping, metadata: Mapping, *, overwrite: bool = False
) -> None:
    """Writes a checkpoint to `directory` atomically: the folder appears when it is complete.

    If the call is interrupted, nothing is left behind, and a folder to be overwritten stays as it
    was.

    variables: {"params": tree[, "batch_stats": tree]} of arrays, on any device; empty collections
    are left out. metadata: anything JSON holds; tuples come back as lists.

    Raises FileExistsError if `directory` exists and `overwrite` is false, ValueError for
    collections that are not arrays of a model and for metadata that JSON cannot hold.
    """
    import orbax.checkpoint as ocp

    directory = Path(directory).absolute()
    unknown = set(variables) - set(COLLECTIONS)
    if unknown or not variables.get("params"):
        raise ValueError(
            f"variables to save have the collections {sorted(variables)}; expected params and, "
            "where the model has batch norms, batch_stats"
        )
    try:
        json.dumps(metadata)
    except TypeError as error:
        raise ValueError(
            f"checkpoint metadata must be JSON: {error}. Pass strings, numbers, lists and dicts"
        ) from error
    items = {name: ocp.args.StandardSave(tree) for name, tree in variables.items() if tree}
    items[METADATA] = ocp.args.JsonSave(dict(metadata))
    with (
        whole_folder(directory, overwrite=overwrite) as complete,
        ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer,
    ):
        checkpointer.save(complete, args=ocp.args.Composite(**items))


@contextmanager
def whole_folder(directory: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yields a path for a folder, which becomes `directory` when the block succeeds.

    If the block fails, nothing is left behind, and a folder to be overwritten stays as it was.

    Raises FileExistsError if `directory` exists and `overwrite` is false.
    """
    directory = directory.absolute()
    if directory.exists() and not overwrite:
        raise FileExistsError(
            f"{directory} exists already; choose another folder, or pass overwrite=True"
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{directory.name}.", dir=directory.parent, ignore_cleanup_errors=True
    ) as folder:
        complete, replaced = Path(folder, "complete"), Path(folder, "replaced")
        yield complete
        try:
            if directory.exists():
                directory.rename(replaced)
            complete.rename(directory)
        except BaseException:
            if replaced.exists():
                replaced.rename(directory)
            raise


def load_checkpoint(directory: str | Path) -> tuple[dict, dict]:
    """(variables, metadata) of a checkpoint, with NumPy arrays.

    If a training run keeps averaged parameters, those are returned.

    Raises FileNotFoundError if `directory` does not exist and ValueError if it is not a checkpoint
    of this project.
    """
    import orbax.checkpoint as ocp

    directory = _existing(directory)
    handler = ocp.StandardCheckpointHandler()
    items = {METADATA: ocp.args.JsonRestore()}
    averaged = (directory / AVERAGE).is_dir()
    for name in (AVERAGE if averaged else "params", "batch_stats"):
        if (directory / name).is_dir():
            tree = handler.metadata(directory / name)
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), dict(tree))
            items[name] = ocp.args.PyTreeRestore(restore_args=as_numpy)
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        restored = checkpointer.restore(directory, args=ocp.args.Composite(**items))
    arrays = {name: restored[name] for name in items if name != METADATA}
    if averaged:
        arrays["params"] = arrays.pop(AVERAGE)
    return arrays, restored[METADATA]


def load_metadata(directory: str | Path) -> dict:
    """The metadata of a checkpoint, without reading its arrays. Raises like `load_checkpoint`."""
    import orbax.checkpoint as ocp

    directory = _existing(directory)
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        items = {METADATA: ocp.args.JsonRestore()}
        return checkpointer.restore(directory, args=ocp.args.Composite(**items))[METADATA]


def _existing(directory: str | Path) -> Path:
    directory = Path(directory).absolute()
    if not directory.exists():
        raise FileNotFoundError(f"checkpoint directory {directory} does not exist")
    if not is_checkpoint(directory):
        inside = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
        steps = [name for name in inside if is_checkpoint(directory / name)]
        found = f"it contains {', '.join(inside[:5]) or 'nothing'}"
        found = "a file" if directory.is_file() else found
        advice = "Pass a folder that training or `python -m convert` wrote"
        if steps:
            advice = f"Did you mean {directory / steps[-1]}?"
        raise ValueError(
            f"{directory} is not a checkpoint of this project: {found}; expected the folders "
            f"params and {METADATA}, or the files model.safetensors and config.json. {advice}"
        )
    return directory


def is_checkpoint(directory: str | Path) -> bool:
    """Whether `directory` is a complete checkpoint of this project."""
    directory = Path(directory)
    return (directory / "params").is_dir() and (directory / METADATA).is_dir()


def latest_checkpoint(workdir: str | Path) -> Path | None:
    """Folder of the last complete checkpoint of a run, or None."""
    folder = Path(workdir) / FOLDER
    steps = [int(p.name) for p in folder.glob("*") if p.name.isdecimal() and is_checkpoint(p)]
    return folder / str(max(steps)) if steps else None
