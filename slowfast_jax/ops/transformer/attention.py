"""Attention of several heads, with decomposed relative positions (MViTv2, section 4.1).

Tokens are `(N, L, heads, C)`: a class token, if there is one, and then the patches of a grid
`(T, H, W)` in this order.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from slowfast_jax.ops.precision import wide_dtype
from slowfast_jax.ops.transformer.interpolate import resize_linear

Triple = tuple[int, int, int]


class RelativePositions(NamedTuple):
    """Learned vectors of the relative positions along each axis; None: the axis has none.

    Attributes:
      time, height, width: `(2 * n - 1, C)`, for distances from `-(n - 1)` to `n - 1`, shared by the
        heads.
    """

    time: jax.Array | None
    height: jax.Array | None
    width: jax.Array | None


def attention(
    q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array | None = None
) -> jax.Array:
    """`softmax(q k^T / sqrt(C) + bias) v`.

    Args:
      q: `(N, Lq, heads, C)`.
      k, v: `(N, Lk, heads, C)`.
      bias: `(N, heads, Lq, Lk)`, see `relative_bias`.

    Returns:
      `(N, Lq, heads, C)`.
    """
    q = q * q.shape[-1] ** -0.5
    logits = jnp.einsum("nqhc,nkhc->nhqk", q, k, preferred_element_type=wide_dtype(q))
    if bias is not None:
        logits = logits + bias
    weights = jax.nn.softmax(logits).astype(v.dtype)
    return jnp.einsum("nhqk,nkhc->nqhc", weights, v)


def relative_bias(
    q: jax.Array, tables: RelativePositions, q_grid: Triple, k_grid: Triple, class_token: bool
) -> jax.Array:
    """What relative positions add to the attention logits.

    For a query and a key, it is the sum over the axes of the product of the query (not scaled) and
    the vector of their distance along the axis. The class token has no position: its row and column
    are zero.

    Args:
      q: queries `(N, Lq, heads, C)`.
      tables: interpolated if they were made for other grids.
      q_grid, k_grid: sizes of the grids of the queries and the keys.
      class_token: whether there is one.

    Returns:
      `(N, heads, Lq, Lk)`.
    """
    n, _, heads, c = q.shape
    patches = q[:, int(class_token):].reshape(n, *q_grid, heads, c)
    total = jnp.zeros((), q.dtype)
    for axis, table in enumerate(tables):
        if table is None:
            continue
        vectors = vectors_of_distances(table.astype(q.dtype), q_grid[axis], k_grid[axis])
        letter = "thw"[axis]
        terms = jnp.einsum(f"nthwyc,{letter}kc->nythwk", patches, vectors)
        place = [1, 1, 1]
        place[axis] = k_grid[axis]
        total = total + terms.reshape(n, heads, *q_grid, *place)
    total = jnp.broadcast_to(total, (n, heads, *q_grid, *k_grid))
    total = total.reshape(n, heads, np.prod(q_grid), np.prod(k_grid))
    edge = (int(class_token), 0)
    return jnp.pad(total, ((0, 0), (0, 0), edge, edge))


def vectors_of_distances(table: jax.Array, queries: int, keys: int) -> jax.Array:
    """`(queries, keys, C)`: for each query and key on an axis, the vector of their distance.

    Where the grids differ in size, positions are scaled to the larger one, and distances that are
    no whole numbers are cut off.
    """
    table = resize_linear(table, 2 * max(queries, keys) - 1)
    q_scale, k_scale = max(keys / queries, 1.0), max(queries / keys, 1.0)
    # In float32, as in the original: rounding decides which distance is cut off to which number.
    q_place = np.arange(queries, dtype=np.float32)[:, None] * np.float32(q_scale)
    k_place = np.arange(keys, dtype=np.float32)[None, :] * np.float32(k_scale)
    distance = q_place - k_place + np.float32((keys - 1) * k_scale)
    return table[distance.astype(int)]
