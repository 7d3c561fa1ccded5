"""From pixels to the network's input, on the device."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def normalize(
    clip: jax.Array, mean: Sequence[float], std: Sequence[float], dtype: jnp.dtype = jnp.float32
) -> jax.Array:
    """`(clip / 255 - mean) / std` for uint8 `(N, T, H, W, 3)`; float is taken as normalised."""
    if clip.ndim != 5 or clip.shape[-1] != 3:
        raise ValueError(f"a clip is (N, T, H, W, 3), not {clip.shape}")
    if clip.dtype == jnp.uint8:
        scale = 1.0 / (255.0 * jnp.asarray(std, jnp.float32))
        shift = jnp.asarray(mean, jnp.float32) / jnp.asarray(std, jnp.float32)
        clip = clip.astype(jnp.float32) * scale - shift
    elif not jnp.issubdtype(clip.dtype, jnp.floating):
        raise ValueError(f"a clip is uint8, or float and normalised already, not {clip.dtype}")
    return clip.astype(dtype)
