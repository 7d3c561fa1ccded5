"""Attention of several heads, with decomposed relative positions (MViTv2, section 4.1).

Tokens are `(N, L, heads, C)`: a class token, if there is one, and then the patches of a grid
`(T, H, W)` in this order.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from slowfast_jax.ops.backend import GRAPH_BACKEND, PLAIN_BACKEND, as_one_operation, backend
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


class Positions(NamedTuple):
    """Relative positions in the form of further channels of queries and keys.

    Attributes:
      products: `(N, Lq, heads, D)`, of each query with the vectors of its distances.
      places: `(N, Lk, heads, D)`, ones in the channels of the key's place and zeros elsewhere.
    """

    products: jax.Array
    places: jax.Array


def attention(
    q: jax.Array, k: jax.Array, v: jax.Array, positions: Positions | None = None
) -> jax.Array:
    """`softmax(q k^T / sqrt(C) + products places^T) v`.

    Args:
      q: `(N, Lq, heads, C)`.
      k, v: `(N, Lk, heads, C)`.
      positions: see `relative_positions`.

    Returns:
      `(N, Lq, heads, C)`.
    """
    if backend() == PLAIN_BACKEND:
        weights = attention_weights(q, k, positions)
        return jnp.einsum("nhqk,nkhc->nqhc", weights.astype(v.dtype), v)
    q = q * q.shape[-1] ** -0.5
    if positions is not None:  # in the same matrix product, so that nothing large is added
        q = jnp.concatenate([q, positions.products], -1)
        k = jnp.concatenate([k, positions.places], -1)
    q, k, v = (jnp.moveaxis(x, 2, 1) for x in (q, k, v))  # one matrix for each head
    if backend() == GRAPH_BACKEND:
        logits = jnp.einsum("nhqc,nhkc->nhqk", q, k)
        weights = as_one_operation("softmax", jax.nn.softmax, logits)
        return jnp.moveaxis(jnp.einsum("nhqk,nhkc->nhqc", weights, v), 1, 2)
    return jnp.moveaxis(_attention(q, k, v), 1, 2)


def attention_weights(
    q: jax.Array, k: jax.Array, positions: Positions | None = None
) -> jax.Array:
    """`softmax(q k^T / sqrt(C) + products places^T)`: `(N, heads, Lq, Lk)`, rows with the sum 1.

    Args: those of `attention`.
    """
    q = q * q.shape[-1] ** -0.5
    logits = jnp.einsum("nqhc,nkhc->nhqk", q, k, preferred_element_type=wide_dtype(q))
    if positions is not None:
        with jax.named_scope("positions"):
            logits += jnp.einsum("nqhc,nkhc->nhqk", *positions)
    return jax.nn.softmax(logits)


@jax.custom_vjp
def _attention(q, k, v):
    """`softmax(q k^T) v` of `(N, heads, L, C)`.

    The backward pass that JAX derives reduces the gradient of the weights, `(N, heads, Lq, Lk)`,
    where the products of the results and their gradients give the same sums (FlashAttention,
    https://arxiv.org/abs/2205.14135, appendix B).
    """
    return _attention_forward(q, k, v)[0]


def _attention_forward(q, k, v):
    logits = jnp.einsum("nhqc,nhkc->nhqk", q, k, preferred_element_type=wide_dtype(q))
    weights = jnp.exp(logits - logits.max(-1, keepdims=True))
    scale = 1 / weights.sum(-1, keepdims=True)
    weights = weights.astype(v.dtype)
    y = jnp.einsum("nhqk,nhkc->nhqc", weights, v, preferred_element_type=scale.dtype) * scale
    y = y.astype(v.dtype)
    return y, (q, k, v, weights, scale, y)


def _attention_backward(saved, dy):
    q, k, v, weights, scale, y = saved
    dy = dy * scale
    mean = (dy * y).sum(-1, keepdims=True)
    dy = dy.astype(v.dtype)
    dv = jnp.einsum("nhqk,nhqc->nhkc", weights, dy)
    dweights = jnp.einsum("nhqc,nhkc->nhqk", dy, v, preferred_element_type=scale.dtype)
    dlogits = (weights * (dweights - mean)).astype(q.dtype)
    dq = jnp.einsum("nhqk,nhkc->nhqc", dlogits, k)
    dk = jnp.einsum("nhqk,nhqc->nhkc", dlogits, q)
    return dq, dk, dv


_attention.defvjp(_attention_forward, _attention_backward)


def relative_positions(
    q: jax.Array, tables: RelativePositions, q_grid: Triple, k_grid: Triple, class_token: bool
) -> Positions:
    """What relative positions add to the attention logits.

    For a query and a key, it is the sum over the axes of the product of the query (not scaled) and
    the vector of their distance along the axis. The class token has no position: its row and column
    are zero.

    Args:
      q: queries `(N, Lq, heads, C)`.
      tables: interpolated if they were made for other grids.
      q_grid, k_grid: sizes of the grids of the queries and the keys.
      class_token: whether there is one.
    """
    n, _, heads, c = q.shape
    patches = q[:, int(class_token):].reshape(n, *q_grid, heads, c)
    indices = np.indices(k_grid).reshape(3, -1)
    products, places = [], []
    for axis, table in enumerate(tables):
        if table is not None:
            vectors = vectors_of_distances(table.astype(q.dtype), q_grid[axis], k_grid[axis])
            terms = jnp.einsum(f"nthwyc,{'thw'[axis]}kc->nthwyk", patches, vectors)
            products.append(terms.reshape(n, -1, heads, k_grid[axis]))
            places.append(np.eye(k_grid[axis])[indices[axis]])
    places = jnp.asarray(np.concatenate(places, -1), q.dtype)[None, :, None]
    places = jnp.broadcast_to(places, (n, places.shape[1], heads, places.shape[-1]))
    edges = ((0, 0), (int(class_token), 0), (0, 0), (0, 0))
    return Positions(jnp.pad(jnp.concatenate(products, -1), edges), jnp.pad(places, edges))


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
