"""RF-DETR: what goes into the network, and persons from what comes out.

https://arxiv.org/abs/2511.09554; the files that `export()` of its package `rfdetr` writes.
"""

import numpy as np

from data_pipelines.transforms.resize import resize
from slowfast_jax.detectors.detections import Detections, best_first

MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet
STD = np.array([0.229, 0.224, 0.225], np.float32)
CLASSES, PERSON = 91, 1  # COCO's category numbers, which start at 1
THRESHOLD = 0.5


def prepare(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture (H, W, 3) -> float32 (1, 3, height, width): RGB, normalized, not in proportion.

    As in `RFDETR.predict`, it is resized without antialiasing.
    """
    (small,) = resize(picture[None], height, width, dtype=np.float32)
    normalized = (small / 255 - MEAN) / STD
    return np.ascontiguousarray(normalized.transpose(2, 0, 1)[None])


def decode(boxes: np.ndarray, logits: np.ndarray, threshold: float) -> Detections:
    """The persons in a picture. The network gives each object one box.

    Args:
      boxes: (Q, 4), center, width and height as fractions of the picture.
      logits: (Q, 91).
    """
    with np.errstate(over="ignore"):  # exp of a large number: the score is 0
        scores = 1 / (1 + np.exp(-logits[:, PERSON]))
    center, half = boxes[:, :2], boxes[:, 2:] / 2
    return best_first(np.concatenate([center - half, center + half], 1), scores, threshold)
