"""3-D convolution on `(N, T, H, W, C)`, written as what each backend runs fast.

XLA's own rank-5 convolution is slow on CPU beside the same sum written with rank-4 convolutions,
matmuls or shifted multiply-adds. `conv3d` chooses such a lowering by kernel shape and backend;
every lowering computes the same numbers and can be asked for by name.
`benchmarks/conv_lowerings.py` times them all.

Kernels are `(kT, kH, kW, Cin / groups, Cout)`.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Triple = tuple[int, int, int]


def conv3d(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: Triple = (1, 1, 1),
    padding: Triple | None = None,
    dilation: Triple = (1, 1, 1),
    groups: int = 1,
    lowering: str | None = None,
) -> jax.Array:
    """Cross-correlation of `x` with `kernel`, as `torch.nn.Conv3d` without bias.

    Args:
      x: `(N, T, H, W, Cin)`.
      kernel: `(kT, kH, kW, Cin / groups, Cout)`.
      strides, dilation: one number per time, height, width.
      padding: zeros on both sides of time, height, width; None: `dilation * (k // 2)`.
      groups: channel groups; `groups == Cin` is a depthwise convolution.
      lowering: a name of `LOWERINGS`; None chooses by shape and backend.

    Returns:
      `(N, T', H', W', Cout)`.
    """
    size = kernel.shape[:3]
    if x.ndim != 5 or kernel.ndim != 5 or x.shape[-1] != kernel.shape[3] * groups:
        raise ValueError(
            f"conv3d takes (N, T, H, W, C) and (kT, kH, kW, C / groups, O); "
            f"got {x.shape}, {kernel.shape} and groups={groups}"
        )
    if padding is None:
        padding = tuple(d * (k // 2) for d, k in zip(dilation, size, strict=True))
    if lowering is None:
        lowering = choose_lowering(
            x.shape, kernel.shape, strides, dilation, groups, jax.default_backend()
        )
    elif lowering not in LOWERINGS:
        raise ValueError(f"unknown lowering {lowering!r}; there are {', '.join(LOWERINGS)}")
    return LOWERINGS[lowering](x, kernel, strides, padding, dilation, groups)


def choose_lowering(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: Triple,
    dilation: Triple,
    groups: int,
    backend: str,
) -> str:
    """The name of the lowering that `conv3d` takes for these shapes on this backend."""
    (kt, kh, kw, _, out), channels = kernel, shape[-1]
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
        if kt == 3 and strides == dilation == (1, 1, 1) and shape[2] * shape[3] <= 256:
            return "winograd_time"
        return "temporal_2d"
    if groups == 1 and strides[0] == dilation[0] == 1 and channels < 8:
        return "frame_blocks"
    return "taps"


def direct(x, kernel, strides, padding, dilation, groups):
    """XLA's own rank-5 convolution."""
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        [(p, p) for p in padding],
        rhs_dilation=dilation,
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        feature_group_count=groups,
    )


def pointwise(x, kernel, strides, padding, dilation, groups):
    """A 1x1x1 kernel: a matmul over channels on the positions that the stride keeps."""
    _require(kernel.shape[:3] == (1, 1, 1) and groups == 1, "pointwise", "a dense 1x1x1 kernel")
    _require(not any(padding), "pointwise", "no padding")
    x = x[:, :: strides[0], :: strides[1], :: strides[2]]
    # Rank 2: with more dimensions XLA transposes whole maps for the kernel's gradient.
    y = x.reshape(-1, x.shape[-1]) @ kernel[0, 0, 0]
    return y.reshape(*x.shape[:-1], -1)


def fold_time(x, kernel, strides, padding, dilation, groups):
    """A 1 x kH x kW kernel: frames join the batch of a rank-4 convolution."""
    _require(kernel.shape[0] == 1, "fold_time", "kernel size 1 in time")
    _require(not padding[0], "fold_time", "no padding in time")
    x = x[:, :: strides[0]]
    n, t = x.shape[:2]
    y = _conv2d(
        x.reshape(n * t, *x.shape[2:]), kernel[0], strides[1:], padding[1:], dilation[1:], groups
    )
    return y.reshape(n, t, *y.shape[1:])


def temporal_2d(x, kernel, strides, padding, dilation, groups):
    """A kT x 1 x 1 kernel: a rank-4 convolution over (T, H * W)."""
    _require(kernel.shape[1:3] == (1, 1), "temporal_2d", "kernel size 1 in space")
    _require(not any(padding[1:]), "temporal_2d", "no padding in space")
    x = x[:, :, :: strides[1], :: strides[2]]
    n, t, h, w, c = x.shape
    y = _conv2d(
        x.reshape(n, t, h * w, c), kernel[:, 0], (strides[0], 1), (padding[0], 0),
        (dilation[0], 1), groups,
    )
    return y.reshape(n, y.shape[1], h, w, y.shape[-1])


