"""Selects the rows of two box tables that are evaluated, in the order that the rules demand."""

import heapq
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from slowfast_jax.metrics.ava_files import BoxTable, Keyframe


class Rows(NamedTuple):
    """The rows of a table that are evaluated, in the order in which they claim boxes."""

    row: np.ndarray  # (n,) index into the table
    frame: np.ndarray  # (n,) keyframe number, common to both tables; ascending
    label: np.ndarray  # (n,) int16 index into the evaluated classes
    num_classes: int

    def take(self, chosen: np.ndarray) -> "Rows":
        """The rows at the given indices, or where a boolean mask is true."""
        return Rows(self.row[chosen], self.frame[chosen], self.label[chosen], self.num_classes)

    @property
    def group(self) -> np.ndarray:
        """(n,) integers that identify the pair of keyframe and class."""
        return self.frame.astype(np.int64) * self.num_classes + self.label


def labels(table: BoxTable, classes: np.ndarray) -> np.ndarray:
    """(N,) int16: index of each row's action in the sorted `classes`, or -1 if it isn't there."""
    place = np.searchsorted(classes, table.actions).astype(np.int16)
    known = np.append(classes, -1)[place] == table.actions
    return np.where(known & (place < len(classes)), place, np.int16(-1))


def number_keyframes(
    detections: BoxTable,
    order: np.ndarray,
    ground_truth: BoxTable,
    excluded: Iterable[Keyframe],
    official: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the keyframes of both tables; equal keyframes get equal numbers.

    Args:
      order: indices of the detections' keyframes; they are numbered in this order, before those
        that only the ground truth has.
      excluded: keyframes to leave out.
      official: compare times with six decimals instead of whole seconds, and leave out keyframes
        that the ground truth doesn't have.

    Returns:
      The number of each keyframe of the detections and of the ground truth, -1 if left out.
    """

    def key(keyframe: Keyframe) -> tuple[str, str | int]:
        video, seconds = keyframe
        return video, f"{seconds:.6f}" if official else int(seconds)

    skip = {key(keyframe) for keyframe in excluded}
    found, truth = (list(map(key, table.keyframes)) for table in (detections, ground_truth))
    wanted = set(truth) if official else {*truth, *found}
    numbers: dict[Any, int] = {}
    for name in [*(found[index] for index in order.tolist()), *truth]:
        if name in wanted and name not in skip:
            numbers.setdefault(name, len(numbers))
    return tuple(
        np.array([numbers.get(name, -1) for name in names], np.int32) for names in (found, truth)
    )


def first_met(frame: np.ndarray) -> np.ndarray:
    """The distinct values of `frame`, in order of first appearance."""
    first = np.full(frame.max(initial=-1) + 1, len(frame))
    first[frame[::-1]] = np.arange(len(frame))[::-1]  # the last write to an element remains
    order = np.argsort(first, kind="stable")
    return order[: np.count_nonzero(first < len(frame))]


def select(label: np.ndarray, frame: np.ndarray, num_classes: int) -> Rows:
    """The rows with a class and a keyframe, sorted by keyframe, otherwise in the given order."""
    row = np.flatnonzero((label >= 0) & (frame >= 0))
    rows = Rows(row, frame[row], label[row], num_classes)
    return rows.take(np.argsort(rows.frame, kind="stable"))


def official_order(rows: Rows, table: BoxTable, capacity: int, contested: np.ndarray) -> Rows:
    """The best rows of each keyframe, in the order in which the official script processes them.

    That order is by descending score; equal scores are ordered by the layout of the script's heap.
    The heap is only run for the keyframes where it can matter: those with equal scores on both
    sides of the capacity limit, or within one class that the ground truth has there.

    Args:
      rows: rows to choose from.
      table: the table they belong to.
      capacity: number of rows that are kept per keyframe.
      contested: values of `Rows.group` in the ground truth.
    """
    order = np.lexsort((-table.scores[rows.row], rows.frame))
    scores, frame = table.scores[rows.row[order]], rows.frame[order]
    starts = np.flatnonzero(np.diff(frame, prepend=-1))
    place = np.arange(len(frame)) - np.repeat(starts, np.diff(starts, append=len(frame)))
    crowded = np.flatnonzero(place == capacity)
    ambiguous = [frame[crowded[scores[crowded] == scores[crowded - 1]]]]

    order, scores = order[place < capacity], scores[place < capacity]
    group = rows.group[order]
    by_group = np.argsort(group, kind="stable")
    group, scores = group[by_group], scores[by_group]
    equal = group[1:][(group[1:] == group[:-1]) & (scores[1:] == scores[:-1])]
    ambiguous.append(equal[np.isin(equal, contested)] // rows.num_classes)

    frames = np.unique(np.concatenate(ambiguous))
    starts, ends = (np.searchsorted(rows.frame, frames, side) for side in ("left", "right"))
    clear = order[np.isin(rows.frame[order], frames, invert=True)]
    rerun = [
        start + np.array(_heap_order(table, rows.row[start:end], capacity))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    rows = rows.take(np.concatenate([clear, *rerun]))
    return rows.take(np.argsort(rows.frame, kind="stable"))


def _heap_order(table: BoxTable, row: np.ndarray, capacity: int) -> list[int]:
    """The rows of one keyframe that the official script keeps: indices into `row`, in its order."""
    x1, y1, x2, y2 = table.boxes[row].T
    columns = (table.scores[row], table.actions[row], y1, x1, y2, x2)
    entries = list(zip(*(column.tolist() for column in columns), strict=True))
    heap: list[tuple] = []
    places = defaultdict(list)  # completely equal rows are interchangeable
    for place, entry in enumerate(entries):
        places[entry].append(place)
        if len(heap) < capacity:
            heapq.heappush(heap, entry)
        elif entry[0] > heap[0][0]:
            heapq.heapreplace(heap, entry)
    return [places[entry].pop() for entry in sorted(heap, key=lambda entry: -entry[0])]
