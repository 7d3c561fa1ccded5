"""Pooling with PyTorch's padding semantics, on `(N, T, H, W, C)`."""

from collections.abc import Sequence
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from slowfast_jax.ops.backend import GRAPH_BACKEND, backend
from slowfast_jax.ops.fusion_barrier import materialize

Triple = tuple[int, int, int]


def max_pool(
    x: jax.Array, window: Triple, strides: Triple, padding: Triple = (0, 0, 0)
) -> jax.Array:
    """Maximum over windows, as `torch.nn.MaxPool3d`; padding has the dtype's lowest value.

    It is written as a maximum over shifted slices, which fuse into one loop: XLA's own gradient of
    a window reduction (select-and-scatter) is several times slower on CPU.

    Args:
      x: `(N, T, H, W, C)`, floating point.
      window, strides, padding: one number each for time, height and width; padding on both sides.

    Returns:
      `(N, T', H', W', C)` with `T' = (T + 2p - k) // s + 1`.
    """
    size = _output_size(x.shape[1:4], window, strides, padding)
    low = jnp.finfo(x.dtype).min
    if backend() == GRAPH_BACKEND:
        pads = [(0, 0), *((p, p) for p in padding), (0, 0)]
        return lax.reduce_window(
            x, np.asarray(-np.inf, x.dtype), lax.max, (1, *window, 1), (1, *strides, 1), pads
        )
    for axis in (1, 2, 3):
        k, s, p, n = (v[axis - 1] for v in (window, strides, padding, size))
        if (k, s, p) == (1, 1, 0):
            continue
        pads = [(0, 0, 0)] * x.ndim
        pads[axis] = (p, p, 0)
        x = lax.pad(x, jnp.asarray(low, x.dtype), pads)
        taps = [lax.slice_in_dim(x, i, i + s * (n - 1) + 1, s, axis) for i in range(k)]
        x = reduce(jnp.maximum, taps)
    return x


def avg_pool(
    x: jax.Array, window: Triple, strides: Triple = (1, 1, 1), padding: Triple = (0, 0, 0)
) -> jax.Array:
    """Mean over windows, as `torch.nn.AvgPool3d`; the zeros of the padding count as positions.

    Arguments as in `max_pool`.
    """
    _output_size(x.shape[1:4], window, strides, padding)  # raises if the window does not fit
    if tuple(window) == x.shape[1:4] and not any(padding):
        return x.mean((1, 2, 3), keepdims=True)
    # A NumPy zero: JAX differentiates the reduction only if it can see that it starts from 0.
    pads = [(0, 0), *((p, p) for p in padding), (0, 0)]
    total = lax.reduce_window(
        x, np.zeros((), x.dtype), lax.add, (1, *window, 1), (1, *strides, 1), pads
    )
    return total / (window[0] * window[1] * window[2])


def adaptive_avg_pool(x: jax.Array, size: int) -> jax.Array:
    """Means over `size x size` bins of a map `(N, H, W, C)`, as `torch.nn.AdaptiveAvgPool2d`.

    Bins overlap where the map's side is no multiple of `size`.
    """
    rows, columns = (jnp.asarray(_bins(n, size), x.dtype) for n in x.shape[1:3])
    return jnp.einsum("ih,jw,nhwc->nijc", rows, columns, x)


def _bins(places: int, bins: int) -> np.ndarray:
    """`(bins, places)`: share of each place in the mean of each bin."""
    weights = np.zeros((bins, places))
    for i in range(bins):
        start, end = i * places // bins, -(-(i + 1) * places // bins)
        weights[i, start:end] = 1 / (end - start)
    return weights


def with_global_mean(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`x (N, T, H, W, C)` and its mean over T, H and W, `(N, 1, 1, 1, C)`.

    For an operation that reads both: `x` is computed once and not again for each of them.
    """
    x = materialize(x)
    return x, x.mean((1, 2, 3), keepdims=True)


def _output_size(
    size: Sequence[int], window: Triple, strides: Triple, padding: Triple
) -> tuple[int, ...]:
    out = tuple(
        (n + 2 * p - k) // s + 1
        for n, k, s, p in zip(size, window, strides, padding, strict=True)
    )
    if min(out) < 1:
        raise ValueError(
            f"a {tuple(window)} pooling window does not fit into (T, H, W) = {tuple(size)}; "
            "use a longer or larger clip, or head_pool='global'"
        )
    return out
