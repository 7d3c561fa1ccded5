"""Widths, heads and pooling of each block of a multiscale vision transformer."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from slowfast_jax.models.x3d import round_width
from slowfast_jax.ops.transformer.grid_pool import pooled_size

Triple = tuple[int, int, int]
Rows = Sequence[Sequence[float]]


class Pooling(NamedTuple):
    """A pooling of patches; its padding is `kernel // 2`."""

    kernel: Triple
    strides: Triple

    @property
    def changes_nothing(self) -> bool:
        return math.prod(self.kernel) == math.prod(self.strides) == 1

    def size(self, grid: Triple) -> Triple:
        return grid if self.changes_nothing else pooled_size(grid, *self)


NO_POOLING = Pooling((1, 1, 1), (1, 1, 1))


class BlockPlan(NamedTuple):
    """What differs from block to block.

    Attributes:
      width, attention_width, width_out: channels of the input, the attention and the output.
      heads: number of heads.
      q, kv: pooling of the queries, and of the keys and values.
      table_grid: size of the input's grid that the tables of relative positions are made for.
      drop_path: probability that a clip loses a branch in training.
    """

    width: int
    attention_width: int
    width_out: int
    heads: int
    q: Pooling
    kv: Pooling
    table_grid: Triple
    drop_path: float


def multiscale_plan(
    *,
    grid: Triple,
    depth: int,
    width: int,
    heads: int,
    dim_mul: Rows,
    head_mul: Rows,
    dim_mul_in_att: bool,
    poolings: Sequence[tuple[Pooling, Pooling]],
    drop_path: float,
) -> list[BlockPlan]:
    """The blocks of MViT; see `models.mvit.MViT` for the arguments.

    `grid` is that of the patches of a training clip.
    """
    widen, split = factors(dim_mul, depth), factors(head_mul, depth)
    plan = []
    for i, (q, kv) in enumerate(poolings):
        heads = round_width(heads, split[i])
        step = i if dim_mul_in_att else i + 1
        out = round_width(width, widen[step], divisor=round_width(heads, split[step]))
        plan.append(BlockPlan(
            width, out if dim_mul_in_att else width, out, heads, q, kv, grid,
            drop_rate(drop_path, i, depth),
        ))
        width, grid = out, divided(grid, q.strides)
    return plan


def reversible_plan(
    *,
    grid: Triple,
    depth: int,
    width: int,
    heads: int,
    dim_mul: Rows,
    head_mul: Rows,
    poolings: Sequence[tuple[Pooling, Pooling]],
    drop_path: float,
) -> list[BlockPlan]:
    """The blocks of Rev-MViT, whose width grows in the attention of the stage transitions."""
    widen, split = factors(dim_mul, depth), factors(head_mul, depth)
    plan = []
    for i, (q, kv) in enumerate(poolings):
        heads = round_width(heads, split[i])
        width = round_width(width, widen[i - 1] if i else 1.0, divisor=heads)
        out = round_width(width, widen[i], divisor=round_width(heads, split[i + 1]))
        plan.append(BlockPlan(width, out, out, heads, q, kv, grid, drop_rate(drop_path, i, depth)))
        grid = divided(grid, q.strides)
    return plan


def block_poolings(
    depth: int, q_strides: Rows, kv_strides: Rows, adaptive_kv_stride: Sequence[int],
    kernel: Sequence[int],
) -> list[tuple[Pooling, Pooling]]:
    """Pooling of the queries and of the keys and values of each block.

    Args:
      depth: number of blocks.
      q_strides, kv_strides: rows (block, t, h, w). A block without a row does not pool.
      adaptive_kv_stride: strides of the keys and values of the first block, which replace
        `kv_strides`; a block that pools the queries divides them by its strides. (): none.
      kernel: kernel of all poolings, also where the stride is 1. (): stride + 1 where the stride is
        above 1, elsewhere 1.
    """
    by_block = [{row[0]: tuple(row[1:]) for row in rows} for rows in (q_strides, kv_strides)]
    queries, keys = by_block
    if adaptive_kv_stride:
        stride, keys = tuple(adaptive_kv_stride), {}
        for i in range(depth):
            stride = tuple(
                max(s // q, 1) for s, q in zip(stride, queries.get(i, (1, 1, 1)), strict=True)
            )
            keys[i] = stride

    def pooling(strides: Triple | None) -> Pooling:
        if strides is None:
            return NO_POOLING
        return Pooling(tuple(kernel) if kernel else stride_kernel(strides), strides)

    return [(pooling(queries.get(i)), pooling(keys.get(i))) for i in range(depth)]


def stride_kernel(strides: Triple) -> Triple:
    """Kernel of a pooling that is given by its strides."""
    return tuple(s + 1 if s > 1 else 1 for s in strides)


def factors(rows: Rows, depth: int) -> list[float]:
    """`depth + 1` factors, 1 except where a row (block, factor) names another."""
    named = dict(rows)
    return [named.get(i, 1.0) for i in range(depth + 1)]


def divided(grid: Triple, strides: Triple) -> Triple:
    """Size of a grid after pooling, as the original computes it for the tables of positions.

    It rounds down, whereas pooling rounds up: for sizes that are no multiples of the strides, the
    tables are interpolated.
    """
    return tuple(n // s for n, s in zip(grid, strides, strict=True))


def drop_rate(last: float, block: int, depth: int) -> float:
    """Probability of stochastic depth, which grows linearly from 0 to that of the last block."""
    return last * block / (depth - 1) if depth > 1 else 0.0
