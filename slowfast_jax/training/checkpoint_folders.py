"""Where the checkpoints of a run lie and what is in them; Orbax, which takes long to import, is not
needed to find one."""

from pathlib import Path

FOLDER = "checkpoints"  # of a run, with a checkpoint named after each saved step
COLLECTIONS = ("params", "batch_stats")
AVERAGE = "average"  # item of a training run that keeps the moving average of its parameters
METADATA = "metadata"


def is_checkpoint(directory: str | Path) -> bool:
    """Whether `directory` is a complete checkpoint of this project."""
    directory = Path(directory)
    return (directory / "params").is_dir() and (directory / METADATA).is_dir()


def latest_checkpoint(workdir: str | Path) -> Path | None:
    """Folder of the last complete checkpoint of a run, or None."""
    folder = Path(workdir) / FOLDER
    steps = [int(p.name) for p in folder.glob("*") if p.name.isdecimal() and is_checkpoint(p)]
    return folder / str(max(steps)) if steps else None
