"""How maps lie in memory."""

import jax
from jax.experimental.layout import Layout, with_layout_constraint

from slowfast_jax.ops.backend import backend

BROAD = 64  # channels, half the lanes of a TPU


def laid_out(x: jax.Array) -> jax.Array:
    """`x (N, T, H, W, C)` as convolutions on TPUs read and write it where there are many channels:
    channels along the lanes, then frames and clips.

    Left to itself, the compiler sometimes takes another layout for what lies between convolutions,
    and copies every map there and back. Nothing changes on other backends.
    """
    if backend() != "tpu" or x.shape[-1] < BROAD:
        return x
    return with_layout_constraint(x, Layout(major_to_minor=(2, 3, 0, 1, 4)))
