"""Normalisation by the statistics of a batch, with a gradient written out."""

from functools import partial

import jax
import jax.numpy as jnp

from slowfast_jax.ops.precision import widen


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float, frames: int = 1
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`(x - mean) / sqrt(var + epsilon) * scale + bias` over every axis but the first and last.

    The derived gradient would keep the centred input beside the input itself and go over them
    once for each term; this one keeps the input alone and needs two sums and one pass.

    Args:
      x: `(G, ..., frames * C)`: G groups, each with statistics of its own.
      scale, bias: `(C,)`.
      frames: how many frames lie side by side in the channels of `x`; they share the statistics.

    Returns:
      `(y, mean, var)`: y with the shape and dtype of `x`; mean and biased variance in float32 (or
      wider), `(G, 1, ..., 1, C)`, through which no gradient flows.
    """
    return _forward(x, scale, bias, epsilon, frames)[0]


def _forward(x, scale, bias, epsilon, frames):
    axes = tuple(range(1, x.ndim - 1))
    tile = partial(_tile, frames=frames)
    wide = widen(x)
    mean = _over_frames(wide.mean(axes, keepdims=True), frames) / frames
    var = jnp.square(wide - tile(mean)).mean(axes, keepdims=True)
    var = _over_frames(var, frames) / frames
    inverse = jax.lax.rsqrt(var + epsilon)
    # Not from the centred input: with one reader more XLA would keep it as an array.
    factor = inverse * scale
    y = wide * tile(factor) + tile(bias - mean * factor)
    return (y.astype(x.dtype), mean, var), (x, scale, bias, mean, inverse)


def _backward(epsilon, frames, saved, cotangents):
    x, scale, bias, mean, inverse = saved
    axes = tuple(range(1, x.ndim - 1))
    tile = partial(_tile, frames=frames)
    count = x.size // (x.shape[0] * scale.size)
    dy, wide = widen(cotangents[0]), widen(x)
    sum_dy = _over_frames(dy.sum(axes, keepdims=True), frames)
    sum_dy_centred = (dy * (wide - tile(mean))).sum(axes, keepdims=True)
    sum_dy_centred = _over_frames(sum_dy_centred, frames)
    # dx = factor * (dy - mean of dy - centred * slope), again without the centred input
    factor = scale * inverse
    slope = jnp.square(inverse) * sum_dy_centred / count
    shift = factor * (slope * mean - sum_dy / count)
    dx = tile(factor) * dy - tile(factor * slope) * wide + tile(shift)
    over_groups = (*axes, 0)
    dscale = (sum_dy_centred * inverse).sum(over_groups).astype(scale.dtype)
    dbias = sum_dy.sum(over_groups).astype(bias.dtype)
    return dx.astype(x.dtype), dscale, dbias


batch_norm.defvjp(_forward, _backward)


def _over_frames(sums: jax.Array, frames: int) -> jax.Array:
    """`(..., frames * C)` summed to `(..., C)`."""
    if frames == 1:
        return sums
    return sums.reshape(*sums.shape[:-1], frames, -1).sum(-2)


def _tile(statistic: jax.Array, frames: int) -> jax.Array:
    """`(..., C)` for each frame, `(..., frames * C)`."""
    return jnp.tile(statistic, frames) if frames > 1 else statistic
