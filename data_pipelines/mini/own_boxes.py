"""Writes the scenes of ava-mini as custom tables of boxes (sources/box_tables.py)."""

import csv
import os
import shutil
from pathlib import Path

from data_pipelines.atomic_files import write_rows
from data_pipelines.mini import ava_scenes, datasets
from data_pipelines.sources.ava import FIRST_SECOND

HEADER = ("video", "time", "x1", "y1", "x2", "y2", "action")
NAMES = [name for name, _ in ava_scenes.ACTIONS.values()]


def write_own(
    directory: str | os.PathLike,
    *,
    seed: int,
    train_videos: int = 24,
    test_videos: int = 8,
    **scenes: int,
) -> None:
    """Writes small videos of moving figures, and tables of their boxes and actions.

    The files are videos/train_000.mp4 and so on; train.csv and test.csv with actions and persons;
    and people.csv with the boxes and scores of a simulated person detector at the moments of
    test.csv.

    Args:
        directory: folder to write to.
        seed: the same seed yields the same data.
        train_videos, test_videos: number of videos.
        **scenes: seconds, fps, height and width, as for `datasets.write_ava`.
    """
    directory = Path(directory)
    datasets.write_ava(
        directory, seed=seed, train_videos=train_videos, val_videos=test_videos, **scenes
    )
    annotations = directory / "annotations"
    for table, source, last in (
        ("train.csv", "ava_train_v2.2.csv", "person"),
        ("test.csv", "ava_val_v2.2.csv", "person"),
        ("people.csv", datasets.DETECTIONS["val"], "score"),
    ):
        with open(annotations / source, encoding="utf-8", newline="") as file:
            rows = [_row(columns, last == "score") for columns in csv.reader(file)]
        header = (*HEADER[:-1], last) if last == "score" else (*HEADER, last)
        write_rows(directory / table, [header, *rows])
    shutil.rmtree(annotations)


def _row(columns: list[str], detected: bool) -> list[str]:
    """A row of AVA with the time from the first frame, and the action by name or not at all."""
    video, time, *box, action, last = columns
    named = [] if detected else [NAMES[int(action) - 1]]
    return [video, f"{int(time) - FIRST_SECOND}", *box, *named, last]
