"""Normalization of clips, on the device."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def normalize(
    clip: jax.Array, mean: Sequence[float], std: Sequence[float], dtype: jnp.dtype = jnp.float32
) -> jax.Array:
    """The input of a network for a clip `(N, T, H, W, 3)`.

    Args:
      clip: uint8, which becomes `(clip / 255 - mean) / std`; or float, already normalized.
      mean, std: of the three channels, on the 0..1 scale.
      dtype: of the result.

    Raises ValueError for another shape or dtype.
    """
    if clip.ndim != 5 or clip.shape[-1] != 3:
        raise ValueError(f"a clip has shape {clip.shape}, expected (N, T, H, W, 3)")
    if clip.dtype == jnp.uint8:
        scale = 1.0 / (255.0 * jnp.asarray(std, jnp.float32))
        shift = jnp.asarray(mean, jnp.float32) / jnp.asarray(std, jnp.float32)
        clip = clip.astype(jnp.float32) * scale - shift
    elif not jnp.issubdtype(clip.dtype, jnp.floating):
        raise ValueError(
            f"a clip is {clip.dtype}, expected uint8, or float if it is already normalized"
        )
    return clip.astype(dtype)
