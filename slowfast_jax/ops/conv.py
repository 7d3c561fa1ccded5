"""3-D convolution on `(N, T, H, W, C)`, written in the form that each backend runs fastest.

XLA's own rank-5 convolution is slow on CPU compared with the same sum written as rank-4
convolutions, matmuls or shifted multiply-adds. `conv3d` chooses such a lowering by kernel shape and
backend. All lowerings compute the same numbers, and each can be requested by name.
`benchmarks/conv_lowerings.py` times them all.

Kernels are `(kT, kH, kW, Cin / groups, Cout)`.
"""

import jax
import jax.numpy as jnp

from slowfast_jax.ops.backend import GRAPH_BACKEND, backend
from slowfast_jax.ops.depthwise import shifts
from slowfast_jax.ops.layout import PLAIN, MapLayout
from slowfast_jax.ops.lowering import Triple, convolve, require, wide_kernel
from slowfast_jax.ops.packing import packed_operands
from slowfast_jax.ops.temporal import temporal_2d
from slowfast_jax.ops.winograd import winograd, winograd_time


def conv3d(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: Triple = (1, 1, 1),
    padding: Triple | None = None,
    dilation: Triple = (1, 1, 1),
    groups: int = 1,
    layout: MapLayout = PLAIN,
    lowering: str | None = None,
) -> jax.Array:
    """Cross-correlation of `x` with `kernel`, as `torch.nn.Conv3d` without bias.

    Args:
      x: `(N, T, H, W, Cin)`.
      kernel: `(kT, kH, kW, Cin / groups, Cout)`.
      strides, dilation: one number each for time, height and width.
      padding: zeros on both sides of time, height and width; None: `dilation * (k // 2)`.
      groups: channel groups; `groups == Cin` is a depthwise convolution.
      layout: of `x`. If frames are packed, the layer has default padding and one group, and its
        stride in time is 1 or a multiple of the packed frames; with such a stride the frames of the
        result are not packed.
      lowering: a name of `LOWERINGS`; None chooses by shape, layout and backend.

    Returns:
      `(N, T', H', W', Cout)`.

    Raises:
      ValueError: for shapes that do not fit, an unknown lowering, a lowering that does not apply,
        and a layer that packed frames do not allow.
    """
    size = kernel.shape[:3]
    if layout.frames > 1:
        if padding is not None or groups != 1:
            raise ValueError(
                f"a map with {layout.frames} frames in its channels is convolved with the default "
                f"padding and in one group, not padding={padding} and groups={groups}"
            )
        x, kernel = packed_operands(x, kernel, layout.frames, strides, dilation)
        strides, size = (1, *strides[1:]), kernel.shape[:3]
    if x.ndim != 5 or kernel.ndim != 5 or x.shape[-1] != kernel.shape[3] * groups:
        raise ValueError(
            f"conv3d takes (N, T, H, W, C) and (kT, kH, kW, C / groups, O); "
            f"got {x.shape}, {kernel.shape} and groups={groups}"
        )
    if padding is None:
        padding = tuple(d * (k // 2) for d, k in zip(dilation, size, strict=True))
    if lowering is None:
        pointwise = layout.depthwise and size == (1, 1, 1) and groups == 1
        if pointwise and backend() != GRAPH_BACKEND:
            lowering = "pointwise"
        else:
            lowering = choose_lowering(
                x.shape, kernel.shape, strides, dilation, groups, backend()
            )
    elif lowering not in LOWERINGS:
        raise ValueError(f"unknown lowering {lowering!r}; expected one of {', '.join(LOWERINGS)}")
    return LOWERINGS[lowering](x, kernel, strides, padding, dilation, groups)


def add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
    """`x` plus `bias (C,)`; each of the frames packed into the channels of `x` gets it."""
    return x + jnp.tile(bias, x.shape[-1] // bias.size)


def choose_lowering(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: Triple,
    dilation: Triple,
    groups: int,
    backend: str,
) -> str:
    """Name of the lowering that `conv3d` uses for these shapes on this backend."""
    (kt, kh, kw, _, out), channels = kernel, shape[-1]
    if backend == GRAPH_BACKEND:
        return "direct"
    if backend == "tpu" and groups == 1:
        # As matmuls, or with an axis for time, the layers of a block get layouts that do not match,
        # and the compiler copies whole maps between them.
        if kt == 1:
            return "fold_time"
        # Channels lie along 128 lanes, and few channels leave most lanes empty. With the frames in
        # the batch dimension the compiler puts the batch there instead.
        if (kh, kw) == (1, 1) and min(channels, out) <= 8:
            return "taps"
        if strides[0] == dilation[0] == 1 and min(channels, out) <= 8:
            return "frame_blocks"
    if groups == 1 and (kt, kh, kw) == (1, 1, 1):
        return "pointwise"
    if backend != "cpu":
        return "direct"
    if groups == channels == out:
        return "shifts"
    if kt == 1 and groups == 1:
        plain = strides == dilation == (1, 1, 1) and (kh, kw) == (3, 3)
        if plain and channels >= 32 and 64 <= out <= 256:
            return "winograd"
        if dilation == (1, 1, 1) and (kh, kw) == (3, 3) and channels <= 8:
            return "column_pairs"
        return "fold_time"
    if kt == 1:
        return "fold_time"
    if groups == 1 and kh == kw == 1:
        plain = kt == 3 and strides == dilation == (1, 1, 1)
        if plain and channels >= 128 and shape[2] * shape[3] <= 1024:
            return "winograd_time"
        return "temporal_2d"
    if groups == 1 and strides[0] == dilation[0] == 1 and channels < 8:
        return "frame_blocks"
    return "taps"


def direct(x, kernel, strides, padding, dilation, groups):
    """XLA's own rank-5 convolution; takes any kernel."""
    return convolve(x, kernel, strides, padding, dilation, groups)


def pointwise(x, kernel, strides, padding, dilation, groups):
    """For 1x1x1 kernels: a matmul over the channels of the positions that the stride keeps."""
    require(kernel.shape[:3] == (1, 1, 1) and groups == 1, "pointwise", "a dense 1x1x1 kernel")
    require(not any(padding), "pointwise", "no padding")
    x = x[:, :: strides[0], :: strides[1], :: strides[2]]
    # Rank 2, because with more dimensions XLA transposes whole maps for the kernel's gradient.
    y = x.reshape(-1, x.shape[-1]) @ kernel[0, 0, 0]
    return y.reshape(*x.shape[:-1], -1)


def fold_time(x, kernel, strides, padding, dilation, groups):
    """For 1 x kH x kW kernels: a rank-4 convolution with the frames in the batch dimension."""
    require(kernel.shape[0] == 1, "fold_time", "kernel size 1 in time")
    require(not padding[0], "fold_time", "no padding in time")
    x = x[:, :: strides[0]]
    n, t = x.shape[:2]
    y = convolve(
        x.reshape(n * t, *x.shape[2:]), kernel[0], strides[1:], padding[1:], dilation[1:], groups
    )
    return y.reshape(n, t, *y.shape[1:])


def taps(x, kernel, strides, padding, dilation, groups):
    """The sum of one rank-4 convolution per temporal tap, with the frames in the batch."""
    x = jnp.pad(x, ((0, 0), (padding[0],) * 2, (0, 0), (0, 0), (0, 0)))
    kt = kernel.shape[0]
    frames = (x.shape[1] - dilation[0] * (kt - 1) - 1) // strides[0] + 1
    total = 0
    for i in range(kt):
        start = i * dilation[0]
        part = x[:, start : start + strides[0] * (frames - 1) + 1 : strides[0]]
        total += fold_time(part, kernel[i : i + 1], (1, *strides[1:]), (0, *padding[1:]), dilation,
                           groups)
    return total


def frame_blocks(x, kernel, strides, padding, dilation, groups, block=4):
    """Computes several output frames at once; the input frames they read are channels.

    `block` output frames read `block + kT - 1` input frames, so the rank-4 kernel is
    `(kH, kW, (block + kT - 1) * C, block * O)` with zeros where a frame is out of reach. This takes
    more multiplications, but with few channels (3 in a stem) the matrix units would be idle.
    """
    require(groups == 1 and strides[0] == dilation[0] == 1, "frame_blocks",
             "a dense kernel without stride or dilation in time")
    kt, out = kernel.shape[0], kernel.shape[-1]
    n, t = x.shape[:2]
    frames = t + 2 * padding[0] - kt + 1
    blocks = -(-frames // block)
    reach = block + kt - 1
    x = jnp.pad(
        x, ((0, 0), (padding[0], padding[0] + blocks * block - frames), (0, 0), (0, 0), (0, 0))
    )
    x = jnp.concatenate(
        [x[:, i : i + block * (blocks - 1) + 1 : block] for i in range(reach)], -1
    )
    wide = wide_kernel(kernel, block)[None]
    y = fold_time(x, wide, (1, *strides[1:]), (0, *padding[1:]), dilation, 1)
    y = y.reshape(n, blocks, *y.shape[2:4], block, out).transpose(0, 1, 4, 2, 3, 5)
    return y.reshape(n, blocks * block, *y.shape[3:])[:, :frames]


def column_pairs(x, kernel, strides, padding, dilation, groups):
    """For 1 x kH x kW kernels: computes two output columns at once, as channels.

    The kernel grows to `kW + stride` columns, with zeros where a column is out of reach, and has
    twice the output channels. It suits networks too narrow to fill the matrix units.
    """
    require(kernel.shape[0] == 1 and groups == dilation[2] == 1, "column_pairs",
             "a dense kernel of size 1 in time without dilation")
    width, step = kernel.shape[2], strides[2]
    columns = (x.shape[3] + 2 * padding[2] - width) // step + 1
    # Columns that the second column of the last pair reads beyond the padding.
    short = max(0, width + step * (columns + columns % 2 - 1) - (x.shape[3] + 2 * padding[2]))
    x = jnp.pad(x, ((0, 0),) * 3 + ((padding[2], padding[2] + short), (0, 0)))
    both = [jnp.pad(kernel, ((0, 0),) * 2 + (place, (0, 0), (0, 0))) for place in
            ((0, step), (step, 0))]
    y = fold_time(
        x, jnp.concatenate(both, -1), (*strides[:2], 2 * step), (*padding[:2], 0), dilation, 1
    )
    y = y.reshape(*y.shape[:3], -1, kernel.shape[-1])
    return y[:, :, :, :columns]


LOWERINGS = {
    "direct": direct,
    "pointwise": pointwise,
    "fold_time": fold_time,
    "temporal_2d": temporal_2d,
    "taps": taps,
    "frame_blocks": frame_blocks,
    "column_pairs": column_pairs,
    "winograd": winograd,
    "winograd_time": winograd_time,
    "shifts": shifts,
}
