"""Pooling against a direct computation with PyTorch's rules."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.ops.pool import avg_pool, max_pool


def brute_max(x, window, strides, padding):
    pads = [(0, 0), *((p, p) for p in padding), (0, 0)]
    x = np.pad(x, pads, constant_values=-np.inf)
    size = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:4], window, strides, strict=True)]
    out = np.empty((x.shape[0], *size, x.shape[-1]), x.dtype)
    for at in itertools.product(*map(range, size)):
        t, h, w = (slice(i * s, i * s + k) for i, s, k in zip(at, strides, window, strict=True))
        out[:, *at] = x[:, t, h, w].max((1, 2, 3))
    return out


@pytest.mark.parametrize(
    "window, strides, padding",
    [
        ((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        ((2, 1, 1), (2, 1, 1), (0, 0, 0)),
        ((1, 2, 2), (1, 2, 2), (0, 0, 0)),
        ((3, 2, 3), (2, 1, 3), (1, 0, 1)),
    ],
)
def test_max_pool(window, strides, padding):
    x = np.random.default_rng(0).standard_normal((2, 5, 9, 8, 3)).astype(np.float32) - 3
    ours = max_pool(jnp.asarray(x), window, strides, padding)
    np.testing.assert_array_equal(ours, brute_max(x, window, strides, padding))


def test_max_pool_gradient_goes_to_the_maximum():
    x = jnp.asarray(np.random.default_rng(0).permutation(4 * 36).reshape(4, 1, 6, 6, 1) * 1.0)
    grad = jax.grad(lambda x: max_pool(x, (1, 2, 2), (1, 2, 2)).sum())(x)
    pooled = max_pool(x, (1, 2, 2), (1, 2, 2))
    np.testing.assert_array_equal(np.sort(x[grad == 1]), np.sort(pooled.ravel()))
    assert float(grad.sum()) == pooled.size


def test_avg_pool_has_stride_1():
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 6, 3)).astype(np.float32)
    ours = avg_pool(jnp.asarray(x), (4, 4, 4))
    assert ours.shape == (2, 1, 2, 3, 3)
    np.testing.assert_allclose(ours[:, 0, 1, 2], x[:, :, 1:5, 2:6].mean((1, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(
        avg_pool(jnp.asarray(x), (4, 5, 6))[:, 0, 0, 0], x.mean((1, 2, 3)), atol=1e-6
    )


def test_a_window_that_does_not_fit():
    with pytest.raises(ValueError, match=r"\(8, 7, 7\) pooling window does not fit"):
        avg_pool(jnp.zeros((1, 4, 7, 7, 3)), (8, 7, 7))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_gradient_of_a_mean_over_windows(dtype):
    """A position counts once per window that it is in: 1, 2, 2, 1 for 4 positions, windows of 3."""
    def total(x):
        return avg_pool(x, (2, 3, 3)).astype(jnp.float32).sum()

    gradient = jax.jit(jax.grad(total))(jnp.ones((1, 2, 4, 4, 1), dtype))
    counts = np.outer([1, 2, 2, 1], [1, 2, 2, 1])
    expected = np.broadcast_to(counts[None, None, ..., None] / 18, gradient.shape)
    np.testing.assert_allclose(gradient.astype(jnp.float32), expected, rtol=1e-2)
