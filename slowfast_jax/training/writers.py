"""What a run leaves to read: metrics.jsonl, a line a record, and TensorBoard's event file."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from slowfast_jax import processes

METRICS_FILE = "metrics.jsonl"


class Writers:
    """Writes records of a run to `workdir`/metrics.jsonl and `workdir`/tensorboard.

    A run that goes on from `first_step` forgets what its predecessor wrote after that step, so
    that the file is the one of an uninterrupted run. Of many processes the first one writes.
    """

    def __init__(self, workdir: str | Path, first_step: int = 0):
        workdir = Path(workdir)
        self._file = None
        if not processes.first():
            return
        workdir.mkdir(parents=True, exist_ok=True)
        self._path = workdir / METRICS_FILE
        if self._path.exists():
            kept = [row for row in read_metrics(workdir) if row["step"] <= first_step]
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text("".join(map(_line, kept)), encoding="utf-8")
            temporary.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8")
        purge = first_step + 1 if first_step else None
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=purge)

    def write(self, step: int, split: str, values: Mapping[str, Any]) -> None:
        """Adds a record. Numbers go to TensorBoard as `split`/name, dicts of numbers only to the
        file.

        Raises OSError, with the file's name, where it cannot be written.
        """
        if self._file is None:
            return
        place = {"step": step, "split": split}  # also where the values have such names
        try:
            self._file.write(_line(place | dict(values) | place))
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._board.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        """Never raises: what was to be told of a full disk, `write` told."""
        if self._file is None:
            return
        for file in (self._file, self._board):
            with suppress(OSError):
                file.close()


def read_metrics(workdir: str | Path) -> list[dict[str, Any]]:
    """The records in a run's metrics.jsonl; a last line that was cut off is left out."""
    path = Path(workdir) / METRICS_FILE
    rows = []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f"{path}:{number}: is no JSON ({error})") from error
    return rows


def _line(record: Mapping[str, Any]) -> str:
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in record.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"
