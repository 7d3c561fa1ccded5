"""RandAugment of a clip (Cubuk et al. 2020): random operations, the same for all frames.

Random numbers and results are those of the original's datasets/rand_augment.py; Pillow computes the
pixels.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

FILL = (128, 128, 128)  # of pixels that a shear, shift or rotation leaves empty
LARGEST = 10.0  # the largest magnitude
APPLIED = 0.5  # probability that a chosen operation is applied
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Operation -> its probability under w0; otherwise all operations are equally likely.
WEIGHTS = {
    "auto_contrast": 0.025, "equalize": 0.005, "invert": 0.0, "rotate": 0.3, "posterize": 0.0,
    "solarize": 0.005, "solarize_add": 0.005, "color": 0.025, "contrast": 0.005,
    "brightness": 0.005, "sharpness": 0.025, "shear_x": 0.2, "shear_y": 0.2, "translate_x": 0.1,
    "translate_y": 0.1,
}
OPERATIONS = tuple(WEIGHTS)
# Geometric operation -> its largest effect, in either direction: degrees (rotate), pixels per pixel
# of the other axis (shear), share of the side (translate).
SWINGS = {
    "rotate": 30.0, "shear_x": 0.3, "shear_y": 0.3, "translate_x": 0.45, "translate_y": 0.45
}
ENHANCERS = {
    "color": ImageEnhance.Color, "contrast": ImageEnhance.Contrast,
    "brightness": ImageEnhance.Brightness, "sharpness": ImageEnhance.Sharpness,
}


@dataclass(frozen=True, slots=True)
class Policy:
    """The distribution that operations are drawn from.

    magnitude, deviation: mean and standard deviation of the magnitude, which is clipped to 0..10.
    count: the number of operations. increasing: in every operation, a larger magnitude changes the
    picture more. weighted: draw operations by WEIGHTS, each at most once. interpolation:
    "bilinear", "bicubic", or "random" (one of the two for each frame).
    """

    magnitude: int = 10
    count: int = 2
    deviation: float = 0.0
    increasing: bool = False
    weighted: bool = False
    interpolation: str = "bicubic"


@dataclass(frozen=True, slots=True)
class Step:
    """An operation to apply, its strength, and for a geometric one the Pillow filter of each
    frame."""

    name: str
    argument: float
    filters: tuple[int, ...] = ()


def parse(text: str, interpolation: str = "bicubic") -> Policy:
    """Parses a policy like "rand-m7-n4-mstd0.5-inc1"; its parts may be in any order.

    m: magnitude; n: number of operations; mstd: standard deviation of the magnitude; inc:
    increasing, whatever number follows (as in the original); w0: weighted.

    Raises:
        ValueError: the text has other parts, or the interpolation does not exist.
    """
    if interpolation not in (*FILTERS, "random"):
        raise ValueError(
            f"RandAugment's interpolation is {interpolation!r}, expected bilinear, bicubic or "
            "random"
        )
    kind, *parts = text.split("-")
    if kind != "rand":
        raise ValueError(f"RandAugment {text!r} must begin with rand, as in rand-m7-n4-mstd0.5")
    found = {}
    for part in parts:
        match = re.fullmatch(r"(mstd)(\d+\.?\d*)|(m|n|w|inc)(\d+)", part)
        if not match:
            raise ValueError(
                f"RandAugment {text!r} has {part!r}, expected parts like m7, n4, mstd0.5, inc1, w0"
            )
        key, number = match[1] or match[3], match[2] or match[4]
        if key in found:
            raise ValueError(f"RandAugment {text!r} has {key} twice")
        found[key] = float(number) if key == "mstd" else int(number)
    weighted = "w" in found
    if found.get("w"):
        raise ValueError(f"RandAugment {text!r} has w{found['w']}; the only weights are w0")
    count = found.get("n", 2)
    most = np.count_nonzero(list(WEIGHTS.values()))
    if weighted and count > most:
        raise ValueError(
            f"RandAugment {text!r} has n{count}; with w0 no operation repeats: use at most {most}"
        )
    return Policy(
        found.get("m", 10), count, found.get("mstd", 0.0), "inc" in found, weighted, interpolation
    )


def draw(rng: np.random.Generator, policy: Policy, frames: int) -> tuple[Step, ...]:
    """Draws the operations for a clip of `frames` frames, in order; half of those chosen apply."""
    weights = None
    if policy.weighted:
        weights = np.array(list(WEIGHTS.values()))
        weights /= weights.sum()
    chosen = rng.choice(
        len(OPERATIONS), policy.count, replace=not policy.weighted, p=weights
    )
    steps = []
    for name in (OPERATIONS[index] for index in chosen):
        if rng.random() > APPLIED:
            continue
        magnitude = policy.magnitude
        if policy.deviation:
            magnitude = rng.normal(magnitude, policy.deviation)
        share = min(LARGEST, max(0.0, magnitude)) / LARGEST
        argument = _argument(rng, name, share, policy.increasing)
        filters = ()
        if name in SWINGS and policy.interpolation == "random":
            filters = tuple(tuple(FILTERS.values())[rng.integers(2)] for _ in range(frames))
        elif name in SWINGS:
            filters = (FILTERS[policy.interpolation],) * frames
        steps.append(Step(name, argument, filters))
    return tuple(steps)


def _argument(rng: np.random.Generator, name: str, share: float, increasing: bool) -> float:
    """The strength of an operation at `share` (0..1) of the largest magnitude."""
    if name in SWINGS:
        return _either_side(rng, share * SWINGS[name])
    if name in ENHANCERS:
        return 1.0 + _either_side(rng, share * 0.9) if increasing else share * 1.8 + 0.1
    if name == "posterize":  # bits that are kept
        return 4 - int(share * 4) if increasing else int(share * 4)
    if name == "solarize":  # the level from which a picture is inverted
        return 256 - int(share * 256) if increasing else int(share * 256)
    return int(share * 110) if name == "solarize_add" else 0


def _either_side(rng: np.random.Generator, value: float) -> float:
    return -value if rng.random() > 0.5 else value


def apply(frames: np.ndarray, steps: Sequence[Step]) -> np.ndarray:
    """Applies the steps to uint8 (T,H,W,3) RGB frames: the same shape."""
    if not steps:
        return frames
    result = np.empty_like(frames)
    for number, frame in enumerate(frames):
        picture = Image.fromarray(frame)
        for step in steps:
            if step.name in SWINGS:
                picture = _warp(picture, step.name, step.argument, step.filters[number])
            elif step.name in ENHANCERS:
                picture = ENHANCERS[step.name](picture).enhance(step.argument)
            else:
                picture = LEVELS[step.name](picture, step.argument)
        result[number] = picture
    return result


def _warp(picture: Image.Image, name: str, argument: float, resample: int) -> Image.Image:
    if name == "rotate":
        return picture.rotate(argument, resample=resample, fillcolor=FILL)
    across = {"shear_x": (1, argument, 0), "translate_x": (1, 0, argument * picture.width)}
    down = {"shear_y": (argument, 1, 0), "translate_y": (0, 1, argument * picture.height)}
    matrix = (*across.get(name, (1, 0, 0)), *down.get(name, (0, 1, 0)))
    return picture.transform(
        picture.size, Image.Transform.AFFINE, matrix, resample=resample, fillcolor=FILL
    )


def _posterize(picture: Image.Image, bits: int) -> Image.Image:
    # Not ImageOps.posterize, which no longer accepts 0 bits (all black).
    return picture.point([level & (256 - 2 ** (8 - bits)) for level in range(256)] * 3)


def _solarize_add(picture: Image.Image, added: int) -> Image.Image:
    levels = (min(255, level + added) if level < 128 else level for level in range(256))
    return picture.point(list(levels) * 3)


# Operations on levels: (picture, argument) -> picture.
LEVELS: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "auto_contrast": lambda picture, _: ImageOps.autocontrast(picture),
    "equalize": lambda picture, _: ImageOps.equalize(picture),
    "invert": lambda picture, _: ImageOps.invert(picture),
    "posterize": _posterize,
    "solarize": ImageOps.solarize,
    "solarize_add": _solarize_add,
}
