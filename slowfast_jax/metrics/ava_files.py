"""Tables of labeled boxes in keyframes, and AVA's csv files of them.

A row of a file is `video,seconds,x1,y1,x2,y2,action[,score]`, with boxes as fractions of the frame.
The 8th column is the score of a detection. In ground truth it is a person id, which is not used. A
row `video,seconds` declares a keyframe without boxes.
"""

import csv
import math
import os
import re
import warnings
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

PathLike = str | os.PathLike
Keyframe = tuple[str, float]  # video name and time in seconds

CHUNK = 500_000  # rows converted to Python objects at a time
COLUMNS = ("x1", "y1", "x2", "y2", "action", "score")


class BoxTable(NamedTuple):
    """Boxes with one action each: ground truth, or detections with scores.

    A person with three actions has three rows. A keyframe of the ground truth without rows is
    known to contain nothing, so every detection in it is a false positive.
    """

    keyframes: Sequence[Keyframe]  # F, without duplicates
    frame: np.ndarray  # (N,) integers, index of the row's keyframe
    boxes: np.ndarray  # (N, 4) x1, y1, x2, y2; fractions, or any unit that both tables share
    actions: np.ndarray  # (N,) integers, class ids
    scores: np.ndarray  # (N,)


def from_arrays(
    keyframes: Sequence[Keyframe],
    frame: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    *,
    classes: Sequence[int],
) -> BoxTable:
    """A table of detections from a network that scores every box for every class.

    For arrays padded to (F, B, ...) with a mask (F, B), pass `np.nonzero(mask)[0]`, `boxes[mask]`
    and `scores[mask]`. Columns of classes that are not evaluated can be left out.

    Args:
      keyframes: F pairs (video, seconds), including keyframes without boxes.
      frame: (M,) index of each box's keyframe.
      boxes: (M, 4).
      scores: (M, K).
      classes: K ids, one per column of `scores`.

    Returns:
      M * K rows: box by box, and for each box in the order of `classes`.

    Raises:
      ValueError: shapes that do not match.
    """
    frame, boxes, scores = np.asarray(frame), np.asarray(boxes), np.asarray(scores)
    boxes_wanted, scores_wanted = (len(frame), 4), (len(frame), len(classes))
    if boxes.shape != boxes_wanted or scores.shape != scores_wanted:
        raise ValueError(
            f"{len(frame)} boxes scored for {len(classes)} classes: expected boxes {boxes_wanted} "
            f"and scores {scores_wanted}, found {boxes.shape} and {scores.shape}"
        )
    return BoxTable(
        keyframes,
        np.repeat(frame.astype(np.int32), len(classes)),
        np.repeat(boxes, len(classes), axis=0),
        np.tile(np.asarray(classes, np.int32), len(frame)),
        scores.reshape(-1),
    )


def join(tables: Sequence[BoxTable]) -> BoxTable:
    """Concatenates tables that have no keyframes in common."""
    starts = np.cumsum([0, *(len(table.keyframes) for table in tables)])
    return BoxTable(
        [keyframe for table in tables for keyframe in table.keyframes],
        np.concatenate([t.frame + start for t, start in zip(tables, starts, strict=False)]),
        *(np.concatenate(column) for column in zip(*(t[2:] for t in tables), strict=True)),
    )


def read_detections(path: PathLike) -> BoxTable:
    """Reads a file of detections; rows without a score get score 1.

    Raises:
      FileNotFoundError: the file doesn't exist.
      ValueError: a row is malformed; the message has file, line and reason.
    """
    try:
        return _read_regular(path)
    except ValueError:
        return _read_rows(path)  # slower; accepts all valid files, and reports the line of an error


def read_ground_truth(path: PathLike) -> BoxTable:
    """Reads a file of annotations, whose boxes must have x1 <= x2 and y1 <= y2.

    Raises:
      FileNotFoundError: the file doesn't exist.
      ValueError: a row is malformed; the message has file, line and reason.
    """
    return _read_rows(path, ordered=True)


def read_exclusions(path: PathLike) -> list[Keyframe]:
    """Reads rows `video,seconds`: keyframes to exclude from the evaluation."""
    return [_keyframe(path, line, row, (2,)) for line, row in _rows(path)]


def read_label_map(path: PathLike) -> dict[int, str]:
    """Reads the ids and names of the evaluated classes from an AVA action list (`.pbtxt`).

    Raises:
      ValueError: the file has no classes, or an item without name or id.
    """
    classes = {}
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text ({error})") from None
    for item in re.findall(r"item\s*\{([^{}]*)\}", text):
        name = re.search(r"""name:\s*(["'])(.*)\1""", item)
        number = re.search(r"\b(?:label_)?id:\s*(\d{1,9})\b", item)
        if not name or not number:
            raise ValueError(
                f'{path}: expected name: "..." and id: N in each item, not {item.strip()!r}'
            )
        classes[int(number[1])] = name[2]
    if not classes:
        raise ValueError(f'{path}: no class found; expected items {{ name: "..." id: N }}')
    return classes


