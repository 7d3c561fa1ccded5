"""Color jitter and PCA lighting of a clip; drawing and applying are separate.

As the original's datasets/cv2_transform.py (color_jitter_list, lighting_list; transform.py agrees),
with its constants. Lighting is that of Krizhevsky et al. 2012. All frames of a clip get the same
change.
"""

from dataclasses import dataclass

import numpy as np

# Of ImageNet's colors on a scale of 0..1; rows are R, G, B (DATA.TRAIN_PCA_EIGVAL, _EIGVEC).
EIGENVALUES = np.array([0.225, 0.224, 0.229])
EIGENVECTORS = np.array([
    [-0.5675, 0.7192, 0.4009],
    [-0.5808, -0.0045, -0.8140],
    [-0.5836, -0.6948, 0.4203],
])
GRAY = np.array([0.299, 0.587, 0.114])
STEPS = ("brightness", "contrast", "saturation")


@dataclass(frozen=True, slots=True)
class Color:
    """A change of color: the steps in order, then a shift.

    steps: (name from STEPS, factor). A factor of 1 changes nothing; 0 gives black (brightness), the
    mean gray of the frame (contrast) or gray (saturation). shift: added R, G, B, on a scale of
    0..1.
    """

    steps: tuple[tuple[str, float], ...] = ()
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)


def draw(rng: np.random.Generator, *, jitter: float = 0.4, lighting: float = 0.1) -> Color:
    """Draws the steps in random order, each with a factor within 1 +- `jitter`, and a shift.

    Args:
        jitter: 0 draws no steps.
        lighting: standard deviation of the weights of the principal components; 0 draws no shift.
    """
    steps, shift = (), (0.0, 0.0, 0.0)
    if jitter:
        order = rng.permutation(len(STEPS))
        steps = tuple((STEPS[step], 1 + rng.uniform(-jitter, jitter)) for step in order)
    if lighting:
        weights = np.asarray(rng.normal(0, lighting, 3))
        shift = tuple((EIGENVECTORS @ (weights * EIGENVALUES)).tolist())
    return Color(steps, shift)


def apply(frames: np.ndarray, color: Color, *, dtype: type = np.uint8) -> np.ndarray:
    """Applies a change of color to uint8 (T,H,W,3) RGB frames: the same shape, of `dtype`.

    uint8 results are rounded and clipped to 0..255. float32 results are levels that may lie outside
    0..255, as the original's do, which normalizes them without clipping.
    """
    # Each step is linear in a pixel, its gray level and the frame's mean. So all steps together
    # are factor * colors + weights . colors + an offset for each frame.
    scale, weights, offset = 1.0, np.zeros(3), np.zeros((len(frames), 3))
    for name, factor in color.steps:
        if name == "saturation":
            weights = weights + (1 - factor) * scale * GRAY
            offset = factor * offset + (1 - factor) * (offset @ GRAY)[:, None]
        else:
            added = 0.0
            if name == "contrast":
                means = frames.mean(axis=(1, 2), dtype=np.float32)  # (T,3)
                gray = (scale * means + (means @ weights)[:, None] + offset) @ GRAY  # (T,)
                added = (1 - factor) * gray[:, None]
            weights, offset = factor * weights, factor * offset + added
        scale *= factor
    offset += 255 * np.array(color.shift)

    height, width = frames.shape[1:3]
    result = np.empty(frames.shape, dtype)
    for target, frame, plus in zip(result, frames, offset, strict=True):
        changed = frame.astype(np.float32)
        common = (changed @ weights.astype(np.float32))[..., None] if weights.any() else None
        changed *= np.float32(scale)
        if common is not None:
            changed += common
        rows = changed.reshape(height, 3 * width)  # adding along long rows is several times faster
        rows += np.tile(plus.astype(np.float32), width)
        if dtype == np.uint8:
            np.clip(np.rint(changed, out=changed), 0, 255, out=changed)
        target[...] = changed
    return result
