"""Geometry of a clip: cropping, resizing and flipping of its frames and boxes.

Drawing random numbers and applying them are separate: `draw`, `center`, `whole` and `stretched`
give a `Geometry`, which `apply` applies to frames and `apply_boxes` to boxes. The random numbers
follow PySlowFast's datasets/utils.py (spatial_sampling) and transform.py, but come from the given
generator.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from data_pipelines.sampling import linspace_indices
from data_pipelines.transforms import boxes as box_arithmetic
from data_pipelines.transforms.resize import resize, short_side_size, uniform_crop_offsets

Area = tuple[int, int, int, int]  # top, left, height, width


@dataclass(frozen=True, slots=True)
class Geometry:
    """Changes applied to frames, in the order of the fields.

    Attributes:
        source: (height, width) of the frames.
        area: the part that is cut out; None: the whole frame.
        size: (height, width) to which that part is resized.
        window: the part of the resized frame that is kept.
        flip: whether it is mirrored left to right.
        last_area: the area of the last frame, if the area moves from the first frame to the last.
    """

    source: tuple[int, int]
    area: Area | None
    size: tuple[int, int]
    window: Area
    flip: bool
    last_area: Area | None = None


def draw(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    crop: int,
    jitter: tuple[int, int] = (256, 320),
    inverse_uniform: bool = False,
    flip: bool = True,
    jitter_scales_relative: tuple[float, float] | tuple[()] = (),
    jitter_aspect_relative: tuple[float, float] | tuple[()] = (),
    motion_shift: bool = False,
) -> Geometry:
    """Draws the geometry of training: a random crop x crop square, flipped with probability 1/2.

    The short side is scaled to a random integer within `jitter`, and a square is cut out at a
    random position. With the relative ranges, `jitter` is not used: an area of random size and
    aspect ratio is stretched to the square (Szegedy et al. 2015).

    Args:
        jitter: smallest and largest short side in pixels.
        inverse_uniform: draw 1 / short side uniformly, instead of the short side.
        flip: False never flips.
        jitter_scales_relative: smallest and largest area as a share of the frame's.
        jitter_aspect_relative: smallest and largest width / height, drawn on a log scale.
        motion_shift: draw two areas, for the first and the last frame, and interpolate for the
            frames between them; needs the relative ranges.

    Raises:
        ValueError: the crop does not fit the smallest short side, a range is not two rising
            positive numbers, or there is a motion shift without the relative ranges.
    """
    last_area = None
    if jitter_scales_relative or jitter_aspect_relative:
        _check_range("jitter_scales_relative", jitter_scales_relative)
        _check_range("jitter_aspect_relative", jitter_aspect_relative)
        ranges = jitter_scales_relative, jitter_aspect_relative
        area = _draw_area(rng, height, width, *ranges)
        if motion_shift:
            last_area = _draw_area(rng, height, width, *ranges)
        size, window = (crop, crop), (0, 0, crop, crop)
    elif motion_shift:
        raise ValueError(
            "a motion shift moves a random area; set data.jitter_scales_relative and "
            "data.jitter_aspect_relative"
        )
    else:
        _check_range("jitter", jitter)
        if jitter[0] < crop:
            raise ValueError(
                f"a {crop}x{crop} crop does not fit a short side of {jitter[0]}; data.jitter "
                f"{tuple(jitter)} must begin at {crop} or more"
            )
        if inverse_uniform:
            side = round(1.0 / rng.uniform(1.0 / jitter[1], 1.0 / jitter[0]))
        else:
            side = round(rng.uniform(*jitter))
        size = short_side_size(height, width, side)
        # The last position is never drawn, as in the original.
        top, left = (int(rng.integers(side - crop)) if side > crop else 0 for side in size)
        area, window = None, (top, left, crop, crop)
    flipped = bool(flip and rng.random() < 0.5)
    return Geometry((height, width), area, size, window, flipped, last_area)


def center(height: int, width: int, *, short_side: int, crop: int, flip: bool = False) -> Geometry:
    """The center crop x crop square of frames scaled to a short side of `short_side`."""
    size = short_side_size(height, width, short_side)
    window = (*uniform_crop_offsets(*size, crop, 1), crop, crop)
    return Geometry((height, width), None, size, window, flip)


def whole(height: int, width: int, *, short_side: int, flip: bool = False) -> Geometry:
    """The whole frame, scaled to a short side of `short_side`."""
    size = short_side_size(height, width, short_side)
    return Geometry((height, width), None, size, (0, 0, *size), flip)


def stretched(height: int, width: int, *, size: tuple[int, int]) -> Geometry:
    """The whole frame at (height, width) `size`: as `whole` if that gives this size."""
    kept = whole(height, width, short_side=min(size))
    if kept.size == size:
        return kept
    return Geometry((height, width), (0, 0, height, width), size, (0, 0, *size), False)


def apply(frames: np.ndarray, geometry: Geometry, *, dtype: type = np.uint8) -> np.ndarray:
    """Applies the geometry to frames (T,H,W,3).

    Only the pixels of the window are computed.

    Returns:
        (T,height,width,3) of `dtype`, with the height and width of the window; uint8 is rounded.
    """
    if frames.shape[1:3] != geometry.source:
        raise ValueError(f"frames are {frames.shape[1:3]}; the geometry is for {geometry.source}")
    if geometry.last_area is not None:
        areas = _areas_between(geometry.area, geometry.last_area, len(frames))
        each = (replace(geometry, area=area, last_area=None) for area in areas)
        return np.concatenate([
            apply(frame[None], one, dtype=dtype) for frame, one in zip(frames, each, strict=True)
        ])
    if geometry.area is not None:
        top, left, height, width = geometry.area
        # Contiguous, because `resize` reads rows as lines of interleaved values.
        frames = np.ascontiguousarray(frames[:, top : top + height, left : left + width])
    return np.ascontiguousarray(resize(
        frames, *geometry.size, window=geometry.window, mirror=geometry.flip, dtype=dtype
    ))


def apply_boxes(boxes: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Maps boxes (B,4) from pixels of the source frame to pixels of the result, and clips them.

    A box outside the window keeps its row but has no area.

    Raises:
        ValueError: the area moves, so that a box has another place in each frame.
    """
    if geometry.last_area is not None:
        raise ValueError("boxes cannot follow an area that moves between frames (motion_shift)")
    if geometry.area is None:
        boxes = box_arithmetic.scale(boxes, geometry.source, geometry.size)
    else:
        top, left, *area = geometry.area
        boxes = box_arithmetic.crop(boxes, top, left)
        boxes = box_arithmetic.stretch(boxes, tuple(area), geometry.size)
    top, left, height, width = geometry.window
    boxes = box_arithmetic.crop(boxes, top, left)
    if geometry.flip:
        boxes = box_arithmetic.flip(boxes, width)
    return box_arithmetic.clip(boxes, height, width)


