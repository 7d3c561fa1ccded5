"""Lowerings of `conv3d` for kernels of size 3 with fewer multiplications."""

import jax.numpy as jnp

from slowfast_jax.ops.lowering import require


def winograd(x, kernel, strides, padding, dilation, groups):
    """For 1 x 3 x 3 kernels: F(2x2, 3x3), with 4 multiplications per output instead of 9.

    Lavin and Gray, Fast algorithms for convolutional neural networks
    (https://arxiv.org/abs/1509.09308), section 4.1. The 4 x 4 tiles of the input, at stride 2, and
    the kernel are transformed, multiplied as 16 matmuls over channels, and transformed back.
    """
    require(kernel.shape[:3] == (1, 3, 3) and groups == 1, "winograd", "a dense 1x3x3 kernel")
    require(strides == (1, 1, 1) == tuple(dilation), "winograd", "no stride and no dilation")
    n, t, h, w, c = x.shape
    out = kernel.shape[-1]
    h, w = (size + 2 * p - 2 for size, p in zip((h, w), padding[1:], strict=True))
    rows, cols = -(-h // 2), -(-w // 2)
    x = jnp.pad(x, ((0, 0), (0, 0), (padding[1], padding[1] + 2 * rows - h),
                    (padding[2], padding[2] + 2 * cols - w), (0, 0)))
    tiles = [[x[:, :, i : i + 2 * rows - 1 : 2, j : j + 2 * cols - 1 : 2] for j in range(4)]
             for i in range(4)]
    tiles = _both_axes(_tile_transform, tiles)
    weights = _both_axes(_kernel_transform, [[kernel[0, i, j] for j in range(3)] for i in range(3)])
    products = [[a.reshape(-1, c) @ b for a, b in zip(*pair, strict=True)]
                for pair in zip(tiles, weights, strict=True)]
    y = _both_axes(_output_transform, products)
    y = jnp.stack([jnp.stack(row, 1) for row in y], 1)  # (tiles, 2, 2, O)
    y = y.reshape(n, t, rows, cols, 2, 2, out).transpose(0, 1, 2, 4, 3, 5, 6)
    return y.reshape(n, t, 2 * rows, 2 * cols, out)[:, :, :h, :w]


def winograd_time(x, kernel, strides, padding, dilation, groups):
    """For 3 x 1 x 1 kernels: F(2, 3), two frames from 4 matmuls over channels instead of 6.

    This is `winograd` along time only.
    """
    require(kernel.shape[:3] == (3, 1, 1) and groups == 1, "winograd_time", "a dense 3x1x1 kernel")
    require(strides == (1, 1, 1) == tuple(dilation), "winograd_time", "no stride and no dilation")
    require(not any(padding[1:]), "winograd_time", "no padding in space")
    n, t, h, w, c = x.shape
    t = t + 2 * padding[0] - 2
    pairs = -(-t // 2)
    x = jnp.pad(x, ((0, 0), (padding[0], padding[0] + 2 * pairs - t), (0, 0), (0, 0), (0, 0)))
    tiles = _tile_transform([x[:, i : i + 2 * pairs - 1 : 2] for i in range(4)])
    weights = _kernel_transform(kernel[:, 0, 0])
    products = [a.reshape(-1, c) @ b for a, b in zip(tiles, weights, strict=True)]
    y = [m.reshape(n, pairs, h, w, -1) for m in _output_transform(products)]
    return jnp.stack(y, 2).reshape(n, 2 * pairs, h, w, kernel.shape[-1])[:, :t]


def _both_axes(transform, grid):
    """Applies a one-dimensional transform to the columns, then the rows, of a list of lists."""
    columns = [transform(column) for column in zip(*grid, strict=True)]
    return [transform(row) for row in zip(*columns, strict=True)]


def _tile_transform(d):
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _kernel_transform(g):
    return [g[0], (g[0] + g[1] + g[2]) / 2, (g[0] - g[1] + g[2]) / 2, g[2]]


def _output_transform(m):
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]