def taps(x, kernel, strides, padding, dilation, groups):
    """The sum over temporal taps of rank-4 convolutions, time folded into the batch."""
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
    """Blocks of output frames at once: their input frames become channels of one convolution.

    `block` output frames read `block + kT - 1` input frames, so the rank-4 kernel is
    `(kH, kW, (block + kT - 1) * C, block * O)` with zeros where a frame is out of reach. It
    multiplies more, but few channels (a stem's 3) would leave the matrix units idle.
    """
    _require(groups == 1 and strides[0] == dilation[0] == 1, "frame_blocks",
             "a dense kernel without stride or dilation in time")
    kt, kh, kw, c, out = kernel.shape
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
    wide = jnp.stack(
        [jnp.pad(kernel, ((i, block - 1 - i), *((0, 0),) * 4)) for i in range(block)], -2
    )  # (reach, kH, kW, C, block, O)
    wide = wide.transpose(1, 2, 0, 3, 4, 5).reshape(1, kh, kw, reach * c, block * out)
    y = fold_time(x, wide, (1, *strides[1:]), (0, *padding[1:]), dilation, 1)
    y = y.reshape(n, blocks, *y.shape[2:4], block, out).transpose(0, 1, 4, 2, 3, 5)
    return y.reshape(n, blocks * block, *y.shape[3:])[:, :frames]


def column_pairs(x, kernel, strides, padding, dilation, groups):
    """A 1 x kH x kW kernel, two output columns at once: they are channels of one convolution.

    The kernel grows to `kW + stride` columns with zeros where a column is out of reach, and its
    output channels double: for networks too narrow to fill the matrix units.
    """
    _require(kernel.shape[0] == 1 and groups == dilation[2] == 1, "column_pairs",
             "a dense kernel of size 1 in time without dilation")
    width, step = kernel.shape[2], strides[2]
    columns = (x.shape[3] + 2 * padding[2] - width) // step + 1
    # room for a second column in the last pair
    short = max(0, width + step * (columns + columns % 2 - 1) - (x.shape[3] + 2 * padding[2]))
    x = jnp.pad(x, ((0, 0),) * 3 + ((padding[2], padding[2] + short), (0, 0)))
    both = [jnp.pad(kernel, ((0, 0),) * 2 + (place, (0, 0), (0, 0))) for place in
            ((0, step), (step, 0))]
    y = fold_time(
        x, jnp.concatenate(both, -1), (*strides[:2], 2 * step), (*padding[:2], 0), dilation, 1
    )
    y = y.reshape(*y.shape[:3], -1, kernel.shape[-1])
    return y[:, :, :, :columns]


