"""Scores of the boxes of many keyframes, a batch at a time."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from data_pipelines.loading.batches import Load, batches_in_order


class BoxScores(NamedTuple):
    """scores: float32 (B, K) of the boxes of keyframe `index`, or None and the `error`."""

    index: int
    scores: np.ndarray | None
    error: str = ""


def score_boxes(
    predict: Callable[..., np.ndarray], load: Load, size: int, *, batch_size: int,
    threads: int = 8, workers: int = 0,
) -> Iterator[BoxScores]:
    """Scores of `size` keyframes, each once.

    Args:
      predict: (clips (N,T,H,W,3), boxes (N,B,4) in pixels) -> probabilities (N,B,K).
      load: (index, None) -> clip, boxes and box_mask, as load_keyframe
        gives them for testing. Where clips have several shapes, one batch has one.
    """
    for batch in batches_in_order(
        size, load, batch_size=batch_size, threads=threads, workers=workers
    ):
        for index, reason in batch["broken"]:
            yield BoxScores(int(index), None, reason)
        if "clip" not in batch:
            continue
        there, boxes = batch["box_mask"], batch["boxes"]
        height, width = batch["clip"].shape[2:4]
        boxes = np.where(there[..., None], boxes, np.array([0, 0, width, height], np.float32))
        scores = np.asarray(predict(batch["clip"], boxes))
        for row in np.flatnonzero(batch["mask"]):
            yield BoxScores(int(batch["index"][row]), scores[row][there[row]])
