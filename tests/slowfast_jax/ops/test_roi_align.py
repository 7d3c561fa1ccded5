"""ROIAlign against its definition, computed sample by sample."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.ops.roi_align import roi_align


def bilinear(feature, y, x):
    """One sample with the border rules of detectron2's kernel."""
    height, width = feature.shape[:2]
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(feature.shape[-1])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    dy, dx = y - y0, x - x0
    return (
        feature[y0, x0] * (1 - dy) * (1 - dx) + feature[y0, x1] * (1 - dy) * dx
        + feature[y1, x0] * dy * (1 - dx) + feature[y1, x1] * dy * dx
    )


def by_definition(feature, box, resolution, scale, aligned, samples=0):
    x1, y1, x2, y2 = (np.float64(v) * scale - (0.5 if aligned else 0) for v in box)
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1.0), max(height, 1.0)
    rows, cols = (samples or max(1, math.ceil(side / resolution)) for side in (height, width))
    out = np.zeros((resolution, resolution, feature.shape[-1]))
    for i in range(resolution):
        for j in range(resolution):
            for a in range(rows):
                for b in range(cols):
                    y = y1 + (i + (a + 0.5) / rows) * height / resolution
                    x = x1 + (j + (b + 0.5) / cols) * width / resolution
                    out[i, j] += bilinear(feature, y, x) / (rows * cols)
    return out


BOXES = [
    (10, 20, 90, 120),  # inside
    (0, 0, 160, 128),  # the whole frame
    (-40, -30, 60, 70),  # over the top left edge
    (100, 90, 230, 180),  # over the bottom right edge
    (50, 50, 50, 50),  # no area
    (33.3, 41.7, 40.1, 44.9),  # smaller than a feature
]


@pytest.mark.parametrize("aligned, samples", [(True, 0), (False, 0), (True, 2), (False, 3)])
def test_equals_the_definition(aligned, samples):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((2, 8, 10, 5)).astype(np.float32)
    boxes = np.asarray([BOXES, BOXES[::-1]], np.float32)
    ours = roi_align(
        jnp.asarray(features), jnp.asarray(boxes), resolution=7, aligned=aligned,
        sampling_ratio=samples,
    )
    for n in range(2):
        for b in range(len(BOXES)):
            expected = by_definition(features[n], boxes[n, b], 7, 1 / 16, aligned, samples)
            np.testing.assert_allclose(ours[n, b], expected, atol=1e-5)  # float32 coordinates


def test_a_ramp_is_sampled_at_bin_centers():
    ramp = jnp.broadcast_to(jnp.arange(4.0)[None, None, :, None], (1, 4, 4, 1))
    out = roi_align(ramp, jnp.asarray([[[0.0, 0.0, 4.0, 4.0]]]), resolution=2, scale=1.0)
    np.testing.assert_allclose(out[0, 0, :, :, 0], [[0.5, 2.5]] * 2, atol=1e-6)


def test_boxes_are_independent_and_differentiable():
    features = jnp.asarray(np.random.default_rng(0).standard_normal((1, 6, 6, 2)), jnp.float32)
    boxes = jnp.asarray([[[8.0, 8, 60, 70], [20, 4, 80, 90], [0, 0, 30, 40]]])
    out = roi_align(features, boxes)
    np.testing.assert_array_equal(roi_align(features, boxes[:, ::-1]), out[:, ::-1])
    grad = jax.grad(lambda f: roi_align(f, boxes).sum())(features)
    # each bin's weights sum to one inside the frame
    np.testing.assert_allclose(grad.sum(), 3 * 49 * 2, rtol=1e-5)
