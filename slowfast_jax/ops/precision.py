"""Dtype of sums, coordinates and statistics: float32, or wider if the input is."""

import jax
import jax.numpy as jnp


def wide_dtype(x: jax.Array) -> jnp.dtype:
    """float32 if `x` is half precision or integer, otherwise the dtype of `x`."""
    return jnp.promote_types(x.dtype, jnp.float32)


def widen(x: jax.Array) -> jax.Array:
    """`x` cast to `wide_dtype(x)`."""
    return x.astype(wide_dtype(x))
