"""The files of AVA: boxes, frame lists, excluded timestamps, label map.

A row of boxes is `video,time,x1,y1,x2,y2,action,person`: time in whole seconds of the film, corners
as fractions of the frame, actions from 1 on, or empty for no action. A file of predicted boxes has
the detector's score in the last column; one named .pkl is a pickle of arrays, see box_pickles.py.
Only the seconds 902 to 1798 are annotated; frames, and films as they are usually cut, begin at
second 900.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data_pipelines.labels import pbtxt_items
from data_pipelines.paths import PathLike
from data_pipelines.sources.box_pickles import SUFFIX, read_proposals
from data_pipelines.sources.frame_lists import read_charades
from data_pipelines.sources.keyframes import (
    Keyframe,
    Moments,
    Row,
    build,
    collect,
    find_sources,
    read_box,
)
from data_pipelines.text_files import (
    OnBadRow,
    bad_rows,
    read_number,
    read_rows,
    read_text,
    shown,
)
from data_pipelines.video import Video
from data_pipelines.video.image_files import FrameFiles

__all__ = [
    "Keyframe", "Video", "find_sources", "keyframes", "read_boxes", "read_exclusions",
    "read_frame_list", "read_label_map",
]
COLUMNS = "video,time,x1,y1,x2,y2,action,person (or score)"
NUM_CLASSES = 80
FIRST_SECOND = 900
SECONDS = (902, 1799)  # annotated; the end is exclusive
FPS = 30.0
logger = logging.getLogger(__name__)


def read_boxes(
    annotated: Sequence[PathLike] = (),
    predicted: Sequence[PathLike] = (),
    *,
    score_threshold: float = 0.9,
    num_classes: int = NUM_CLASSES,
    seconds: tuple[int, int] | None = SECONDS,
    every: int = 1,
    on_bad_row: OnBadRow | None = None,
) -> Moments:
    """Reads files of boxes; rows with the same text of coordinates become one box with all actions.

    As in the original (datasets/ava_helper.py), training uses annotated and predicted boxes, and
    tests use predicted ones. The original's training recipes list the annotations as predictions
    too. Their last column, the number of the person, is then compared with the threshold, so the
    rows of person 0 are dropped. They remain as annotations, so this changes nothing. It is logged
    as a warning.

    Boxes of a pickle have no actions. As in MMAction2 and PaddleVideo, if no score of a moment
    reaches the threshold, the best box is kept. Two things differ from theirs: a moment that is not
    in the pickle has no predicted box (there, it is the whole frame), and in training a predicted
    box that overlaps an annotated one does not get its actions. It is a person without any action,
    which `train.loss` "bce_positive_rows" ignores.

    Args:
        annotated: tables whose last column, if any, is ignored.
        predicted: tables, or pickles named .pkl; boxes with a score below `score_threshold` are
            dropped.
        seconds: range of valid times, the end exclusive. None: any time is valid, fractional ones
            too, and so are rows `video,time` of moments without boxes.
        every: keep only seconds that are multiples of this (4 to evaluate during training).
        on_bad_row: called with the error of each bad row; if it returns, the row is skipped.
            None: the errors of all bad rows are raised together.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a row is invalid (the message names file and line, or the key of a pickle), or
            there are no boxes.
    """
    counts = {"rows": 0}

    def rows(on_bad_row: OnBadRow) -> Iterator[Row]:
        for path in annotated:
            yield from _rows(path, None, num_classes, seconds, every, counts, on_bad_row)
        for path in predicted:
            if Path(path).suffix == SUFFIX:
                yield from _proposals(path, score_threshold, seconds, every, counts, on_bad_row)
            else:
                yield from _rows(
                    path, score_threshold, num_classes, seconds, every, counts, on_bad_row
                )

    with bad_rows(on_bad_row) as on_bad_row:
        moments = collect(rows(on_bad_row))
    if not moments:
        files = ", ".join(map(str, (*annotated, *predicted))) or "no file"
        raise ValueError(
            f"{files}: no boxes left of {counts['rows']} rows; expected some whose score reaches "
            f"{score_threshold} (data.score_threshold)"
            + (f", at seconds that are multiples of {every}" if every > 1 else "")
        )
    return moments


def keyframes(
    moments: Moments, sources: dict[str, Video], *, origin: float = FIRST_SECOND, fps: float = FPS
) -> list[Keyframe]:
    """Builds keyframes from the moments of `read_boxes`, see keyframes.build.

    A moment past the last frame is an error; the original shows the last frame.

    Args:
        sources: of `read_frame_list` or `find_sources`.
        origin: second of the film at the first frame; 0 for whole films.
        fps: frame rate of frames stored as images.
    """
    return build(moments, sources, origin=origin, fps=fps)


def read_frame_list(path: PathLike, *, path_prefix: PathLike = "") -> dict[str, FrameFiles]:
    """The frames of each video, from a list `original_vido_id video_id frame_id path labels`.

    Raises:
        FileNotFoundError: the list does not exist.
        ValueError: a row is invalid (the message names its line), or there are no rows.
    """
    return {sample.path: sample.frames for sample in read_charades(path, path_prefix=path_prefix)}


def read_exclusions(path: PathLike) -> set[tuple[str, float]]:
    """Reads the moments `video,time` that evaluation excludes."""
    moments = set()
    for line, columns in read_rows(path):
        if len(columns) != 2:
            raise ValueError(
                f"{path}:{line}: {len(columns)} columns in {','.join(columns)!r}; expected "
                "video,time"
            )
        moments.add((columns[0], read_number(path, line, "time", columns[1])))
    return moments


def read_label_map(path: PathLike) -> dict[int, str]:
    """Reads the evaluated actions from a .pbtxt file: names by action id, starting at 1.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it has no items, an item has no name or id, or an id occurs twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such label map; check data.label_map")
    items = pbtxt_items(path, read_text(path, "a label map"))
    names = dict(items)
    if not names:
        raise ValueError(f"{path}: no items in it; expected item {{ name: \"sit\" id: 11 }}")
    if len(names) < len(items):
        ((twice, _),) = Counter(number for number, _ in items).most_common(1)
        raise ValueError(f"{path}: the id {twice} occurs twice; it must be unique")
    return names


