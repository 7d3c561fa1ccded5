"""Maps with several frames in their channels: `(N, T / F, H, W, F * C)` for `(N, T, H, W, C)`.

A TPU lays channels along 128 lanes: a map of 8 channels takes 16 times its size in memory. With
F frames side by side in the channels it takes a factor F less, and so does every pass over it.
A convolution of such maps is one whose kernel has zeros where a frame is out of reach.
"""

import jax
import jax.numpy as jnp

from slowfast_jax.ops.backend import backend
from slowfast_jax.ops.conv import conv3d
from slowfast_jax.ops.lowering import Triple, wide_kernel

LANES = 128


def frames_to_pack(channels: int, divisor: int) -> int:
    """How many frames of so many channels fill the lanes of a TPU: a power of two that divides
    `divisor`. 1 where the backend lays out channels densely."""
    frames = 1
    while backend() == "tpu" and 2 * frames * channels <= LANES and divisor % (2 * frames) == 0:
        frames *= 2
    return frames


def pack(x: jax.Array, frames: int) -> jax.Array:
    """`(N, T, H, W, C)` -> `(N, T / frames, H, W, frames * C)`, the earlier frame first."""
    if frames == 1:
        return x
    n, t, h, w, c = x.shape
    x = x.reshape(n, t // frames, frames, h, w, c).transpose(0, 1, 3, 4, 2, 5)
    return x.reshape(n, t // frames, h, w, frames * c)


def unpack(x: jax.Array, frames: int) -> jax.Array:
    """The inverse of `pack`."""
    if frames == 1:
        return x
    n, t, h, w, c = x.shape
    x = x.reshape(n, t, h, w, frames, c // frames).transpose(0, 1, 4, 2, 3, 5)
    return x.reshape(n, t * frames, h, w, c // frames)


def conv3d_packed(
    x: jax.Array,
    kernel: jax.Array,
    frames: int,
    *,
    strides: Triple = (1, 1, 1),
    dilation: Triple = (1, 1, 1),
) -> jax.Array:
    """`conv3d` of a packed map, padded by half the kernel.

    Args:
      x: `(N, T / frames, H, W, frames * Cin)`.
      kernel: `(kT, kH, kW, Cin, Cout)`.
      strides, dilation: as in `conv3d`; the stride in time is 1 or a multiple of `frames`.

    Returns:
      `(N, T / frames, H', W', frames * Cout)`; with a stride in time there is one frame in a
      position, `(N, T / stride, H', W', Cout)`.

    Raises ValueError for a stride in time that is neither, and for dilation in time.
    """
    size, stride = kernel.shape[0], strides[0]
    if dilation[0] != 1 or (stride != 1 and stride % frames):
        raise ValueError(
            f"a map with {frames} frames in its channels is convolved without dilation and with "
            f"stride 1 or a multiple of {frames} in time, not dilation {dilation[0]} and stride "
            f"{stride}"
        )
    written = frames if stride == 1 else 1
    reach = written - 1 + size  # frames that the `written` ones of one position read
    x = _reached(x, frames, -(size // 2), reach, max(1, stride // frames))
    wide = wide_kernel(kernel, written)[None]
    padding = (0, *(d * (k // 2) for d, k in zip(dilation[1:], kernel.shape[1:3], strict=True)))
    return conv3d(x, wide, strides=(1, *strides[1:]), padding=padding, dilation=dilation)


def _reached(x: jax.Array, frames: int, first: int, count: int, step: int) -> jax.Array:
    """Beside each `step`-th position's frames those around it: `count` from `first` on, counted
    from the position's own first frame, with zeros beyond the ends."""
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
