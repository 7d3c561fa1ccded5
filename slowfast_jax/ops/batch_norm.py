"""Normalisation by the statistics of a batch, with a gradient written out."""

from functools import partial

import jax
import jax.numpy as jnp

from slowfast_jax.ops.precision import widen


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`(x - mean) / sqrt(var + epsilon) * scale + bias` over every axis but the first and last.

    The derived gradient would keep the centred input beside the input itself and go over them
    once for each term; this one keeps the input alone and needs two sums and one pass.

    Args:
      x: `(G, ..., C)`: G groups, each with statistics of its own.
      scale, bias: `(C,)`.

    Returns:
      `(y, mean, var)`: y with the shape and dtype of `x`; mean and biased variance in float32 (or
      wider), `(G, 1, ..., 1, C)`, through which no gradient flows.
    """
    return _forward(x, scale, bias, epsilon)[0]


def _forward(x, scale, bias, epsilon):
    axes = tuple(range(1, x.ndim - 1))
    wide = widen(x)
    mean = wide.mean(axes, keepdims=True)
    var = jnp.square(wide - mean).mean(axes, keepdims=True)
    inverse = jax.lax.rsqrt(var + epsilon)
    # Not from the centred input: with one reader more XLA would keep it as an array.
    factor = inverse * scale
    y = wide * factor + (bias - mean * factor)
    return (y.astype(x.dtype), mean, var), (x, scale, bias, mean, inverse)


def _backward(epsilon, saved, cotangents):
    x, scale, bias, mean, inverse = saved
    axes = tuple(range(1, x.ndim - 1))
    count = x.size // (x.shape[0] * x.shape[-1])
    dy, wide = widen(cotangents[0]), widen(x)
    sum_dy = dy.sum(axes, keepdims=True)
    sum_dy_centred = (dy * (wide - mean)).sum(axes, keepdims=True)
    # dx = factor * (dy - mean of dy - centred * slope), again without the centred input
    factor = scale * inverse
    slope = jnp.square(inverse) * sum_dy_centred / count
    dx = factor * dy - (factor * slope) * wide + factor * (slope * mean - sum_dy / count)
    over_groups = (*axes, 0)
    dscale = (sum_dy_centred * inverse).sum(over_groups).astype(scale.dtype)
    dbias = sum_dy.sum(over_groups).astype(bias.dtype)
    return dx.astype(x.dtype), dscale, dbias


batch_norm.defvjp(_forward, _backward)
