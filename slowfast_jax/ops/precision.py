"""The precision of sums, coordinates and statistics: float32, or wider where the input is."""

import jax
import jax.numpy as jnp


def wide_dtype(x: jax.Array) -> jnp.dtype:
    """float32 for half precision and integers, else the dtype of `x`."""
    return jnp.promote_types(x.dtype, jnp.float32)


def widen(x: jax.Array) -> jax.Array:
    """`x` in `wide_dtype(x)`."""
    return x.astype(wide_dtype(x))
