"""Random erasing of a clip (Zhong et al. 2020): rectangles of it are filled with noise.

As the original's datasets/random_erasing.py draws, which erases in clips that are normalized
already: noise of mean 0 and deviation 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MODES = ("pixel", "rand", "const")


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A rectangle of `size` (height, width) at (top, left), in `frames` frames from `first` on.

    `noise` float32 is what it is filled with, of a shape that broadcasts to
    (frames, height, width, 3), as normalized values.
    """

    first: int
    frames: int
    top: int
    left: int
    size: tuple[int, int]
    noise: np.ndarray


def draw(
    rng: np.random.Generator,
    frames: int,
    height: int,
    width: int,
    *,
    probability: float = 0.25,
    mode: str = "pixel",
    count: int = 1,
    splits: int = 1,
    area: tuple[float, float] = (0.02, 1 / 3),
    aspect: tuple[float, float] = (0.3, 1 / 0.3),
    cube: bool = True,
) -> tuple[Patch, ...]:
    """What is erased of a clip: nothing, or 1 to `count` rectangles.

    Args:
        probability: of erasing anything.
        mode: "pixel": noise in each pixel; "rand": one random color in each frame; "const": the
            mean color.
        count: the largest number of rectangles; each has its share of the area.
        splits: the first of so many parts of the frames stays as it is; 1: none does.
        area: smallest and largest part of the picture that is erased, before it is shared.
        aspect: smallest and largest height / width, drawn on a log scale.
        cube: the same rectangles in all frames, rather than each frame its own draw.

    Raises:
        ValueError: the mode does not exist.
    """
    if mode not in MODES:
        raise ValueError(f"erasing's mode is {mode!r}, expected {', '.join(MODES)}")
    start = frames // splits if splits > 1 else 0
    groups = [(start, frames - start)] if cube else [(i, 1) for i in range(start, frames)]
    patches = []
    for first, length in groups:
        if rng.random() > probability:
            continue
        number = int(rng.integers(1, count + 1)) if count > 1 else 1
        for _ in range(number):
            for _ in range(100 if cube else 10):
                pixels = rng.uniform(*area) * height * width / number
                ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
                rows, columns = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
                if rows < height and columns < width:
                    top = int(rng.integers(height - rows + 1))
                    left = int(rng.integers(width - columns + 1))
                    noise = _draw_noise(rng, mode, length, rows, columns)
                    patches.append(Patch(first, length, top, left, (rows, columns), noise))
                    break
    return tuple(patches)


def _draw_noise(
    rng: np.random.Generator, mode: str, frames: int, height: int, width: int
) -> np.ndarray:
    if mode == "const":
        return np.zeros((1, 1, 1, 1), np.float32)
    shape = (frames, height, width, 3) if mode == "pixel" else (frames, 1, 1, 3)
    return rng.standard_normal(shape, dtype=np.float32)


def apply(
    frames: np.ndarray,
    patches: Sequence[Patch],
    *,
    mean: Sequence[float] = (0.45, 0.45, 0.45),
    std: Sequence[float] = (0.225, 0.225, 0.225),
) -> np.ndarray:
    """(T,H,W,3) frames with `patches` filled: the same shape and type.

    Float frames are normalized already and get the noise as it is. uint8 ones get the levels that
    normalizing by `mean` and `std` (scale 0..1) turns into it, rounded and kept within 0..255:
    with the defaults 3 % of the noise is cut off, below -2 and above 2.4.
    """
    if not patches:
        return frames
    result = frames.copy()
    for patch in patches:
        noise = patch.noise
        if frames.dtype == np.uint8:
            levels = 255 * (np.asarray(mean, np.float32) + np.asarray(std, np.float32) * noise)
            noise = np.clip(np.rint(levels), 0, 255)
        rows, columns = patch.size
        result[
            patch.first : patch.first + patch.frames,
            patch.top : patch.top + rows,
            patch.left : patch.left + columns,
        ] = noise
    return result
