"""Random erasing of a clip (Zhong et al. 2020): rectangles are filled with noise.

Random numbers are drawn as in the original's datasets/random_erasing.py, which erases in normalized
clips with noise of mean 0 and standard deviation 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MODES = ("pixel", "rand", "const")


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A rectangle of `size` (height, width) at (top, left), in `frames` frames from `first` on.

    noise: float32 normalized values that fill it; broadcasts to (frames, height, width, 3).
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
    """Draws the rectangles to erase in a clip: none, or 1 to `count`.

    Args:
        probability: of erasing anything in a clip.
        mode: "pixel": noise in each pixel; "rand": one random color in each frame; "const": the
            mean color.
        count: the largest number of rectangles, which share the erased area.
        splits: the first 1 / splits of the frames is not erased; 1: all frames are.
        area: smallest and largest share of the picture that is erased.
        aspect: smallest and largest height / width, drawn on a log scale.
        cube: erase the same rectangles in all frames; False draws for each frame.

    Raises:
        ValueError: the mode does not exist.
    """
    if mode not in MODES:
        raise ValueError(f"the mode of erasing is {mode!r}; expected one of {', '.join(MODES)}")
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
    """Fills the patches of (T,H,W,3) frames: the same shape and type.

    Float frames are taken to be normalized and get the noise itself. uint8 frames get the levels
    that normalizing by `mean` and `std` (on a scale of 0..1) turns into the noise, rounded and
    clipped to 0..255; with the defaults this clips 3 % of the noise, below -2 and above 2.4.
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
