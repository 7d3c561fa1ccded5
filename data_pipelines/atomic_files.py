"""Files and folders that are written atomically, so that interrupted work can resume."""

import csv
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data_pipelines.paths import PathLike


@contextmanager
def whole(target: PathLike) -> Iterator[Path]:
    """Yields a path for a file or folder, which is renamed to `target` when the block succeeds.

    Remains of an earlier attempt are removed first, and those of this one if it fails.
    """
    target = Path(target)
    part = target.with_name(f".{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove(part)
    try:
        yield part
        os.replace(part, target)
    except BaseException:
        _remove(part)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_rows(target: PathLike, rows: Iterable[Iterable[object]]) -> None:
    """Writes a csv file in UTF-8 atomically, replacing an existing one."""
    with whole(target) as part, open(part, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
