"""Linear interpolation of position tables to another size, as `torch.nn.functional.interpolate`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def resize_linear(x: jax.Array, size: int, axis: int = 0) -> jax.Array:
    """`x` with `size` positions along `axis`; half-pixel centers, the border is repeated.

    Several calls, one per axis, are bilinear or trilinear interpolation. Nothing is smoothed when a
    table shrinks (`align_corners=False`, `antialias=False`).
    """
    if x.shape[axis] == size:
        return x
    weights = jnp.asarray(_weights(x.shape[axis], size), x.dtype)
    return jnp.moveaxis(jnp.tensordot(weights, x, ((1,), (axis,))), 0, axis)


@functools.cache
def _weights(old: int, new: int) -> np.ndarray:
    """`(new, old)`: share of each old position in each new one."""
    place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = place.astype(int)
    high = np.minimum(low + 1, old - 1)
    weights, rows = np.zeros((new, old)), np.arange(new)
    np.add.at(weights, (rows, low), 1 - (place - low))
    np.add.at(weights, (rows, high), place - low)
    return weights
