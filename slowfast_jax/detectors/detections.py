"""What a person detector is and returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class DetectorError(ValueError):
    """A detector that cannot be used. The message says what was expected."""


class Detections(NamedTuple):
    """The persons in a picture, best first.

    Attributes:
      boxes: float32 (B, 4), x1, y1, x2, y2 as fractions of the picture.
      scores: float32 (B,), from 0 to 1.
    """

    boxes: np.ndarray
    scores: np.ndarray


Find = Callable[[np.ndarray], Detections]


@dataclass(frozen=True)
class Detector:
    """Finds the persons in pictures, uint8 (H, W, 3) RGB.

    Attributes:
      name: what the user called it.
      find: the function that does the work.
    """

    name: str
    find: Find

    def __call__(self, picture: np.ndarray) -> Detections:
        """The persons in a picture.

        Raises:
          ValueError: it is not uint8 (H, W, 3), or empty.
          DetectorError: the network fails.
        """
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(
                f"picture is {picture.dtype} {picture.shape}; expected uint8 (H, W, 3)"
            )
        if not picture.size:
            raise ValueError(f"picture is empty: its shape is {picture.shape}")
        return self.find(picture)


def whole_frame(picture: np.ndarray) -> Detections:
    """One box, the whole picture."""
    return Detections(np.array([[0, 0, 1, 1]], np.float32), np.ones(1, np.float32))


def best_first(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> Detections:
    """The boxes with at least the threshold, within the picture; those outside are dropped.

    Args:
      boxes: (B, 4) as fractions of the picture; they may reach beyond it, or be NaN.
      scores: (B,).
    """
    boxes = np.clip(boxes, 0, 1).astype(np.float32)
    good = (scores >= threshold) & (boxes[:, :2] < boxes[:, 2:]).all(1)
    boxes, scores = boxes[good], scores[good].astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    return Detections(boxes[order], scores[order])


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> np.ndarray:
    """Non-maximum suppression: indices of the boxes (B, 4) to keep, best score first.

    A box whose intersection over union with a better box exceeds `overlap` is dropped.
    """
    order = np.argsort(-scores, kind="stable")
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    kept: list[int] = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[order, :2])
        high = np.minimum(boxes[best, 2:], boxes[order, 2:])
        common = np.maximum(high - low, 0).prod(1)
        order = order[common <= overlap * (areas[best] + areas[order] - common)]
    return np.array(kept, int)
