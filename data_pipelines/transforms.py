"""Which pixels of a frame make the input: resizing and cropping, with the numbers of PySlowFast.

The resize equals `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`, no
antialiasing (datasets/transform.py of the original); sizes and offsets follow it too.
"""

import math
from functools import lru_cache

import numpy as np


def short_side_size(height: int, width: int, size: int) -> tuple[int, int]:
    """(height, width) after scaling the shorter side to `size`, the longer one rounded down."""
    if min(height, width) == size:
        return height, width  # long / short * short may come out below long
    if width < height:
        return math.floor(height / width * size), size
    return size, math.floor(width / height * size)


@lru_cache(maxsize=64)
def _neighbours(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `new` positions the two old ones it lies between and the weight of the second.

    Half-pixel centres: position i lies at (i + 1/2) * old / new - 1/2, never below 0. The scale
    and the result are float32 with one rounding between, as PyTorch computes them.
    """
    scale = np.float64(np.float32(old) / np.float32(new))
    position = np.maximum(scale * (np.arange(new) + 0.5) - 0.5, 0).astype(np.float32)
    first = np.minimum(position.astype(np.int64), old - 1)
    second = np.minimum(first + 1, old - 1)
    weight = np.clip(position - first.astype(np.float32), 0, 1)
    return first, second, weight


@lru_cache(maxsize=64)
def _columns(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`_neighbours` for a row of interleaved RGB values: (3 * new,) each."""
    first, second, weight = _neighbours(old, new)
    channel = np.arange(3)
    return (
        (first[:, None] * 3 + channel).ravel(),
        (second[:, None] * 3 + channel).ravel(),
        np.repeat(weight, 3),
    )


def _resize_frame(
    frame: np.ndarray, height: int, width: int, window: tuple[int, int, int, int]
) -> np.ndarray:
    """The (top, left, h, w) `window` of one (H,W,3) frame resized to (height,width): float32.

    Only the rows that a result lies between are touched, so that 1080p to 256 reads half the frame.
    """
    first_row, first_column, rows, columns = window
    down_slice = slice(first_row, first_row + rows)
    across_slice = slice(3 * first_column, 3 * (first_column + columns))
    top, bottom, down = (part[down_slice] for part in _neighbours(frame.shape[0], height))
    left, right, across = (part[across_slice] for part in _columns(frame.shape[1], width))
    pixels = frame.reshape(frame.shape[0], -1)

    def blend_columns(rows: np.ndarray) -> np.ndarray:
        lines = pixels.take(rows, axis=0)
        result = lines.take(left, axis=1).astype(np.float32)
        other = lines.take(right, axis=1).astype(np.float32)
        result *= 1 - across
        other *= across
        result += other
        return result

    result, other = blend_columns(top), blend_columns(bottom)
    result *= 1 - down[:, None]
    other *= down[:, None]
    result += other
    return result.reshape(rows, columns, 3)


def resize(
    frames: np.ndarray,
    height: int,
    width: int,
    *,
    window: tuple[int, int, int, int] | None = None,
    dtype: type = np.uint8,
) -> np.ndarray:
    """Resizes (T,H,W,3) frames, uint8 or float32, to (T,height,width,3) of `dtype`.

    uint8 results are rounded, half to even; float32 ones are what the original computes with. Of
    the resized frames only the (top, left, height, width) `window` is computed, if given.
    """
    if frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(f"expected frames of shape (T,H,W,3), found {frames.shape}")
    top, left, rows, columns = window = window or (0, 0, height, width)
    if min(window) < 0 or top + rows > height or left + columns > width:
        raise ValueError(f"window {window} (top, left, height, width) leaves {height}x{width}")
    if frames.shape[1:3] == (height, width):
        if (rows, columns) != (height, width):
            frames = frames[:, top : top + rows, left : left + columns]
        return frames.astype(dtype, copy=False)
    result = np.empty((len(frames), rows, columns, 3), dtype)
    for target, frame in zip(result, frames, strict=True):
        resized = _resize_frame(frame, height, width, window)
        target[...] = np.rint(resized, out=resized) if dtype == np.uint8 else resized
    return result


def resize_short_side(frames: np.ndarray, size: int, *, dtype: type = np.uint8) -> np.ndarray:
    """Resizes (T,H,W,3) frames so that the shorter side is `size`; see `resize`."""
    height, width = frames.shape[1:3]
    return resize(frames, *short_side_size(height, width, size), dtype=dtype)


def uniform_crop_offsets(height: int, width: int, size: int, index: int) -> tuple[int, int]:
    """(top, left) of the square crop `index`: 0 left or top, 1 centre, 2 right or bottom.

    The crop moves along the longer side; in a square frame it moves from left to right. Centres
    that fall between two pixels take the later one.

    Raises:
        ValueError: the crop does not fit the frame (the original silently takes the wrong end).
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