def _draw_area(
    rng: np.random.Generator,
    height: int,
    width: int,
    scales: tuple[float, float],
    aspects: tuple[float, float],
) -> Area:
    """A random area; if ten draws do not fit the frame, the largest one in the center."""
    for _ in range(10):
        area = rng.uniform(*scales) * height * width
        aspect = math.exp(rng.uniform(math.log(aspects[0]), math.log(aspects[1])))
        columns, rows = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < columns <= width and 0 < rows <= height:
            top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
            return int(top), int(left), rows, columns
    columns, rows = width, height
    if width / height < aspects[0]:
        rows = round(width / aspects[0])
    elif width / height > aspects[1]:
        columns = round(height * aspects[1])
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def _areas_between(first: Area, last: Area, count: int) -> list[Area]:
    """`count` evenly spaced areas from `first` to `last`, truncated to integers."""
    numbers = [
        linspace_indices(start, end, count, max(start, end) + 1)
        for start, end in zip(first, last, strict=True)
    ]
    return [tuple(area) for area in np.stack(numbers, axis=1).tolist()]


def _check_range(name: str, values: tuple) -> None:
    if len(values) != 2 or not 0 < values[0] <= values[1]:
        raise ValueError(f"data.{name} is {tuple(values)}; expected two rising positive numbers")
