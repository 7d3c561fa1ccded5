"""Adapts parameters of transformers to networks of other clips than they were trained on.

The rules are those by which PySlowFast starts a training (slowfast/utils/checkpoint.py):

- Tables of relative and of temporal positions of another length are interpolated linearly, spatial
  ones bicubically, as `torch.nn.functional.interpolate` does.
- From a network of images to one of videos (TRAIN.CHECKPOINT_IN_INIT), kernels of patches and of
  poolings are repeated over time. Unlike other inflated kernels, they are not divided by the number
  of frames. In the other direction, kernels of patches are summed over time, and spatial positions
  become those of all patches.

Arrays are in this project's layout.
"""

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from convert.layouts import from_torch, is_inflated

RULES = ("", "positions", "images")  # none; those for positions; all
CUBIC = -0.75  # PyTorch's parameter of bicubic interpolation
PATCHES = "patch_embed/kernel"
# Paths of a network of videos that a network of images has no values for.
NOT_OF_IMAGES = ("cls_token", "pos_embed.*", ".*/rel_pos_t")


def converted(
    path: str, array: np.ndarray, shape: tuple[int, ...], scheme: str, rules: str
) -> tuple[np.ndarray, str]:
    """A tensor of a file in this project's layout, and how it was adapted ("" if it was not)."""
    if scheme != "slowfast_jax":
        # The rule for patches of images replaces the usual inflation.
        images = rules == "images" and path == PATCHES and is_inflated(array, shape)
        array = from_torch(array, (1, *shape[1:]) if images else shape, path.rpartition("/")[2])
    return adapted(path, array, shape, rules)


def adapted(
    path: str, array: np.ndarray, shape: tuple[int, ...], rules: str
) -> tuple[np.ndarray, str]:
    """The parameter with the shape that the model needs, and how it was changed.

    Args:
      path: the path of the parameter.
      array: its values in the checkpoint.
      shape: its shape in the model.
      rules: which rules to apply, one of RULES.

    Returns:
      The array unchanged and "" if no rule applies.
    """
    if not rules or array.shape == shape or array.ndim != len(shape):
        return array, ""
    leaf = path.rpartition("/")[2]
    if rules == "images" and array.ndim == 5 and array.shape[1:] == shape[1:]:
        pooling = re.search(r"(^|/)attn/pool_[qkv]/kernel$", path)
        if len(array) == 1 and (path == PATCHES or pooling):
            return np.repeat(array, shape[0], axis=0), "repeated over time"
        if shape[0] == 1 and path == PATCHES:
            return array.sum(0, keepdims=True), "summed over time"
    if leaf.startswith("rel_pos_") and array.shape[1:] == shape[1:]:
        return resized(array, shape[0], 0), "interpolated"
    if leaf == "pos_embed_temporal" and array.shape[2] == shape[2]:
        return resized(array, shape[1], 1), "interpolated"
    if leaf == "pos_embed_spatial" and array.shape[2] == shape[2]:
        old, new = math.isqrt(array.shape[1]), math.isqrt(shape[1])
        if (old * old, new * new) == (array.shape[1], shape[1]):
            grid = array.reshape(1, old, old, -1)
            grid = resized(resized(grid, new, 1, cubic=True), new, 2, cubic=True)
            return grid.reshape(shape), "interpolated"
    return array, ""


def join_positions(
    given: dict[str, tuple[str, np.ndarray]], shapes: Mapping[str, Sequence[int]]
) -> dict[str, str]:
    """Replaces the separate positions of a network of videos by the joint ones of an image.

    Args:
      given: path -> (name in the file, array); changed if the model has joint positions that the
        spatial ones, after that of a class token, fit.
      shapes: path -> shape in the model.

    Returns:
      path -> how its values were computed.
    """
    path, spatial, first = "pos_embed", "pos_embed_spatial", "pos_embed_class"
    if path not in shapes or path in given or spatial not in given:
        return {}
    name, joint = given[spatial]
    parts = [spatial]
    if first in given and joint.shape != tuple(shapes[path]):
        joint, parts = np.concatenate([given[first][1], joint], 1), [spatial, first]
    if joint.shape != tuple(shapes[path]):
        return {}
    given[path] = (name, joint)
    for part in parts:
        del given[part]
    return {path: f"joined from {' and '.join(parts)}"}


def resized(array: np.ndarray, size: int, axis: int, *, cubic: bool = False) -> np.ndarray:
    """`array` with `size` places along `axis`, by linear or cubic interpolation."""
    weights = _weights(array.shape[axis], size, cubic)
    moved = np.tensordot(weights, array.astype(np.float64), ((1,), (axis,)))
    return np.moveaxis(moved, 0, axis).astype(array.dtype)


def _weights(old: int, new: int, cubic: bool) -> np.ndarray:
    """`(new, old)`: share of each old place in each new one; centers are at half places."""
    place = (np.arange(new) + 0.5) * (old / new) - 0.5
    if not cubic:
        place = np.clip(place, 0, old - 1)
    low = np.floor(place)
    weights, rows = np.zeros((new, old)), np.arange(new)
    for tap in range(-1, 3) if cubic else range(2):
        columns = np.clip(low + tap, 0, old - 1).astype(int)  # the border is repeated
        distance = np.abs(place - low - tap)
        np.add.at(weights, (rows, columns), _cubic(distance) if cubic else 1 - distance)
    return weights


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel for distances of at most 2."""
    a = CUBIC
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, far)
