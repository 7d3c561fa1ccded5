"""Action tubes of our own tables of boxes (data_pipelines/sources/box_tables.py).

A tube is a person of the column `person` with the same action at consecutive times. Times are
consecutive if no other time of the video lies between them, unless they are much farther apart than
most.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines.atomic_files import write_rows
from data_pipelines.paths import PathLike
from data_pipelines.sources.box_tables import (
    REQUIRED,
    find_actions,
    name_in_table,
    read_row_by_row,
    without_suffix,
)
from data_pipelines.text_files import read_rows
from slowfast_jax.metrics import ava_files
from slowfast_jax.metrics.action_tubes import Tube, Tubes
from slowfast_jax.metrics.ava_files import BoxTable

NEAR = 0.04  # seconds between times that are taken as equal: one frame at 25 frames per second
Frames = dict[str, dict[float, int]]  # video -> time in seconds -> number of the frame


class Box(NamedTuple):
    """A box with one action; for several actions, there are several.

    Attributes:
      video: its name, without suffix.
      time: in seconds.
      box: x1, y1, x2, y2 as fractions of the frame.
      label: class id, from 0 on. None: no action.
      person: "" if unknown.
      score: of the action.
      where: file and line, for messages.
    """

    video: str
    time: float
    box: tuple[float, ...]
    label: int | None
    person: str
    score: float
    where: str


def read_boxes(
    path: PathLike, class_names: Sequence[str], *, predicted: bool = False
) -> list[Box]:
    """Reads a table with a header, or the detections.csv of a test, which has none.

    Args:
      class_names: in class order.
      predicted: the boxes are those of a detector, which may have scores.

    Raises:
      FileNotFoundError, ValueError: there is no such file, or a row is invalid.
    """
    if predicted and has_no_header(path):
        return _detections_of_a_test(path, len(class_names))
    return [
        Box(row.video, row.time, row.box, row.label, row.person, row.score,
            f"{row.path}:{row.line}")
        for row in read_row_by_row(path, class_names, predicted=predicted)[0]
    ]


def classes_in(detections: PathLike, others: Sequence[PathLike] = ()) -> list[str]:
    """The actions in tables.

    Raises:
      FileNotFoundError, ValueError: as `find_actions`; or the detections have numbers of actions.
    """
    if has_no_header(detections):
        raise ValueError(
            f"{detections}: has numbers for actions; pass the names of the classes, in the order "
            "of these numbers, as classes (--classes FILE)"
        )
    return find_actions([detections, *others])


def has_no_header(path: PathLike) -> bool:
    """Whether a table is the detections.csv of a test, which has numbers for actions."""
    _, first = next(read_rows(path), (0, [""]))
    return len(first) == 8 and first[1].replace(".", "", 1).isdecimal()


def _detections_of_a_test(path: PathLike, count: int) -> list[Box]:
    table = ava_files.read_detections(path)
    wrong = table.actions[(table.actions < 1) | (table.actions > count)]
    if len(wrong):
        raise ValueError(f"{path}: action {wrong[0]}; expected a number from 1 to {count}")
    rows = (table.frame.tolist(), table.boxes.tolist(), table.actions.tolist(),
            table.scores.tolist())
    return [
        Box(without_suffix(table.keyframes[frame][0]), table.keyframes[frame][1], tuple(box),
            action - 1, "", score, str(path))
        for frame, box, action, score in zip(*rows, strict=True)
    ]


def number_frames(boxes: Iterable[Box]) -> Frames:
    """Numbers the times of each video from 0 on, so that consecutive times differ by 1.

    Times farther apart than most differ by more: by their distance, divided by the median one, and
    rounded.
    """
    times: dict[str, set[float]] = defaultdict(set)
    for box in boxes:
        times[box.video].add(box.time)
    numbered: Frames = {}
    for video, of_video in times.items():
        ordered = np.sort(np.array(list(of_video)))
        gaps = np.diff(ordered)
        steps = np.maximum(np.rint(gaps / np.median(gaps)), 1) if len(gaps) else gaps
        numbers = np.concatenate([[0], np.cumsum(steps)]).astype(int)
        numbered[video] = dict(zip(ordered.tolist(), numbers.tolist(), strict=True))
    return numbered


def at_times(boxes: Iterable[Box], frames: Frames) -> list[Box]:
    """The boxes of the videos in `frames` at times NEAR those in `frames`, with these times.

    The names of their videos may be paths that end in the names in `frames`.
    """
    names: dict[str, str | None] = {}
    times = {video: np.array(list(of_video)) for video, of_video in frames.items()}
    kept = []
    for box in boxes:
        if box.video not in names:
            names[box.video] = name_in_table(box.video, frames)
        video = names[box.video]
        if video is not None:
            time = times[video][np.abs(times[video] - box.time).argmin()]
            if abs(time - box.time) <= NEAR:
                kept.append(box._replace(video=video, time=float(time)))
    return kept


def tubes_of_persons(boxes: Iterable[Box], frames: Frames) -> Tubes:
    """The tubes of boxes that have persons; the score of a tube is the mean of its boxes' scores.

    Raises:
      ValueError: a person has no name, or is at two places at the same time.
    """
    tracks: dict[tuple[int, str, str], dict[int, Box]] = {}
    for box in boxes:
        if box.label is None:
            continue
        if not box.person:
            raise ValueError(
                f"{box.where}: no person; expected a column person that is the same in all rows "
                "of a person in a video"
            )
        track = tracks.setdefault((box.label, box.video, box.person), {})
        other = track.setdefault(frames[box.video][box.time], box)
        if other is not box:
            raise ValueError(
                f"{box.where}: person {box.person!r} has the same action in {other.where}, at the "
                "same time"
            )
    tubes: Tubes = {}
    for (label, video, _), track in tracks.items():
        numbers = np.array(sorted(track))
        for run in np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1):
            rows = [track[number] for number in run.tolist()]
            score = float(np.mean([row.score for row in rows]))
            corners = np.array([row.box for row in rows])
            tubes.setdefault(label, []).append(Tube(video, int(run[0]), corners, score))
    return tubes


def as_table(boxes: Iterable[Box], frames: Frames) -> BoxTable:
    """Boxes with actions as a table whose keyframes are (video, number of the frame)."""
    boxes = [box for box in boxes if box.label is not None]
    keyframes: dict[tuple[str, float], int] = {}
    numbers = [
        keyframes.setdefault((box.video, float(frames[box.video][box.time])), len(keyframes))
        for box in boxes
    ]
    corners = np.array([box.box for box in boxes]).reshape(-1, 4)
    labels, scores = ([getattr(box, name) for box in boxes] for name in ("label", "score"))
    return BoxTable(
        list(keyframes), np.array(numbers, int), corners, np.array(labels, int), np.array(scores)
    )


def write_tubes(path: PathLike, tubes: Tubes, names: Sequence[str], frames: Frames) -> None:
    """Writes tubes as a table, in which each tube of a video is a person, numbered from 1 on.

    Args:
      names: class names.
      frames: the numbers of the times.

    Raises:
      OSError: the file cannot be written.
    """
    times = {
        video: {number: time for time, number in of_video.items()}
        for video, of_video in frames.items()
    }
    rows = [(*REQUIRED, "person", "score")]
    persons: Counter[str] = Counter()
    for label, of_class in tubes.items():
        for tube in of_class:
            persons[tube.video] += 1
            for number, box in enumerate(tube.boxes, tube.first):
                rows.append((
                    tube.video, f"{times[tube.video][number]:.3f}",
                    *(f"{edge:.4f}" for edge in box), names[label], f"{persons[tube.video]}",
                    f"{tube.score:.6g}",
                ))
    write_rows(path, rows)
