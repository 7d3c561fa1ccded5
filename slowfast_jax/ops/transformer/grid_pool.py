"""Pooling of the patches in a sequence of tokens, with a class token passed by."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Triple = tuple[int, int, int]


def pool_patches(
    x: jax.Array, grid: Triple, class_token: bool, pool: Callable[[jax.Array], jax.Array]
) -> jax.Array:
    """Applies `pool`, from maps to maps `(N, T, H, W, C)`, to the patches of `x (N, L, C)`.

    Args:
      x: a class token, if there is one, and then the patches of the grid.
      grid: its size (T, H, W).
      class_token: whether there is one; it is left as it is.
      pool: the pooling.
    """
    first = int(class_token)
    y = pool(x[:, first:].reshape(x.shape[0], *grid, x.shape[-1]))
    y = y.reshape(x.shape[0], -1, x.shape[-1])
    return jnp.concatenate([x[:, :1], y], 1) if class_token else y


def pooled_size(grid: Triple, kernel: Triple, strides: Triple) -> Triple:
    """Size of a grid after pooling with padding `kernel // 2`."""
    return tuple(
        (n + 2 * (k // 2) - k) // s + 1 for n, k, s in zip(grid, kernel, strides, strict=True)
    )
