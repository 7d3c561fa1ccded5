"""Helpers that the lowerings of `conv3d` share."""

import jax
import jax.numpy as jnp
from jax import lax

Triple = tuple[int, int, int]

DIMENSIONS = {4: ("NHWC", "HWIO", "NHWC"), 5: ("NDHWC", "DHWIO", "NDHWC")}


def convolve(x, kernel, strides, padding, dilation, groups):
    """XLA's own convolution of `(N, H, W, C)` with `(kH, kW, C / groups, O)`, or of rank 5."""
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        [(p, p) for p in padding],
        rhs_dilation=dilation,
        dimension_numbers=DIMENSIONS[x.ndim],
        feature_group_count=groups,
    )


def require(condition: bool, lowering: str, what: str) -> None:
    """ValueError that the lowering takes only `what`, unless the condition holds."""
    if not condition:
        raise ValueError(f"the lowering {lowering!r} takes {what}")


def wide_kernel(kernel: jax.Array, frames: int) -> jax.Array:
    """Kernel that computes `frames` frames at once, packed into the output channels.

    `(kT, kH, kW, C, O)` -> `(kH, kW, reach * C, frames * O)`. The `reach = frames + kT - 1` frames
    that it reads are packed into the input channels. It is zero where a frame is out of reach.
    """
    kt, kh, kw, c, out = kernel.shape
    wide = jnp.stack(
        [jnp.pad(kernel, ((i, frames - 1 - i), *((0, 0),) * 4)) for i in range(frames)], -2
    )  # (reach, kH, kW, C, frames, O)
    return wide.transpose(1, 2, 0, 3, 4, 5).reshape(kh, kw, (frames + kt - 1) * c, frames * out)
