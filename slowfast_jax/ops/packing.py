"""Maps with several frames in their channels: `(N, T / F, H, W, F * C)` for `(N, T, H, W, C)`.

A TPU lays channels along 128 lanes, so a map with 8 channels takes 16 times its size in memory.
With F frames side by side in the channels it takes F times less, and so does every pass over it.
A convolution of such a map is a plain one whose kernel has zeros where a frame is out of reach.
"""

import jax
import jax.numpy as jnp

from slowfast_jax.ops.backend import backend
from slowfast_jax.ops.layout import MapLayout
from slowfast_jax.ops.lowering import Triple, wide_kernel

LANES = 128


def packed_layout(channels: int, divisor: int) -> MapLayout:
    """The layout for maps with so few channels that frames should be packed.

    On a TPU as many frames lie side by side as fill the lanes, a power of two that divides
    `divisor`. Other backends store few channels densely, so there it is the plain layout.
    """
    frames = 1
    while backend() == "tpu" and 2 * frames * channels <= LANES and divisor % (2 * frames) == 0:
        frames *= 2
    return MapLayout(frames)


def pack(x: jax.Array, layout: MapLayout) -> jax.Array:
    """`(N, T, H, W, C)` -> `(N, T / frames, H, W, frames * C)`, the earlier frame first."""
    frames = layout.frames
    if frames == 1:
        return x
    n, t, h, w, c = x.shape
    x = x.reshape(n, t // frames, frames, h, w, c).transpose(0, 1, 3, 4, 2, 5)
    return x.reshape(n, t // frames, h, w, frames * c)


def unpack(x: jax.Array, layout: MapLayout) -> jax.Array:
    """The inverse of `pack`."""
    frames = layout.frames
    if frames == 1:
        return x
    n, t, h, w, c = x.shape
    x = x.reshape(n, t, h, w, frames, c // frames).transpose(0, 1, 4, 2, 3, 5)
    return x.reshape(n, t * frames, h, w, c // frames)


def packed_operands(
    x: jax.Array, kernel: jax.Array, frames: int, strides: Triple, dilation: Triple
) -> tuple[jax.Array, jax.Array]:
    """Rewrites the convolution of a packed map as one with kernel size 1 in time.

    Args:
      x: `(N, T / frames, H, W, frames * Cin)`.
      kernel: `(kT, kH, kW, Cin, Cout)`; the padding in time is `kT // 2`.
      strides, dilation: as in `conv3d`; the stride in time is 1 or a multiple of `frames`.

    Returns:
      The two operands of that convolution: the map, in which the channels of each output position
      hold all frames that it reads, and the kernel `(1, kH, kW, frames read * Cin, frames written *
      Cout)`. With stride 1 in time `frames` frames are written per position, otherwise one.

    Raises:
      ValueError: for any other stride in time, and for dilation in time.
    """
    size, stride = kernel.shape[0], strides[0]
    if dilation[0] != 1 or (stride != 1 and stride % frames):
        raise ValueError(
            f"a map with {frames} frames in its channels is convolved without dilation and with "
            f"stride 1 or a multiple of {frames} in time, not dilation {dilation[0]} and stride "
            f"{stride}"
        )
    written = frames if stride == 1 else 1
    reach = written - 1 + size  # frames that the `written` frames of one position read
    x = _frames_read(x, frames, -(size // 2), reach, max(1, stride // frames))
    return x, wide_kernel(kernel, written)[None]


def _frames_read(x: jax.Array, frames: int, first: int, count: int, step: int) -> jax.Array:
    """Every `step`-th position, its channels holding `count` frames, with zeros beyond the ends.

    The first of them is frame `first`, counted from the position's own first frame.
    """
    before, after = -(first // frames), (first + count - 1) // frames
    if not before and not after and step == 1:
        return x
    length, channels = x.shape[1], x.shape[-1] // frames
    padded = jnp.pad(x, ((0, 0), (before, after), *((0, 0),) * 3))
    parts = []
    for offset in range(-before, after + 1):
        low = max(0, first - offset * frames)
        high = min(frames, first + count - offset * frames)
        start = offset + before
        part = padded[:, start : start + length : step]
        parts.append(part[..., low * channels : high * channels])
    return jnp.concatenate(parts, -1)
