"""Scores the boxes of many keyframes in batches."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines.loading.batches import Load, batches_in_order


class BoxScores(NamedTuple):
    """The result for one keyframe.

    Attributes:
      index: the index of the keyframe.
      scores: float32 (B, K) scores of its B boxes; None if it failed.
      error: why it failed; "" if it did not.
    """

    index: int
    scores: np.ndarray | None
    error: str = ""


def score_boxes(
    predict: Callable[..., np.ndarray], load: Load, size: int, *, batch_size: int,
    threads: int = 8, workers: int = 0,
) -> Iterator[BoxScores]:
    """Scores the boxes of `size` keyframes, each once.

    Args:
      predict: maps clips (N, T, H, W, 3) and boxes (N, B, 4) in pixels to probabilities (N, B, K).
      load: maps (index, None) to clip, boxes and box_mask, as `load_keyframe` returns them for
        testing. Clips may have different shapes; those of one batch have the same.
      size: the number of keyframes.
      batch_size: keyframes per batch.
      threads, workers: see `batches_in_order`.

    Yields:
      The result for each keyframe, in an order that depends on the shapes of the clips.
    """
    for batch in batches_in_order(
        size, load, batch_size=batch_size, threads=threads, workers=workers
    ):
        for index, reason in batch["broken"]:
            yield BoxScores(int(index), None, reason)
        if "clip" not in batch:
            continue
        present, boxes = batch["box_mask"], batch["boxes"]
        boxes = with_padding(boxes, present, batch["clip"].shape)
        scores = np.asarray(predict(batch["clip"], boxes))
        for row in np.flatnonzero(batch["mask"]):
            yield BoxScores(int(batch["index"][row]), scores[row][present[row]])


def with_padding(
    boxes: np.ndarray, present: np.ndarray, clip_shape: Sequence[int]
) -> np.ndarray:
    """The boxes (..., B, 4) where `present` (..., B); elsewhere the whole frame of a clip
    (..., T, H, W, 3), a box that every network can pool."""
    height, width = clip_shape[-3:-1]
    return np.where(present[..., None], boxes, np.array([0, 0, width, height], np.float32))
