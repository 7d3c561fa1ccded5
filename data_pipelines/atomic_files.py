"""Files and folders that are complete or not there, so that work can go on where it stopped."""

import csv
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data_pipelines.paths import PathLike


@contextmanager
def whole(target: PathLike) -> Iterator[Path]:
    """Gives a path to write to, a file or a folder, which becomes `target` when all went well.

    What an earlier attempt left there is removed.
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
