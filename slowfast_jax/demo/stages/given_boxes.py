"""Reads tables of people's boxes, which replace a detector or are drawn as ground truth.

The format is recognized by the content: csv tables with the header of
data_pipelines/sources/box_tables.py, csv tables of AVA, and pickles of MMAction2 and PaddleVideo.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipelines.paths import PathLike
from data_pipelines.sources import ava, box_tables
from data_pipelines.sources.box_pickles import SUFFIX
from data_pipelines.sources.keyframes import Moments, Row, collect
from data_pipelines.text_files import read_rows
from slowfast_jax.demo.stages.persons import PeopleAt


class Truth(NamedTuple):
    """Annotated people at a moment.

    Attributes:
      time: seconds from the start.
      people: boxes (4,), fractions of the picture, with the names of their actions.
    """

    time: float
    people: Sequence[tuple[np.ndarray, Sequence[str]]]


class Table(NamedTuple):
    """The boxes of a file.

    Attributes:
      path: the file.
      names: path of a video -> what the file calls it; None: the file has no boxes for it.
      moments: name of a video -> time -> boxes.
      persons: (video, time, text of the corners) -> number of the person, where the file has one.
      first_second: time of the first frame of a video, as the file counts it.
    """

    path: PathLike
    names: Mapping[str, str | None]
    moments: Moments
    persons: dict[tuple[str, float, str], int]
    first_second: float


def read_table(
    path: PathLike, videos: Collection[str], names: Sequence[str] | None, *,
    score_threshold: float = 0.0, first_second: float | None = None,
) -> Table:
    """Reads a file of boxes.

    Args:
      path: the file.
      videos: paths, whose ends are in the file; see `box_tables.names_in_table`.
      names: class names of annotated boxes; None for predicted boxes, whose actions are ignored.
      score_threshold: predicted boxes with a lower score are dropped.
      first_second: time of the first frame, as the file counts it. Default: 900 for files of AVA
        and pickles, as films of AVA are cut there, otherwise 0.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a row is invalid, a name could mean several of the videos, or there are no boxes
        for any of them.
    """
    annotated, predicted = ([path], []) if names is not None else ([], [path])
    if _has_header(path):
        rows, written = box_tables.read_row_by_row(path, names, predicted=names is None)
        moments = collect(row for row in rows if row.score >= score_threshold)
        if not moments:
            raise box_tables.no_boxes(annotated, predicted, score_threshold)
        found = box_tables.names_in_table(path, written, videos)
        return Table(path, found, moments, _persons(rows), first_second or 0.0)
    if names is not None and Path(path).suffix == SUFFIX:
        raise ValueError(f"{path}: a pickle of boxes has no actions; expected a csv table")
    moments = ava.read_boxes(
        annotated, predicted, score_threshold=score_threshold, seconds=None,
        num_classes=len(names) if names is not None else ava.NUM_CLASSES,
    )
    found = box_tables.names_in_table(path, {name: name for name in moments}, videos)
    first = ava.FIRST_SECOND if first_second is None else first_second
    return Table(path, found, moments, {}, first)


def moments_of(table: Table, video: str, duration: float) -> list[PeopleAt]:
    """The boxes of a video, in order of time.

    Args:
      table: the boxes.
      video: one of the paths with which the table was read.
      duration: its seconds.

    Raises:
      ValueError: the table does not have the video, or all of its boxes are outside of it.
    """
    name, found = _rows_of(table, video, duration)
    moments = []
    for time, moment in found:
        boxes = [box for box, _, _ in moment.boxes.values()]
        ids = [table.persons.get((name, time, text), 0) for text in moment.boxes]
        shown = np.array(boxes, np.float32).reshape(-1, 4).clip(0, 1)
        moments.append(PeopleAt(time - table.first_second, shown, np.array(ids, int)))
    return moments


def truths_of(
    table: Table, video: str, duration: float, names: Sequence[str]
) -> list[Truth]:
    """As `moments_of`, for annotated boxes."""
    _, found = _rows_of(table, video, duration)
    return [
        Truth(time - table.first_second, [
            (np.array(box, np.float32).clip(0, 1), [names[label] for label in labels])
            for box, labels, _ in moment.boxes.values()
        ])
        for time, moment in found
    ]


def _rows_of(
    table: Table, video: str, duration: float
) -> tuple[str, list[tuple[float, object]]]:
    name = table.names[video]
    if name not in table.moments:
        raise ValueError(f"{table.path} has no boxes for this video")
    first = table.first_second
    moments = sorted(table.moments[name].items())
    inside = [found for found in moments if first <= found[0] <= first + duration]
    if not inside:
        times = f"{moments[0][0]:g} to {moments[-1][0]:g}"
        raise ValueError(
            f"{table.path}: the boxes of {video} are at seconds {times}, and the video has "
            f"{first:g} to {first + duration:.4g}; --first-second says which second of the table "
            "is the beginning of the video"
        )
    return name, inside


def _has_header(path: PathLike) -> bool:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file of boxes")
    if Path(path).suffix == SUFFIX:
        return False
    _, first = next(iter(read_rows(path)), (0, []))
    return {*box_tables.CORNERS} <= {column.strip().lower() for column in first}


def _persons(rows: Iterable[Row]) -> dict[tuple[str, float, str], int]:
    """The persons of rows, numbered from 1 on in the order of their first rows."""
    numbers: dict[tuple[str, str], int] = {}
    persons = {}
    for row in rows:
        if row.person:
            number = numbers.setdefault((row.video, row.person), len(numbers) + 1)
            persons[row.video, row.time, row.text] = number
    return persons
