"""Action tubes, their overlap and their average precision, as MultiSports defines them.

A tube is what one person does: an action, and a box in each of several consecutive frames. The
overlap of two tubes is the mean IoU of their boxes in the frames that they share, times the time
that they share divided by the time from the first frame to the last frame of both.

Sources: https://arxiv.org/abs/2105.07404, and MMAction2,
mmaction/evaluation/functional/multisports_utils.py. Two things are undefined there: the order of
equal scores, here the given one, and the overlap of two tubes that consist of the same single
frame, here the IoU of their boxes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slowfast_jax.metrics.ava import overlap
from slowfast_jax.metrics.ava_files import BoxTable
from slowfast_jax.metrics.average_precision import interpolated


class Tube(NamedTuple):
    """The boxes of a person in consecutive frames of a video.

    Attributes:
      video: its name.
      first: number of the first frame.
      boxes: (T, 4) x1, y1, x2, y2, one box per frame; pixels or fractions of the frame.
      score: of the action.
    """

    video: str
    first: int
    boxes: np.ndarray
    score: float = 1.0

    @property
    def last(self) -> int:
        """Number of the last frame."""
        return self.first + len(self.boxes) - 1


Tubes = dict[int, list[Tube]]  # class id -> tubes of this class


def video_ap(found: Sequence[Tube], truth: Sequence[Tube], ious: Sequence[float]) -> np.ndarray:
    """(len(ious),) average precision of one class at each threshold on the overlap.

    Found tubes are compared in descending order of score with the true tube of their video that
    they overlap most. One is a true positive if that overlap reaches the threshold and no earlier
    one claimed the true tube.

    Args:
      found: tubes with scores.
      truth: at least one tube.
      ious: least overlaps of a true positive, above 0.
    """
    of_video: dict[str, list[int]] = {}
    for index, tube in enumerate(truth):
        of_video.setdefault(tube.video, []).append(index)
    found = sorted(found, key=lambda tube: -tube.score)
    overlaps = np.zeros(len(found))
    nearest = np.full(len(found), -1)
    for place, tube in enumerate(found):
        for index in of_video.get(tube.video, ()):
            iou = tube_iou(truth[index], tube)
            if iou > overlaps[place]:
                overlaps[place], nearest[place] = iou, index
    aps = np.zeros(len(ious))
    for place, iou in enumerate(ious):
        reached = np.flatnonzero(overlaps >= iou)
        _, earliest = np.unique(nearest[reached], return_index=True)
        hits = np.zeros(len(found), bool)
        hits[reached[earliest]] = True
        aps[place] = interpolated(hits, len(truth))
    return aps


def tube_iou(a: Tube, b: Tube) -> float:
    """Overlap in space and time of two tubes of a video, 0 to 1; see the module's docstring."""
    first, last = max(a.first, b.first), min(a.last, b.last)
    if last < first:
        return 0.0
    shared = (tube.boxes[first - tube.first : last + 1 - tube.first] for tube in (a, b))
    duration = max(a.last, b.last) - min(a.first, b.first)
    in_time = (last - first) / duration if duration else 1.0
    return float(overlap(*shared).mean() * in_time)


def boxes_of(tubes: Tubes) -> BoxTable:
    """The boxes of tubes, as a table whose keyframes are (video, number of the frame)."""
    keyframes: dict[tuple[str, float], int] = {}
    rows = [
        (keyframes.setdefault((tube.video, float(frame)), len(keyframes)), number, tube.score)
        for number, of_class in tubes.items() for tube in of_class
        for frame in range(tube.first, tube.last + 1)
    ]
    frame, actions, scores = (np.array(column) for column in zip(*rows, strict=True))
    boxes = [tube.boxes for of_class in tubes.values() for tube in of_class]
    return BoxTable(list(keyframes), frame, np.concatenate(boxes), actions, scores)