def write_detections(
    path: PathLike, table: BoxTable, *, box: str = "%.5f", score: str = "%.6g"
) -> None:
    """Writes the official format, `video,seconds,x1,y1,x2,y2,action,score`.

    Whole seconds are padded to four digits. The default formats keep enough digits for the mAP of
    the file to equal that of the arrays. PySlowFast writes 3 decimals for boxes, so overlaps near
    the threshold can cross it, and 4 for scores, so small scores of rare classes become equal; both
    change the mAP slightly.

    Args:
      path: file to write.
      table: detections.
      box: format of a coordinate; PySlowFast's is "%.03f".
      score: format of a score; PySlowFast's is "%.04f".
    """
    row = ",".join(["%s", box, box, box, box, "%d", score]) + "\n"
    keys = [f"{video},{_seconds_text(seconds)}" for video, seconds in table.keyframes]
    with open(path, "w", encoding="utf-8") as file:
        for start in range(0, len(table.frame), CHUNK):
            part = slice(start, start + CHUNK)
            names = map(keys.__getitem__, table.frame[part].tolist())
            columns = [c.tolist() for c in (*table.boxes[part].T, table.actions[part],
                                            table.scores[part])]
            file.writelines(map(row.__mod__, zip(names, *columns, strict=True)))


def _seconds_text(seconds: float) -> str:
    return f"{int(seconds):04d}" if seconds == int(seconds) else f"{seconds:.6f}"


def _read_regular(path: PathLike) -> BoxTable:
    """Fast reader of files whose rows all have 7 or all have 8 columns; ValueError for others."""
    videos: dict[str, int] = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input contained no data")
        rows = np.loadtxt(
            path, delimiter=",", comments=None, quotechar='"', ndmin=2, encoding="utf-8",
            converters={0: lambda name: videos.setdefault(name, len(videos))},
        )
    if rows.shape[1] not in (7, 8) or not np.isfinite(rows).all():
        raise ValueError
    with np.errstate(invalid="ignore"):
        actions = rows[:, 6].astype(np.int32)
    if (actions != rows[:, 6]).any():
        raise ValueError
    keyframes, frame = _number_keyframes(list(videos), rows[:, 0], rows[:, 1])
    scores = rows[:, 7].copy() if rows.shape[1] == 8 else np.ones(len(rows))
    return BoxTable(keyframes, frame, rows[:, 2:6].copy(), actions, scores)


def _number_keyframes(
    names: list[str], videos: np.ndarray, seconds: np.ndarray
) -> tuple[list[Keyframe], np.ndarray]:
    """Keyframes in order of first appearance, and the index of each row's keyframe."""
    changes = (videos[1:] != videos[:-1]) | (seconds[1:] != seconds[:-1])
    starts = np.flatnonzero(np.concatenate([[True], changes]))
    numbers: dict[tuple[float, float], int] = {}
    runs = array("i")
    for at in range(0, len(starts), CHUNK):
        part = starts[at : at + CHUNK]
        for key in zip(videos[part].tolist(), seconds[part].tolist(), strict=True):
            runs.append(numbers.setdefault(key, len(numbers)))
    frame = np.repeat(np.frombuffer(runs, np.int32), np.diff(starts, append=len(videos)))
    return [(names[int(video)], time) for video, time in numbers], frame


def _rows(path: PathLike) -> Iterator[tuple[int, list[str]]]:
    """Yields line numbers and rows of a csv file, without blank lines."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}, line {reader.line_num + 1}: {error}") from None


def _read_rows(path: PathLike, *, ordered: bool = False) -> BoxTable:
    """Reads a file row by row and reports the line of an error."""
    numbers: dict[Keyframe, int] = {}
    frame, actions, values = array("i"), array("i"), array("d")  # values: x1, y1, x2, y2, score
    for line, row in _rows(path):
        key = _keyframe(path, line, row, (2, 7, 8))
        number = numbers.setdefault(key, len(numbers))
        if len(row) == 2:
            continue
        *box, action, score = row[2:] if len(row) == 8 else [*row[2:], "1"]
        box = [_number(path, line, *cell) for cell in zip(COLUMNS, box, strict=False)]
        if ordered and (box[0] > box[2] or box[1] > box[3]):
            raise ValueError(f"{path}, line {line}: box {box}, expected x1 <= x2 and y1 <= y2")
        class_id = _number(path, line, "action", action)
        if not class_id.is_integer() or abs(class_id) >= 2**31:
            raise ValueError(f'{path}, line {line}: action is "{action}", expected a class id')
        actions.append(int(class_id))
        frame.append(number)
        values.extend(box)
        values.append(_number(path, line, "score", score))
    table = np.frombuffer(values).reshape(-1, 5) if values else np.zeros((0, 5))
    columns = [np.array(column, np.int32) for column in (frame, actions)]
    return BoxTable(list(numbers), columns[0], table[:, :4], columns[1], table[:, 4])


def _keyframe(path: PathLike, line: int, row: list[str], allowed: tuple[int, ...]) -> Keyframe:
    if len(row) not in allowed:
        expected = " or ".join(map(str, allowed))
        raise ValueError(f"{path}, line {line}: {len(row)} columns, expected {expected}")
    return row[0], _number(path, line, "seconds", row[1])


def _number(path: PathLike, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f'{path}, line {line}: {column} is "{text}", expected a number')
    return value
