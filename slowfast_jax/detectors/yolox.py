"""YOLOX: what goes into the network, and persons from what comes out.

https://arxiv.org/abs/2107.08430; the files that its authors publish and those that its
tools/export_onnx.py writes.
"""

import numpy as np

from data_pipelines.transforms.resize import resize
from slowfast_jax.detectors.detections import Detections, best_first, suppress

STRIDES, GRAY = (8, 16, 32), 114  # pixels between the cells of each level; value of the padding
COLUMNS, PERSON = 85, 0  # box, objectness and COCO's 80 classes; the class among them
THRESHOLD, OVERLAP = 0.4, 0.45


def rows_of(height: int, width: int) -> int:
    """How many boxes a network with inputs of this size gives."""
    return sum((height // stride) * (width // stride) for stride in STRIDES)


def prepare(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture (H, W, 3) -> float32 (1, 3, height, width): BGR from 0 to 255, in the top left
    corner of a gray canvas."""
    new_width, new_height = _fitted(picture.shape, height, width)
    canvas = np.full((height, width, 3), GRAY, np.uint8)
    canvas[:new_height, :new_width] = resize(picture[None], new_height, new_width)[0]
    return np.ascontiguousarray(canvas[..., ::-1].transpose(2, 0, 1)[None], np.float32)


def is_decoded(output: np.ndarray, width: int) -> bool:
    """Whether an output (N, 85) has the centers of boxes in pixels.

    They are spread over the whole input then, because there are boxes everywhere. Otherwise they
    are relative to the cells, in units of their stride.
    """
    return bool(np.median(np.abs(output[:, 0])) > width / 8)


def decode(
    output: np.ndarray, height: int, width: int, shape: tuple[int, ...], threshold: float, *,
    decoded: bool,
) -> Detections:
    """The persons in a picture of the given shape.

    Args:
      output: (N, 85), of a network with inputs of that height and width.
      decoded: see `is_decoded`.
    """
    scores = output[:, 4] * output[:, 5 + PERSON]
    likely = scores >= threshold
    output, scores = output[likely].astype(np.float64), scores[likely]
    center, size = output[:, :2], output[:, 2:4]
    if not decoded:
        cells = np.concatenate([_cells(height, width, stride) for stride in STRIDES])[likely]
        stride = cells[:, 2:]
        with np.errstate(over="ignore"):  # of a wrong network
            center, size = (center + cells[:, :2]) * stride, np.exp(size) * stride
    boxes = np.concatenate([center - size / 2, center + size / 2], 1)
    boxes = boxes / np.tile(_fitted(shape, height, width), 2)
    finite = np.isfinite(boxes).all(1)
    boxes, scores = boxes[finite], scores[finite]
    kept = suppress(boxes, scores, OVERLAP)
    return best_first(boxes[kept], scores[kept], threshold)


def _fitted(shape: tuple[int, ...], height: int, width: int) -> tuple[int, int]:
    """Width and height of a picture that is scaled to fit into the input."""
    scale = min(height / shape[0], width / shape[1])
    return max(1, int(shape[1] * scale)), max(1, int(shape[0] * scale))


def _cells(height: int, width: int, stride: int) -> np.ndarray:
    """Column, row and stride of each box of one level, in row-major order."""
    rows, columns = np.mgrid[: height // stride, : width // stride]
    return np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], 1)
