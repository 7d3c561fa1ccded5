"""Layer normalization (https://arxiv.org/abs/1607.06450) of the last axis."""

from functools import partial

import jax
from jax import lax

from slowfast_jax.ops.backend import as_one_operation
from slowfast_jax.ops.precision import widen

EPSILON = 1e-6


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def layer_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float = EPSILON
) -> jax.Array:
    """`(x - mean) / sqrt(var + epsilon) * scale + bias`, as `torch.nn.LayerNorm`.

    For the backward pass that JAX derives, XLA takes up to four times as long on CPU.

    Args:
      x: `(..., C)`.
      scale, bias: `(C,)`.
      epsilon: added to the variance.

    Returns:
      The shape and dtype of `x`; statistics are computed in float32 or wider.
    """
    return as_one_operation("layer_norm", _normalized, x, scale, bias, epsilon=epsilon)


def _forward(x, scale, bias, epsilon):
    return _normalized(x, scale, bias, epsilon=epsilon), (x, scale, bias)


def _normalized(x, scale, bias, *, epsilon):
    with jax.named_scope("layer_norm"):
        normalized, _ = _normalize(x, epsilon)
        return (normalized * scale + bias).astype(x.dtype)


def _normalize(x, epsilon):
    """The normalized `x` and the reciprocal of its standard deviation."""
    wide = widen(x)
    centered = wide - wide.mean(-1, keepdims=True)
    reciprocal = lax.rsqrt((centered * centered).mean(-1, keepdims=True) + epsilon)
    return centered * reciprocal, reciprocal


def _backward(epsilon, saved, dy):
    x, scale, bias = saved
    with jax.named_scope("layer_norm"):
        normalized, reciprocal = _normalize(x, epsilon)
        dy = widen(dy)
        dnormalized = dy * scale
        along = normalized * (dnormalized * normalized).mean(-1, keepdims=True)
        dx = (dnormalized - dnormalized.mean(-1, keepdims=True) - along) * reciprocal
        rows = dy.reshape(-1, dy.shape[-1])
        dscale = (rows * normalized.reshape(rows.shape)).sum(0)
        dbias = rows.sum(0)
        return dx.astype(x.dtype), dscale.astype(scale.dtype), dbias.astype(bias.dtype)


layer_norm.defvjp(_forward, _backward)
