"""What the persons that were detected do by the ground truth, keyframe by keyframe."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slowfast_jax.metrics.ava import overlap
from slowfast_jax.metrics.ava_files import BoxTable, Keyframe

DIGITS = 6  # of the seconds in a file of detections


class Judged(NamedTuple):
    """The boxes of a keyframe: those detected, then those of the ground truth that none is on and
    that have one of the actions."""

    boxes: np.ndarray  # (B, 4)
    scores: np.ndarray  # (B, K); nan where nobody was detected
    labels: np.ndarray  # (B, K) bool; all False for a box that is on nobody


def judge(
    detections: BoxTable, truth: BoxTable, classes: Sequence[int], *, iou: float = 0.5
) -> dict[Keyframe, Judged]:
    """Gives each detected box the actions of the person it is on: the one it overlaps most.

    Args:
      detections: of every box the K scores, one row after the other, as `from_arrays` makes them.
      truth: annotations; rows of a keyframe with the same coordinates are of one person.
      classes: K ids of actions.
      iou: least overlap of a box that is on a person.

    Returns:
      Keyframe -> its boxes, for the keyframes of `detections`; `keyframe_key` makes their names.

    Raises:
      ValueError: detections that are not of these classes.
    """
    count = len(classes)
    if len(detections.actions) % count or (
        detections.actions.reshape(-1, count) != np.asarray(classes)
    ).any():
        raise ValueError(f"the detections are not of {count} classes each, ids {list(classes)}")
    frame, boxes = detections.frame[::count], detections.boxes[::count]
    scores = detections.scores.reshape(-1, count)
    people = _people(truth, classes)
    order = np.argsort(frame, kind="stable")
    ends = np.cumsum(np.bincount(frame, minlength=len(detections.keyframes)))
    judged = {}
    for keyframe, rows in zip(detections.keyframes, np.split(order, ends[:-1]), strict=True):
        key = keyframe_key(*keyframe)
        judged[key] = _match(boxes[rows], scores[rows], people.get(key, {}), iou)
    return judged


def keyframe_key(video: str, seconds: float) -> Keyframe:
    """The same for a time and for what a file makes of it."""
    return video, round(float(seconds), DIGITS)


def _people(truth: BoxTable, classes: Sequence[int]) -> dict[Keyframe, dict[tuple, np.ndarray]]:
    """Keyframe -> box -> (K,) bool, the actions of the person there."""
    columns = {action: column for column, action in enumerate(classes)}
    keys = [keyframe_key(*keyframe) for keyframe in truth.keyframes]
    people: dict[Keyframe, dict[tuple, np.ndarray]] = {}
    rows = (truth.frame.tolist(), truth.boxes.tolist(), truth.actions.tolist())
    for frame, box, action in zip(*rows, strict=True):
        persons = people.setdefault(keys[frame], {})
        labels = persons.setdefault(tuple(box), np.zeros(len(classes), bool))
        if action in columns:
            labels[columns[action]] = True
    return people


def _match(
    boxes: np.ndarray, scores: np.ndarray, people: dict[tuple, np.ndarray], iou: float
) -> Judged:
    labels = np.zeros(scores.shape, bool)
    if not people:
        return Judged(boxes, scores, labels)
    theirs, actions = np.array(list(people)), np.array(list(people.values()))
    pairs = np.repeat(boxes, len(theirs), axis=0), np.tile(theirs, (len(boxes), 1))
    overlaps = overlap(*pairs).reshape(len(boxes), len(theirs))
    best = overlaps.argmax(axis=1)
    on_somebody = overlaps.max(axis=1) >= iou
    labels[on_somebody] = actions[best[on_somebody]]
    missed = np.setdiff1d(np.flatnonzero(actions.any(axis=1)), best[on_somebody])
    return Judged(
        np.concatenate([boxes, theirs[missed]]),
        np.concatenate([scores, np.full((len(missed), scores.shape[1]), np.nan)]),
        np.concatenate([labels, actions[missed]]),
    )