def winograd(x, kernel, strides, padding, dilation, groups):
    """A 1 x 3 x 3 kernel by F(2x2, 3x3): 4 multiplications per output where there were 9.

    Lavin and Gray, Fast algorithms for convolutional neural networks
    (https://arxiv.org/abs/1509.09308), section 4.1: every 4 x 4 tile of the input, at stride 2, and
    the kernel are transformed, multiplied as 16 matmuls over channels, and transformed back.
    """
    _require(kernel.shape[:3] == (1, 3, 3) and groups == 1, "winograd", "a dense 1x3x3 kernel")
    _require(strides == (1, 1, 1) == tuple(dilation), "winograd", "no stride and no dilation")
    n, t, h, w, c = x.shape
    out = kernel.shape[-1]
    h, w = (size + 2 * p - 2 for size, p in zip((h, w), padding[1:], strict=True))
    rows, cols = -(-h // 2), -(-w // 2)
    x = jnp.pad(x, ((0, 0), (0, 0), (padding[1], padding[1] + 2 * rows - h),
                    (padding[2], padding[2] + 2 * cols - w), (0, 0)))
    tiles = [[x[:, :, i : i + 2 * rows - 1 : 2, j : j + 2 * cols - 1 : 2] for j in range(4)]
             for i in range(4)]
    tiles = _both_axes(_tile_transform, tiles)
    weights = _both_axes(_kernel_transform, [[kernel[0, i, j] for j in range(3)] for i in range(3)])
    products = [[a.reshape(-1, c) @ b for a, b in zip(*pair, strict=True)]
                for pair in zip(tiles, weights, strict=True)]
    y = _both_axes(_output_transform, products)
    y = jnp.stack([jnp.stack(row, 1) for row in y], 1)  # (tiles, 2, 2, O)
    y = y.reshape(n, t, rows, cols, 2, 2, out).transpose(0, 1, 2, 4, 3, 5, 6)
    return y.reshape(n, t, 2 * rows, 2 * cols, out)[:, :, :h, :w]


def winograd_time(x, kernel, strides, padding, dilation, groups):
    """A 3 x 1 x 1 kernel by F(2, 3): two frames from 4 matmuls over channels where there were 6.

    `winograd` along time alone.
    """
    _require(kernel.shape[:3] == (3, 1, 1) and groups == 1, "winograd_time", "a dense 3x1x1 kernel")
    _require(strides == (1, 1, 1) == tuple(dilation), "winograd_time", "no stride and no dilation")
    _require(not any(padding[1:]), "winograd_time", "no padding in space")
    n, t, h, w, c = x.shape
    t = t + 2 * padding[0] - 2
    pairs = -(-t // 2)
    x = jnp.pad(x, ((0, 0), (padding[0], padding[0] + 2 * pairs - t), (0, 0), (0, 0), (0, 0)))
    tiles = _tile_transform([x[:, i : i + 2 * pairs - 1 : 2] for i in range(4)])
    weights = _kernel_transform(kernel[:, 0, 0])
    products = [a.reshape(-1, c) @ b for a, b in zip(tiles, weights, strict=True)]
    y = [m.reshape(n, pairs, h, w, -1) for m in _output_transform(products)]
    return jnp.stack(y, 2).reshape(n, 2 * pairs, h, w, kernel.shape[-1])[:, :t]


def shifts(x, kernel, strides, padding, dilation, groups):
    """A depthwise kernel: the sum of shifted copies, each times one weight per channel."""
    _require(groups == x.shape[-1] == kernel.shape[-1], "shifts", "a depthwise kernel")
    x = jnp.pad(x, ((0, 0), *((p, p) for p in padding), (0, 0)))
    return _sum_of_shifts(x, kernel, tuple(strides), tuple(dilation))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _sum_of_shifts(x, kernel, strides, dilation):
    """`x` is padded. The derived gradient would add up one padded map for each weight."""
    parts = _shifted(x, kernel.shape[:3], strides, dilation)
    return sum(part * kernel[index][0] for index, part in parts)


def _sum_of_shifts_forward(x, kernel, strides, dilation):
    return _sum_of_shifts(x, kernel, strides, dilation), (x, kernel)


def _sum_of_shifts_backward(strides, dilation, saved, dy):
    x, kernel = saved
    parts = _shifted(x, kernel.shape[:3], strides, dilation)
    dkernel = jnp.stack([(part * dy).sum((0, 1, 2, 3)) for _, part in parts])
    # For the input: dy spread by the strides, convolved with the flipped kernel.
    reach = [d * (k - 1) for d, k in zip(dilation, kernel.shape, strict=False)]
    spread = [s * (n - 1) + 1 for s, n in zip(strides, dy.shape[1:4], strict=True)]
    room = [(r, n - m, s - 1) for r, n, m, s in
            zip(reach, x.shape[1:4], spread, strides, strict=True)]
    dy = lax.pad(dy, jnp.zeros((), dy.dtype), [(0, 0, 0), *room, (0, 0, 0)])
    dx = _sum_of_shifts(dy, kernel[::-1, ::-1, ::-1], (1, 1, 1), dilation)
    return dx, dkernel.reshape(kernel.shape)


_sum_of_shifts.defvjp(_sum_of_shifts_forward, _sum_of_shifts_backward)


def _shifted(x, size, strides, dilation):
    """Pairs of a weight's index and the padded input as that weight sees it."""
    frames = [
        (n - d * (k - 1) - 1) // s + 1
        for n, d, k, s in zip(x.shape[1:4], dilation, size, strides, strict=True)
    ]
    for index in np.ndindex(*size):
        start = [i * d for i, d in zip(index, dilation, strict=True)]
        stop = [b + s * (n - 1) + 1 for b, s, n in zip(start, strides, frames, strict=True)]
        yield index, lax.slice(
            x, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), (1, *strides, 1)
        )


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


def _conv2d(x, kernel, strides, padding, dilation, groups):
    """Rank-4 convolution of `(N, H, W, C)` with `(kH, kW, C / groups, O)`."""
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        [(p, p) for p in padding],
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _both_axes(transform, grid):
    """A one-dimensional transform along the columns, then the rows, of a list of lists."""
    columns = [transform(column) for column in zip(*grid, strict=True)]
    return [transform(row) for row in zip(*columns, strict=True)]


def _tile_transform(d):
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _kernel_transform(g):
    return [g[0], (g[0] + g[1] + g[2]) / 2, (g[0] - g[1] + g[2]) / 2, g[2]]


def _output_transform(m):
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _require(condition: bool, lowering: str, what: str) -> None:
    if not condition:
        raise ValueError(f"the lowering {lowering!r} takes {what}")
