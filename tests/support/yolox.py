"""Detects people in images with the YOLOX-nano network of ../shared/real, run by onnxruntime.

YOLOX: https://arxiv.org/abs/2107.08430.
"""

import os

import numpy as np
from PIL import Image

SIDE, STRIDES, GRAY = 416, (8, 16, 32), 114  # input size, strides, and value of the padding
PERSON = 0  # index among COCO's classes


class PersonDetector:
    """A person detector with the network of an .onnx file."""

    def __init__(self, path: str | os.PathLike):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.fspath(path), options)
        self._input = self._session.get_inputs()[0].name
        self._cells = np.concatenate([_cells(stride) for stride in STRIDES])  # (3549, 3)

    def __call__(
        self, picture: np.ndarray, *, threshold: float = 0.4, overlap: float = 0.45
    ) -> tuple[np.ndarray, np.ndarray]:
        """Detects people in a uint8 (H, W, 3) RGB image, in descending order of score.

        Args:
            threshold: minimum score.
            overlap: a box whose intersection over union with a box of higher score exceeds this is
                discarded (non-maximum suppression).

        Returns:
            float32 boxes (B, 4), x1, y1, x2, y2 as fractions of the image, and scores (B,).
        """
        height, width = picture.shape[:2]
        scale = min(SIDE / height, SIDE / width)
        size = (int(width * scale), int(height * scale))
        canvas = np.full((SIDE, SIDE, 3), GRAY, np.uint8)
        canvas[: size[1], : size[0]] = Image.fromarray(picture).resize(size, Image.BILINEAR)
        tensor = canvas[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)  # BGR
        (out,) = self._session.run(None, {self._input: np.ascontiguousarray(tensor)})

        out, cells, stride = out[0], self._cells[:, :2], self._cells[:, 2:]
        scores = out[:, 4] * out[:, 5 + PERSON]
        center, half = (out[:, :2] + cells) * stride, np.exp(out[:, 2:4]) * stride / 2
        corners = np.concatenate([center - half, center + half], 1)
        boxes = corners / (np.tile([width, height], 2) * scale)
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= threshold]
        kept: list[int] = []
        for index in order:
            if all(_overlap(boxes[index], boxes[other]) <= overlap for other in kept):
                kept.append(int(index))
        return np.clip(boxes[kept], 0, 1).astype(np.float32), scores[kept]


def _cells(stride: int) -> np.ndarray:
    """Column, row and stride of each output at one stride, in row-major order."""
    side = SIDE // stride
    rows, columns = np.mgrid[:side, :side]
    return np.stack([columns.ravel(), rows.ravel(), np.full(side * side, stride)], 1)


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    common = np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0).prod()
    return common / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - common)
