"""Absolute position embeddings of a grid of patches."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from slowfast_jax.models.transformer.layers import init_weights
from slowfast_jax.ops.transformer.interpolate import resize_linear

Triple = tuple[int, int, int]
KINDS = ("none", "separate", "joint", "sincos")


def add_positions(
    x: jax.Array, kind: str, grid: Triple, trained_grid: Triple, class_token: bool, param: Callable
) -> jax.Array:
    """Adds a position embedding to tokens `(N, L, C)`.

    Args:
      x: a class token, if there is one, and then the patches of the grid.
      kind: "none"; "separate": the sum of an embedding of the place and one of the time, and one of
        the class token; "joint": one of each token; "sincos": fixed sines and cosines, which the
        original adds twice.
      grid: size of the grid.
      trained_grid: size that the parameters are made for. They are interpolated (trilinear) for
        another grid, as in the original.
      class_token: whether there is one.
      param: `self.param` of the network.
    """
    if kind not in KINDS:
        raise ValueError(f"abs_pos is {kind!r}, expected one of {', '.join(KINDS)}")
    if kind == "none":
        return x
    (t, h, w), c = trained_grid, x.shape[-1]
    if kind == "separate":
        space = param("pos_embed_spatial", init_weights, (1, h * w, c))
        time = param("pos_embed_temporal", init_weights, (1, t, c))
        patches = time[:, :, None] + space[:, None]
        first = param("pos_embed_class", init_weights, (1, 1, c)) if class_token else None
    else:
        init = init_weights if kind == "joint" else _sincos(trained_grid, class_token)
        both = param("pos_embed", init, (1, t * h * w + class_token, c))
        if kind == "sincos":
            both = 2 * jax.lax.stop_gradient(both)
        first, patches = both[:, :1], both[:, int(class_token):]
    patches = patches.reshape(1, t, h, w, c)
    for axis, size in enumerate(grid, 1):
        patches = resize_linear(patches, size, axis)
    patches = patches.reshape(1, -1, c)
    if class_token:
        patches = jnp.concatenate([first, patches], 1)
    return x + patches.astype(x.dtype)


def sincos_table(grid: Triple, channels: int) -> np.ndarray:
    """Fixed embedding `(T * H * W, channels)` of the patches, by the original's layout.

    The first quarter of the channels has the time; of the others, the first half has the column and
    the second half the row. Each part has sines and then cosines.
    """
    if channels % 16:
        raise ValueError(f"width is {channels}; abs_pos='sincos' needs a multiple of 16")

    def waves(places: int, channels: int) -> np.ndarray:
        rates = 10000.0 ** -(np.arange(channels // 2) / (channels / 2))
        angles = np.arange(places)[:, None] * rates
        return np.concatenate([np.sin(angles), np.cos(angles)], 1)

    time, rows, columns = (
        waves(n, channels * share // 8) for n, share in zip(grid, (2, 3, 3), strict=True)
    )
    parts = time[:, None, None], columns[None, None], rows[None, :, None]
    table = np.concatenate([np.broadcast_to(p, (*grid, p.shape[-1])) for p in parts], -1)
    return table.reshape(-1, channels)


def _sincos(grid: Triple, class_token: bool) -> Callable:
    def init(key: jax.Array, shape: tuple, dtype: jnp.dtype = jnp.float32) -> jax.Array:
        table = np.pad(sincos_table(grid, shape[-1]), ((int(class_token), 0), (0, 0)))
        return jnp.asarray(table, dtype)[None]

    return init
