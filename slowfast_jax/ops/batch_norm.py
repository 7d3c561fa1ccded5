"""Batch normalization: by the statistics of the batch, with its own gradient, or by given ones."""

from functools import partial

import jax
import jax.numpy as jnp

from slowfast_jax.ops.layout import PLAIN, MapLayout
from slowfast_jax.ops.precision import widen


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float, layout: MapLayout = PLAIN
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`(x - mean) / sqrt(var + epsilon) * scale + bias` over every axis but the first and last.

    The gradient that JAX derives would store the centered input beside the input and read both once
    for each term. This one stores the input only, and needs two sums and one pass.

    Args:
      x: `(G, ..., C)`: G groups, each with its own statistics.
      scale, bias: `(C,)`.
      layout: of `x`; frames packed into the channels share the statistics.

    Returns:
      `(y, mean, var)`: y with the shape and dtype of `x`; mean and biased variance in float32 (or
      wider), `(G, 1, ..., 1, C)`, through which no gradient flows.
    """
    return _forward(x, scale, bias, epsilon, layout)[0]


def normalize_by(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    epsilon: float,
    layout: MapLayout = PLAIN,
) -> jax.Array:
    """`(x - mean) / sqrt(var + epsilon) * scale + bias` with given statistics `(C,)`."""
    factor = scale * jax.lax.rsqrt(var + epsilon)
    shift = bias - mean * factor
    factor, shift = jnp.tile(factor, layout.frames), jnp.tile(shift, layout.frames)
    with jax.named_scope("batch_norm"):  # the two operations that models/cost.py counts
        return (x * factor + shift).astype(x.dtype)


def _forward(x, scale, bias, epsilon, layout):
    frames = layout.frames
    axes = tuple(range(1, x.ndim - 1))
    tile = partial(_tile, frames=frames)
    wide = widen(x)
    mean = _over_frames(wide.mean(axes, keepdims=True), frames) / frames
    var = jnp.square(wide - tile(mean)).mean(axes, keepdims=True)
    var = _over_frames(var, frames) / frames
    inverse = jax.lax.rsqrt(var + epsilon)
    # Not from the centered input: with one more reader XLA would store it as an array.
    factor = inverse * scale
    y = wide * tile(factor) + tile(bias - mean * factor)
    return (y.astype(x.dtype), mean, var), (x, scale, bias, mean, inverse)


def _backward(epsilon, layout, saved, cotangents):
    frames = layout.frames
    x, scale, bias, mean, inverse = saved
    axes = tuple(range(1, x.ndim - 1))
    tile = partial(_tile, frames=frames)
    count = x.size // (x.shape[0] * scale.size)
    dy, wide = widen(cotangents[0]), widen(x)
    sum_dy = _over_frames(dy.sum(axes, keepdims=True), frames)
    sum_dy_centered = (dy * (wide - tile(mean))).sum(axes, keepdims=True)
    sum_dy_centered = _over_frames(sum_dy_centered, frames)
    # dx = factor * (dy - mean of dy - centered * slope), again without the centered input
    factor = scale * inverse
    slope = jnp.square(inverse) * sum_dy_centered / count
    shift = factor * (slope * mean - sum_dy / count)
    dx = tile(factor) * dy - tile(factor * slope) * wide + tile(shift)
    over_groups = (*axes, 0)
    dscale = (sum_dy_centered * inverse).sum(over_groups).astype(scale.dtype)
    dbias = sum_dy.sum(over_groups).astype(bias.dtype)
    return dx.astype(x.dtype), dscale, dbias


batch_norm.defvjp(_forward, _backward)


def _over_frames(sums: jax.Array, frames: int) -> jax.Array:
    """Sums the packed frames: `(..., frames * C)` -> `(..., C)`."""
    if frames == 1:
        return sums
    return sums.reshape(*sums.shape[:-1], frames, -1).sum(-2)


def _tile(statistic: jax.Array, frames: int) -> jax.Array:
    """Repeats a statistic for each packed frame: `(..., C)` -> `(..., frames * C)`."""
    return jnp.tile(statistic, frames) if frames > 1 else statistic