def _rows(
    path: PathLike,
    score_threshold: float | None,
    num_classes: int,
    seconds: tuple[int, int] | None,
    every: int,
    counts: dict[str, int],
    on_bad_row: OnBadRow,
) -> Iterator[Row]:
    """Yields the rows of a table, of predicted boxes if there is a threshold."""
    predicted = score_threshold is not None
    score_of = _score_reader(path) if predicted else None

    def read(line: int, columns: list[str]) -> Row | None:
        if seconds is None and not predicted and len(columns) == 2:
            return None
        if len(columns) != 8 and (predicted or len(columns) != 7):
            raise ValueError(
                f"{path}:{line}: {len(columns)} columns in {','.join(columns)!r}; expected "
                f"{COLUMNS}"
            )
        if line == 1 and all(name.strip().isidentifier() for name in columns):
            raise ValueError(
                f"{path}:1: {','.join(columns)!r} is a header, which AVA's tables do not have; "
                "remove this line (a table of your own boxes, which has one, is read with "
                "data.format=boxes)"
            )
        score = 1.0
        if predicted:
            compared, score = score_of(line, columns[7])
            if compared < score_threshold:
                return None
        time = _second(path, line, columns[1], seconds)
        if int(time) % every:
            return None
        box = read_box(path, line, columns[2:6], predicted)
        label = _label(path, line, columns[6], num_classes)
        return Row(path, line, columns[0], time, ",".join(columns[2:6]), box, label, score)

    for line, columns in read_rows(path):
        counts["rows"] += 1
        try:
            row = read(line, columns)
        except ValueError as error:
            on_bad_row(error)
            continue
        if row is not None:
            yield row


def _proposals(
    path: PathLike,
    score_threshold: float,
    seconds: tuple[int, int] | None,
    every: int,
    counts: dict[str, int],
    on_bad_row: OnBadRow,
) -> Iterator[Row]:
    """Yields the rows of a pickle of predicted boxes, coordinates written as in AVA's tables."""
    def read(key: str, video: str, second: str, boxes: np.ndarray) -> Iterator[Row]:
        time = _second(path, key, second, seconds)
        if int(time) % every:
            return
        scores = boxes[:, 4]
        outside = scores[~((scores >= 0) & (scores <= 1))]
        if len(outside):
            raise ValueError(f"{path}:{key}: score is {outside[0]:g}; expected it within 0..1")
        for *corners, score in boxes[scores >= min(score_threshold, scores.max(initial=0))]:
            texts = [np.format_float_positional(corner, min_digits=3) for corner in corners]
            box = read_box(path, key, texts, predicted=True)
            yield Row(path, key, video, time, ",".join(texts), box, None, float(score))

    for key, video, second, boxes in read_proposals(path, on_bad_row):
        counts["rows"] += len(boxes)
        try:
            yield from list(read(key, video, second, boxes))
        except ValueError as error:
            on_bad_row(error)


def _second(
    path: PathLike, line: int | str, text: str, seconds: tuple[int, int] | None
) -> float:
    """Parses the time of a keyframe; ValueError if it is not a valid second."""
    time = read_number(path, line, "time", text)
    if seconds is not None and not (time.is_integer() and seconds[0] <= time < seconds[1]):
        raise ValueError(
            f"{path}:{line}: time is {text!r}; expected a whole second within "
            f"{seconds[0]}..{seconds[1] - 1} (data.keyframe_seconds)"
        )
    return time


def _label(path: PathLike, line: int, text: str, num_classes: int) -> int | None:
    """The class, starting at 0; None for no action (empty, or -1)."""
    if text in ("", "-1"):
        return None
    if not (text.isdecimal() and len(text) < 10 and 1 <= int(text) <= num_classes):
        raise ValueError(
            f"{path}:{line}: action is {shown(text)}; expected one of 1..{num_classes}, or nothing "
            "(the number of classes is model.num_classes)"
        )
    return int(text) - 1


def _score_reader(path: PathLike) -> Callable[[int, str], tuple[float, float]]:
    """Returns a function that parses a last column to (number to compare with threshold, score)."""
    if _holds_persons(path):
        logger.warning(
            "%s is listed as predicted boxes, but its last column holds the numbers of persons, "
            "not scores. As in the original, rows whose number is below data.score_threshold are "
            "left out, which are those of person 0.", path,
        )
        return lambda line, text: (read_number(path, line, "person", text), 1.0)

    def read(line: int, text: str) -> tuple[float, float]:
        score = read_number(path, line, "score", text)
        if not 0 <= score <= 1:
            raise ValueError(f"{path}:{line}: score is {text}; expected it within 0..1")
        return score, score

    return read


def _holds_persons(path: PathLike) -> bool:
    """Whether the last column holds person numbers: all are whole numbers."""
    found = False
    for _, columns in read_rows(path):
        if len(columns) == 8:
            if not columns[7].strip().isdecimal():
                return False
            found = True
    return found
