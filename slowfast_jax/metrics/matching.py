"""Matches detected boxes with the people in the ground truth, keyframe by keyframe."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slowfast_jax.metrics.ava import overlap
from slowfast_jax.metrics.ava_files import BoxTable, Keyframe

DIGITS = 6  # decimals of the seconds in a detections file


class MatchedBoxes(NamedTuple):
    """The boxes of a keyframe with the scores and true labels of K actions.

    Detected boxes come first. Then follow the missed people: boxes of the ground truth that have
    at least one of the actions and match no detection.
    """

    boxes: np.ndarray  # (B, 4)
    scores: np.ndarray  # (B, K); nan for missed people
    labels: np.ndarray  # (B, K) bool; all False for a box that is on no person


def match_boxes(
    detections: BoxTable, truth: BoxTable, classes: Sequence[int], *, iou: float = 0.5
) -> dict[Keyframe, MatchedBoxes]:
    """Assigns to each detected box the actions of the person that it overlaps most.

    Args:
      detections: K rows in succession for each box, one per class, as made by `from_arrays`.
      truth: annotations; rows of a keyframe with the same coordinates belong to one person.
      classes: K action ids.
      iou: least overlap (intersection over union) for a match.

    Returns:
      `keyframe_key` of each keyframe of `detections` -> its boxes.

    Raises:
      ValueError: the detections have other classes.
    """
    count = len(classes)
    if len(detections.actions) % count or (
        detections.actions.reshape(-1, count) != np.asarray(classes)
    ).any():
        raise ValueError(
            f"expected a row for each of {count} classes per detected box, with ids {list(classes)}"
        )
    frame, boxes = detections.frame[::count], detections.boxes[::count]
    scores = detections.scores.reshape(-1, count)
    people = _people(truth, classes)
    order = np.argsort(frame, kind="stable")
    ends = np.cumsum(np.bincount(frame, minlength=len(detections.keyframes)))
    matched = {}
    for keyframe, rows in zip(detections.keyframes, np.split(order, ends[:-1]), strict=True):
        key = keyframe_key(*keyframe)
        matched[key] = _match(boxes[rows], scores[rows], people.get(key, {}), iou)
    return matched


def keyframe_key(video: str, seconds: float) -> Keyframe:
    """A key that is equal for a time and for its rounded value in a detections file."""
    return video, round(float(seconds), DIGITS)


def _people(truth: BoxTable, classes: Sequence[int]) -> dict[Keyframe, dict[tuple, np.ndarray]]:
    """Keyframe -> box -> actions of the person in that box, (K,) bool."""
    columns = {action: column for column, action in enumerate(classes)}
    keys = [keyframe_key(*keyframe) for keyframe in truth.keyframes]
    people: dict[Keyframe, dict[tuple, np.ndarray]] = {}
    rows = (truth.frame.tolist(), truth.boxes.tolist(), truth.actions.tolist())
    for frame, box, action in zip(*rows, strict=True):
        of_keyframe = people.setdefault(keys[frame], {})
        labels = of_keyframe.setdefault(tuple(box), np.zeros(len(classes), bool))
        if action in columns:
            labels[columns[action]] = True
    return people


def _match(
    boxes: np.ndarray, scores: np.ndarray, people: dict[tuple, np.ndarray], iou: float
) -> MatchedBoxes:
    """Matches the detections of one keyframe with its people."""
    labels = np.zeros(scores.shape, bool)
    if not people:
        return MatchedBoxes(boxes, scores, labels)
    truths, actions = np.array(list(people)), np.array(list(people.values()))
    pairs = np.repeat(boxes, len(truths), axis=0), np.tile(truths, (len(boxes), 1))
    overlaps = overlap(*pairs).reshape(len(boxes), len(truths))
    best = overlaps.argmax(axis=1)
    on_person = overlaps.max(axis=1) >= iou
    labels[on_person] = actions[best[on_person]]
    missed = np.setdiff1d(np.flatnonzero(actions.any(axis=1)), best[on_person])
    return MatchedBoxes(
        np.concatenate([boxes, truths[missed]]),
        np.concatenate([scores, np.full((len(missed), scores.shape[1]), np.nan)]),
        np.concatenate([labels, actions[missed]]),
    )
