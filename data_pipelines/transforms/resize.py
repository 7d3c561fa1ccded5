"""Resizing and cropping of frames, with the numbers of PySlowFast.

The resize equals `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`, no
antialiasing (datasets/transform.py of the original); sizes and offsets follow it too.
"""

import math
import threading
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.sparse


def short_side_size(
    height: int, width: int, size: int, *, nearest: bool = False
) -> tuple[int, int]:
    """(height, width) after scaling the shorter side to `size`.

    The longer side is rounded down, or with `nearest` to the nearest pixel, half a pixel up, as
    MMAction2 does.
    """
    if min(height, width) == size:
        return height, width  # long / short * short may come out below long
    if nearest:
        long = int(max(height, width) * (size / min(height, width)) + 0.5)
    else:
        long = math.floor(max(height, width) / min(height, width) * size)
    return (long, size) if width < height else (size, long)


@lru_cache(maxsize=64)
def _neighbors(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each new position: the two old positions around it and the weight of the second.

    Half-pixel centers: position i lies at (i + 1/2) * old / new - 1/2, never below 0. The scale
    and the result are float32 with one rounding between, as PyTorch computes them.
    """
    scale = np.float64(np.float32(old) / np.float32(new))
    position = np.maximum(scale * (np.arange(new) + 0.5) - 0.5, 0).astype(np.float32)
    first = np.minimum(position.astype(np.int64), old - 1)
    second = np.minimum(first + 1, old - 1)
    weight = np.clip(position - first.astype(np.float32), 0, 1)
    return first, second, weight


class _Axis(NamedTuple):
    """How to resize along one axis of a frame.

    needed: the old positions that the result depends on. blend: sparse matrix (new, needed) that
    computes the new values from these. SciPy's product with a dense matrix reads whole lines of
    memory, several times as fast as NumPy gathers single values.
    """

    needed: slice | np.ndarray
    blend: scipy.sparse.csr_array


def _axis(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> _Axis:
    """The matrix of first * (1 - weight) + second * weight: two entries in each row."""
    needed = np.unique(np.concatenate([first, second]))
    if needed[-1] - needed[0] < 1.5 * len(needed):
        block = slice(needed[0], needed[-1] + 1)
        needed = np.arange(block.start, block.stop)
    else:
        block = needed
    between = np.searchsorted(needed, np.stack([first, second], axis=1))
    weights = np.stack([1 - weight, weight], axis=1)
    ends = np.arange(0, 2 * len(first) + 1, 2)
    blend = scipy.sparse.csr_array(
        (weights.ravel(), between.ravel().astype(np.int32), ends.astype(np.int32)),
        shape=(len(first), len(needed)),
    )
    return _Axis(block, blend)


@lru_cache(maxsize=64)
def _plan(
    source: tuple[int, int], size: tuple[int, int], window: tuple[int, int, int, int], mirror: bool
) -> tuple[_Axis, _Axis]:
    """How to compute a window of a resized frame: along rows, and along interleaved RGB values."""
    top, left, height, width = window
    rows = [part[top : top + height] for part in _neighbors(source[0], size[0])]
    first, second, weight = (
        part[left : left + width][:: -1 if mirror else 1]
        for part in _neighbors(source[1], size[1])
    )
    channel = np.arange(3)
    first, second = ((index[:, None] * 3 + channel).ravel() for index in (first, second))
    return _axis(*rows), _axis(first, second, np.repeat(weight, 3))


class _Scratch(threading.local):
    """Memory that a thread reuses for each frame: allocating costs more than the arithmetic."""

    def __init__(self):
        self._blocks: dict[str, np.ndarray] = {}

    def take(self, name: str, shape: tuple[int, int], dtype: type) -> np.ndarray:
        size = shape[0] * shape[1] * np.dtype(dtype).itemsize
        block = self._blocks.get(name)
        if block is None or block.nbytes < size:
            block = self._blocks[name] = np.empty(size, np.uint8)
        return block[:size].view(dtype).reshape(shape)


_scratch = _Scratch()


# Rows transposed at a time, so that they fit the fastest cache.
_TILE = 192


def _transposed(values: np.ndarray, name: str) -> np.ndarray:
    """Float32 transpose (W,H) of (H,W) values, valid until this thread's next call with `name`."""
    result = _scratch.take(name, values.shape[::-1], np.float32)
    for start in range(0, len(values), _TILE):
        tile = slice(start, start + _TILE)
        np.copyto(result[:, tile], values[tile].T)
    return result


def _resize_frame(frame: np.ndarray, rows: _Axis, values: _Axis) -> np.ndarray:
    """The window of one (H,W,3) frame: float32 (h, 3 w).

    Only the rows that the result depends on are read: half of the frame for 1080p to 256.
    """
    pixels = frame.reshape(frame.shape[0], -1)[rows.needed][:, values.needed]
    across = values.blend @ _transposed(pixels, "columns")
    return rows.blend @ _transposed(across, "lines")


def resize(
    frames: np.ndarray,
    height: int,
    width: int,
    *,
    window: tuple[int, int, int, int] | None = None,
    mirror: bool = False,
    dtype: type = np.uint8,
) -> np.ndarray:
    """Resizes (T,H,W,3) frames, uint8 or float32, to (T,height,width,3) of `dtype`.

    Args:
        window: (top, left, height, width) of the resized frames: only this part is computed.
        mirror: flip the result left to right.
        dtype: uint8 rounds half to even; float32 gives what the original computes with.
    """
    if frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(f"expected frames of shape (T,H,W,3), found {frames.shape}")
    top, left, rows, columns = window = window or (0, 0, height, width)
    if min(window) < 0 or top + rows > height or left + columns > width:
        raise ValueError(
            f"window {window} (top, left, height, width) lies outside a {height}x{width} frame"
        )
    if frames.shape[1:3] == (height, width):
        if (rows, columns) != (height, width):
            frames = frames[:, top : top + rows, left : left + columns]
        if mirror:
            frames = np.ascontiguousarray(frames[:, :, ::-1])
        return frames.astype(dtype, copy=False)
    plan = _plan(frames.shape[1:3], (height, width), window, mirror)
    result = np.empty((len(frames), rows, columns, 3), dtype)
    for target, frame in zip(result, frames, strict=True):
        resized = _resize_frame(frame, *plan)
        if dtype == np.uint8:
            np.rint(resized, out=resized)
        np.copyto(target, resized.reshape(target.shape), casting="unsafe")
    return result


def resize_short_side(
    frames: np.ndarray, size: int, *, nearest: bool = False, dtype: type = np.uint8
) -> np.ndarray:
    """Resizes (T,H,W,3) frames so that the shorter side is `size`.

    See `resize`, and `short_side_size` for `nearest`.
    """
    height, width = frames.shape[1:3]
    return resize(frames, *short_side_size(height, width, size, nearest=nearest), dtype=dtype)


def uniform_crop_offsets(height: int, width: int, size: int, index: int) -> tuple[int, int]:
    """(top, left) of the square crop `index`: 0 left or top, 1 center, 2 right or bottom.

    The crops lie along the longer side, in a square frame from left to right. A center between two
    pixels is rounded up.

    Raises:
        ValueError: the crop does not fit the frame (where the original takes a wrong part).
    """
    if index not in (0, 1, 2):
        raise ValueError(f"crop index {index} is outside 0..2")
    if size > min(height, width):
        raise ValueError(
            f"a {size}x{size} crop does not fit a {width}x{height} frame; "
            f"resize the short side to at least {size} first"
        )
    top, left = math.ceil((height - size) / 2), math.ceil((width - size) / 2)
    if height > width:
        top = (0, top, height - size)[index]
    else:
        left = (0, left, width - size)[index]
    return top, left


def uniform_crop(frames: np.ndarray, size: int, index: int) -> np.ndarray:
    """The square crop `index` (see `uniform_crop_offsets`) of (T,H,W,3) frames, as a view."""
    top, left = uniform_crop_offsets(*frames.shape[1:3], size, index)
    return frames[:, top : top + size, left : left + size]


def even_crop(frames: np.ndarray, size: int, index: int) -> np.ndarray:
    """The square crop `index` of (T,H,W,3) frames as MMAction2 cuts it, as a view.

    0 is left or top, 1 the center and 2 right or bottom. A center between two pixels is rounded
    down, and the right crop is as far from the center as the left one. Left and right crops are
    along the longer side of frames whose short side is `size`.

    Raises:
        ValueError: the crop does not fit the frame.
    """
    height, width = frames.shape[1:3]
    uniform_crop_offsets(height, width, size, index)  # checks
    top, left = index * ((height - size) // 2), index * ((width - size) // 2)
    return frames[:, top : top + size, left : left + size]
