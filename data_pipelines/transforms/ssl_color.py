"""Color augmentation of clips for self-supervised training; drawing and applying are separate.

As the original's datasets/transform.py (color_jitter_video_ssl), which follows SimCLR (Chen et al.
2020) and MoCo v2: color jitter, gray, blur, and before them differences in time. It treats the
frames of a clip as one picture, one below the other, so contrast is relative to the mean gray of
the clip, and a blur mixes rows of successive frames. Pillow computes the pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

JITTERED = ("brightness", "contrast", "saturation")
# Weights of the channels of RGB frames; the original weighs them as if they were BGR.
DIFFERENCE_GRAY = np.array([0.114, 0.587, 0.299], np.float32)


@dataclass(frozen=True, slots=True)
class SslColor:
    """A change of color: differences in time if `difference`, then the steps in order.

    steps: (name from STEPS, value). Values of brightness, contrast and saturation are factors, and
    1 changes nothing; of hue, a share of the color circle, -0.5..0.5; of blur, a standard deviation
    in pixels; of gray, 0 (not used).
    """

    steps: tuple[tuple[str, float], ...] = ()
    difference: bool = False


def draw(
    rng: np.random.Generator,
    *,
    jitter: tuple[float, float, float] = (0.4, 0.4, 0.4),
    hue: float = 0.1,
    gray: float = 0.0,
    moco_v2: bool = False,
    difference: float = 0.0,
) -> SslColor:
    """Draws brightness, contrast, saturation and hue in random order, and the other steps.

    Args:
        jitter: factors lie within 1 +- these three widths, and not below 0.
        hue: the largest turn of the hue in either direction, as a share of the color circle.
        gray: probability of a gray clip, before the jitter.
        moco_v2: jitter with probability 0.8 only, gray after the jitter, and then a blur of 0.1..2
            pixels with probability 0.5.
        difference: probability of differences in time.
    """
    changed = bool(rng.random() < difference)
    factors = [
        (name, rng.uniform(max(0.0, 1 - width), 1 + width))
        for name, width in zip(JITTERED, jitter, strict=True)
    ]
    factors.append(("hue", rng.uniform(-hue, hue)))
    steps = [factors[i] for i in rng.permutation(len(factors))]
    grayed = [("gray", 0.0)] if rng.random() < gray else []
    if not moco_v2:
        return SslColor((*grayed, *steps), changed)
    jittered = steps if rng.random() < 0.8 else []
    blurred = [("blur", rng.uniform(0.1, 2.0))] if rng.random() < 0.5 else []
    return SslColor((*jittered, *grayed, *blurred), changed)


def apply(frames: np.ndarray, color: SslColor) -> np.ndarray:
    """Applies a change of color to uint8 (T,H,W,3) RGB frames: the same shape."""
    if color.difference:
        frames = time_difference(frames)
    if not color.steps:
        return frames
    count, height, width, _ = frames.shape
    picture = Image.fromarray(frames.reshape(count * height, width, 3))
    for name, value in color.steps:
        picture = STEPS[name](picture, value)
    return np.asarray(picture).reshape(frames.shape)


def time_difference(frames: np.ndarray, *, dtype: type = np.uint8) -> np.ndarray:
    """Change of gray from each frame to the next: (T,H,W,3) of `dtype`, 127.5 = no change.

    The last frame repeats the one before it; a single frame shows no change. uint8 results are
    truncated, as in the original where it jitters colors afterwards.
    """
    gray = frames.astype(np.float32) @ DIFFERENCE_GRAY
    change = np.zeros_like(gray)
    if len(gray) > 1:
        change[:-1] = gray[:-1] - gray[1:]
        change[-1] = change[-2]
    return np.repeat((change[..., None] + 255) / 2, 3, axis=-1).astype(dtype)


def _turn_hue(picture: Image.Image, share: float) -> Image.Image:
    hue, saturation, value = picture.convert("HSV").split()
    turned = np.asarray(hue) + np.int32(share * 255).astype(np.uint8)  # modulo 256
    return Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")


STEPS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "brightness": lambda picture, factor: ImageEnhance.Brightness(picture).enhance(factor),
    "contrast": lambda picture, factor: ImageEnhance.Contrast(picture).enhance(factor),
    "saturation": lambda picture, factor: ImageEnhance.Color(picture).enhance(factor),
    "hue": _turn_hue,
    "gray": lambda picture, _: picture.convert("L").convert("RGB"),
    "blur": lambda picture, sigma: picture.filter(ImageFilter.GaussianBlur(sigma)),
}
