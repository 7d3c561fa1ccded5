"""ROIAlign as two matmuls (Mask R-CNN, https://arxiv.org/abs/1703.06870, section 3).

Bilinear sampling, its rules at the border and the averaging over samples are separable, so the
result for a box is `Wy (R x H) . features (H x W x C) . Wx^T (W x R)`. It equals that of
detectron2's kernel, by default with `sampling_ratio=0` (adaptive: `ceil(box side / R)` samples per
bin and axis).
"""

import math

import jax
import jax.numpy as jnp

from slowfast_jax.ops.backend import as_one_operation
from slowfast_jax.ops.precision import widen


@jax.named_scope("roi_align")  # models/cost.py doesn't count its matmuls
def roi_align(
    features: jax.Array,
    boxes: jax.Array,
    *,
    resolution: int = 7,
    scale: float = 1 / 16,
    aligned: bool = True,
    sampling_ratio: int = 0,
) -> jax.Array:
    """Features of every box of every image, averaged over `resolution x resolution` bins.

    Args:
      features: `(N, H, W, C)`.
      boxes: `(N, B, 4)`, x1, y1, x2, y2 in pixels of the network's input.
      resolution: bins per axis, R.
      scale: feature positions per pixel.
      aligned: shift boxes by half a feature position (detectron2's default). False: no shift, and
        boxes are widened to at least one feature position, as the Caffe2 weights expect.
      sampling_ratio: samples per bin and axis; 0: adaptive.

    Returns:
      `(N, B, R, R, C)`.
    """
    return as_one_operation(
        "roi_align", _roi_align, features, boxes,
        resolution=resolution, scale=scale, aligned=aligned, sampling_ratio=sampling_ratio,
    )


def _roi_align(
    features: jax.Array,
    boxes: jax.Array,
    *,
    resolution: int,
    scale: float,
    aligned: bool,
    sampling_ratio: int,
) -> jax.Array:
    _, height, width, _ = features.shape
    boxes = widen(boxes) * scale - (0.5 if aligned else 0.0)
    x1, y1, x2, y2 = jnp.moveaxis(boxes, -1, 0)  # each (N, B)
    rules = resolution, aligned, sampling_ratio
    rows = _weights(y1, y2, height, *rules).astype(features.dtype)  # (N, B, R, H)
    cols = _weights(x1, x2, width, *rules).astype(features.dtype)  # (N, B, R, W)
    out = jnp.einsum("nbrh,nhwc->nbrwc", rows, features)
    return jnp.einsum("nbsw,nbrwc->nbrsc", cols, out)


def _weights(
    start: jax.Array,
    stop: jax.Array,
    size: int,
    resolution: int,
    aligned: bool,
    sampling_ratio: int,
) -> jax.Array:
    """Weight of each of the `size` positions in each bin along one axis, `(N, B, R, size)`.

    `start` and `stop` are the edges of the boxes, `(N, B)`.
    """
    length = stop - start
    if not aligned:
        length = jnp.maximum(length, 1.0)
    if sampling_ratio:
        count, most = jnp.full_like(length, sampling_ratio), sampling_ratio
    else:
        count = jnp.maximum(jnp.ceil(length / resolution), 1.0)  # samples per bin
        # Static bound: boxes are at most three times as long as the map.
        most = math.ceil(3 * size / resolution) + 1
    sample = jnp.arange(most, dtype=start.dtype)
    bins = jnp.arange(resolution, dtype=start.dtype)
    step = (length / resolution)[..., None, None]
    at = (
        start[..., None, None]
        + bins[:, None] * step
        + (sample + 0.5) * step / count[..., None, None]
    )  # (N, B, R, most)
    valid = (sample < count[..., None, None]) & (at >= -1.0) & (at <= size)
    at = jnp.clip(at, 0.0, size - 1.0)
    position = jnp.arange(size, dtype=start.dtype)
    hat = jnp.maximum(0.0, 1.0 - jnp.abs(at[..., None] - position))  # bilinear weights
    hat = jnp.where(valid[..., None], hat, 0.0)
    return hat.sum(-2) / count[..., None, None]
