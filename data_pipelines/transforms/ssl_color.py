"""Colors of a clip for self-supervised training, drawn and applied apart.

As the original's datasets/transform.py (color_jitter_video_ssl), which follows SimCLR (Chen et al.
2020) and MoCo v2: color jitter, gray, blur, and before them differences in time. All frames of a
clip are one picture to it, one below the other: contrast is about the mean gray of the clip, and a
blur runs a little over from frame to frame. Pillow does the pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

JITTERED = ("brightness", "contrast", "saturation")
# Of the channels of RGB frames, in the order in which the original weighs them: as if BGR.
DIFFERENCE_GRAY = np.array([0.114, 0.587, 0.299], np.float32)


@dataclass(frozen=True, slots=True)
class SslColor:
    """What is done to colors: differences in time if `difference`, then (name of STEPS, value) in
    order.

    Values: of brightness, contrast and saturation a factor, 1 changing nothing; of hue a share of
    the circle, -0.5..0.5; of blur a standard deviation in pixels; of gray none (0).
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
    """Draws factors of brightness, contrast, saturation and hue, done in random order.

    Args:
        jitter: factors lie in 1 +- these, and are not below 0.
        hue: turns lie in +- this share of the circle.
        gray: probability of a gray clip, before the jitter.
        moco_v2: jitter with probability 0.8 only, gray after it, and then with probability 0.5 a
            blur of 0.1..2 pixels.
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
    """uint8 (T,H,W,3) RGB frames as `color` says: the same shape."""
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
    """How gray changes from each frame to the next, (T,H,W,3) of `dtype`: no change is 127.5.

    The last frame shows what the one before it shows; a single frame shows no change. uint8
    results lose their fractions, as the original's do where it jitters colors afterwards.
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
