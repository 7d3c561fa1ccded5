"""Masks for masked pre-training: the patches of a picture or clip that are hidden from the network.

Drawn as in the original (datasets/transform.py, kinetics.py, models/masked.py): blocks of patches
as in BEiT (Bao et al. 2021), blocks in space and time for MaskFeat (Wei et al. 2021), whole frames,
and single patches for MAE (He et al. 2021; for clips Feichtenhofer et al. 2022). True means masked.
"""

import math

import numpy as np

TRIES_2D, TRIES_3D = 10, 100  # for a block that fits and masks something new
MIN_ASPECT = 0.3  # of a block's height and width; the largest is its inverse


def draw_blocks(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    ratio: float,
    most: int | None = None,
) -> np.ndarray:
    """A mask of rectangles: bool (height,width), at most round(ratio * height * width) are True.

    Rectangles are added until that number is reached or no rectangle that fits is found. Each has
    at least a fifth of that number of patches (fewer if fewer are left) and at most `most`.

    Raises:
        ValueError: the ratio is not within 0..1.
    """
    target = round(height * width * _checked(ratio))
    least, limit = target // 5, target if most is None else most
    mask = np.zeros((height, width), bool)
    count = 0
    while count < target:
        room = min(target - count, limit)
        for _ in range(TRIES_2D):
            rows, columns = _sides(rng, least, room)
            if columns >= width or rows >= height:
                continue
            top = int(rng.integers(0, height - rows + 1))
            left = int(rng.integers(0, width - columns + 1))
            if added := _cover(mask[top : top + rows, left : left + columns], room):
                count += added
                break
        else:
            break
    return mask


def draw_tube(
    rng: np.random.Generator,
    frames: int,
    height: int,
    width: int,
    *,
    ratio: float,
    most: int | None = None,
) -> np.ndarray:
    """One mask of `draw_blocks` for all frames: bool (frames,height,width)."""
    mask = draw_blocks(rng, height, width, ratio=ratio, most=most)
    return np.tile(mask, (frames, 1, 1))


def draw_cubes(
    rng: np.random.Generator, frames: int, height: int, width: int, *, ratio: float
) -> np.ndarray:
    """A mask of blocks in space and time: bool (frames,height,width).

    At most round(ratio * frames * height * width) patches are True.
    A block covers from a fifth of a frame to all of it, in any number of frames.

    Raises:
        ValueError: the ratio is not within 0..1.
    """
    target = round(frames * height * width * _checked(ratio))
    mask = np.zeros((frames, height, width), bool)
    count = 0
    while count < target:
        room = target - count
        for _ in range(TRIES_3D):
            rows, columns = _sides(rng, height * width // 5, height * width)
            length = int(rng.integers(1, frames + 1))
            if columns >= width or rows >= height:
                continue
            top = int(rng.integers(0, height - rows + 1))
            left = int(rng.integers(0, width - columns + 1))
            front = int(rng.integers(0, frames - length + 1))
            block = mask[front : front + length, top : top + rows, left : left + columns]
            if added := _cover(block, room):
                count += added
                break
        else:
            break
    return mask


def draw_frames(
    rng: np.random.Generator, frames: int, height: int, width: int, *, ratio: float
) -> np.ndarray:
    """round(ratio * frames) whole frames: bool (frames,height,width)."""
    mask = np.zeros((frames, height, width), bool)
    mask[rng.permutation(frames)[: round(frames * _checked(ratio))]] = True
    return mask


def draw_random(
    rng: np.random.Generator,
    frames: int,
    height: int,
    width: int,
    *,
    ratio: float,
    tube: bool = False,
) -> np.ndarray:
    """A mask of single random patches, as in MAE: bool (frames,height,width).

    int(frames * height * width * (1 - ratio)) patches are False.

    Args:
        tube: mask the same patches in all frames, int(height * width * (1 - ratio)) of each frame
            being False. (The original rounds over all frames, so that one patch differs.)

    Raises:
        ValueError: the ratio is not within 0..1.
    """
    shape = (1 if tube else frames, height, width)
    size = math.prod(shape)
    mask = np.ones(size, bool)
    mask[rng.permutation(size)[: int(size * (1 - _checked(ratio)))]] = False
    return np.tile(mask.reshape(shape), (frames, 1, 1)) if tube else mask.reshape(shape)


def _sides(rng: np.random.Generator, least: float, most: float) -> tuple[int, int]:
    """(height, width) of a rectangle of `least` to `most` patches."""
    # Not rng.uniform: near the end there may be less room than `least`.
    area = least + (most - least) * rng.random()
    low, high = math.log(MIN_ASPECT), math.log(1 / MIN_ASPECT)
    aspect = math.exp(low + (high - low) * rng.random())
    return round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))


def _cover(block: np.ndarray, room: int) -> int:
    """Masks a block (a view) if that adds at least 1, at most `room` patches; returns how many."""
    added = int((~block).sum())
    if not 0 < added <= room:
        return 0
    block[...] = True
    return added


def _checked(ratio: float) -> float:
    if not 0 <= ratio <= 1:
        raise ValueError(f"ratio is {ratio}; expected the share of masked patches within 0..1")
    return ratio
