"""Layer normalization (https://arxiv.org/abs/1607.06450) of the last axis."""

import jax
from jax import lax

from slowfast_jax.ops.precision import widen

EPSILON = 1e-6


def layer_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float = EPSILON
) -> jax.Array:
    """`(x - mean) / sqrt(var + epsilon) * scale + bias`, as `torch.nn.LayerNorm`.

    Args:
      x: `(..., C)`.
      scale, bias: `(C,)`.
      epsilon: added to the variance.

    Returns:
      The shape and dtype of `x`; statistics are computed in float32 or wider.
    """
    with jax.named_scope("layer_norm"):
        wide = widen(x)
        centered = wide - wide.mean(-1, keepdims=True)
        var = (centered * centered).mean(-1, keepdims=True)
        return (centered * lax.rsqrt(var + epsilon) * scale + bias).astype(x.dtype)
