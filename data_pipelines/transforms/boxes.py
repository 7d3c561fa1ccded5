"""Boxes under scaling, cropping, flipping and clipping, as in the original.

Boxes are float64 (B,4), each x1, y1, x2, y2 in pixels. As in the original's
datasets/cv2_transform.py (and transform.py, which agrees), a flip maps x to width - x - 1, and
clipping limits coordinates to side - 1.
"""

import numpy as np


def from_fractions(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Converts fractions of the frame to pixels: float64 (B,4), clipped to the frame."""
    return clip(np.asarray(boxes, np.float64) * [width, height, width, height], height, width)


def scale(boxes: np.ndarray, size: tuple[int, int], new_size: tuple[int, int]) -> np.ndarray:
    """Boxes of a frame of (height, width) `size` that is resized to `new_size`.

    As in the original, both axes are scaled by the factor of the longer side, although that is a
    little smaller than the shorter side's because the longer side is rounded down.
    """
    long = 0 if size[1] < size[0] else 1
    return boxes * new_size[long] / size[long]


def stretch(boxes: np.ndarray, size: tuple[int, int], new_size: tuple[int, int]) -> np.ndarray:
    """Boxes of a resized frame whose aspect ratio changes: each axis has its own factor."""
    down, across = new_size[0] / size[0], new_size[1] / size[1]
    return boxes * [across, down, across, down]


def crop(boxes: np.ndarray, top: int, left: int) -> np.ndarray:
    """Boxes relative to a crop whose first pixel is (top, left); not clipped to it."""
    return boxes - [left, top, left, top]


def flip(boxes: np.ndarray, width: int) -> np.ndarray:
    """Boxes of a picture that is flipped left to right."""
    x1, y1, x2, y2 = boxes.T
    return np.stack([width - x2 - 1, y1, width - x1 - 1, y2], axis=1)


def clip(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes clipped to the picture; a box outside it has no area afterwards."""
    return np.clip(boxes, 0, [width - 1.0, height - 1.0, width - 1.0, height - 1.0])


def has_area(boxes: np.ndarray) -> np.ndarray:
    """Which boxes have an area above 0: bool (B,)."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of each of (B,4) boxes with each of (C,4) others: float (B,C).

    Coordinates are continuous, as fractions of a frame are. Each box must have an area.
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=-1)
    areas, other_areas = (np.prod(each[:, 2:] - each[:, :2], axis=-1) for each in (boxes, others))
    return common / (areas[:, None] + other_areas[None] - common)
