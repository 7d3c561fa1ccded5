"""Residual networks that factorize their 3 x 3 x 3 convolutions: CSN and R(2+1)D.

Papers: channel-separated networks (CSN) https://arxiv.org/abs/1904.02811, R(2+1)D
https://arxiv.org/abs/1711.11248. Both are bottleneck networks as PyTorchVideo builds and publishes
them; R(2+1)D of the paper has basic blocks.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax

from slowfast_jax.models.blocks import (
    Endpoints,
    Make,
    Stage,
    Triple,
    add_shortcut,
    blocks_per_stage,
    final_scale,
    remat_table,
    table_row,
)
from slowfast_jax.models.dtypes import in_dtypes, input_dtype
from slowfast_jax.models.resnet3d import ResidualNetwork, Stem, classify, layers
from slowfast_jax.ops.normalize import normalize


class Arch(NamedTuple):
    """How the two networks differ.

    Attributes:
      stem: temporal kernel size of the stem.
      pool: whether a max pool follows the stem.
      depthwise: a block has one depthwise 3 x 3 x 3 convolution; otherwise, it has one over time
        and then one over space.
      time_strides, strides: of stages 2 to 5, in time and in space.
    """

    stem: int
    pool: bool
    depthwise: bool
    time_strides: tuple[int, ...]
    strides: tuple[int, ...]


ARCHS = {
    "csn": Arch(3, True, True, (1, 2, 2, 2), (1, 2, 2, 2)),
    "r2plus1d": Arch(1, False, False, (1, 1, 2, 2), (2, 2, 2, 2)),
}


class FactorizedBottleneck(nn.Module):
    """a (1 x 1 x 1), b, c (1 x 1 x 1), each with batch norm; ReLU after a and b.

    b is a depthwise 3 x 3 x 3 convolution; or (not `depthwise`) 1 x 3 x 3, and before it stands b_t
    (3 x 1 x 1) with batch norm and ReLU. They have the strides of the block.
    """

    features: int
    inner: int
    conv: Make
    norm: Make
    depthwise: bool
    strides: Triple = (1, 1, 1)
    zero_init_final_bn: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, Endpoints]:
        y = nn.relu(self.norm(name="a_bn")(self.conv(self.inner, name="a")(x)))
        if self.depthwise:
            y = self.conv(self.inner, (3, 3, 3), self.strides, groups=self.inner, name="b")(y)
        else:
            stride_t, *stride_xy = self.strides
            y = self.conv(self.inner, (3, 1, 1), (stride_t, 1, 1), name="b_t")(y)
            y = nn.relu(self.norm(name="b_t_bn")(y))
            y = self.conv(self.inner, (1, 3, 3), (1, *stride_xy), name="b")(y)
        y = nn.relu(self.norm(name="b_bn")(y))
        y = self.conv(self.features, name="c")(y)
        y = self.norm(scale_init=final_scale(self.zero_init_final_bn), name="c_bn")(y)
        return add_shortcut(
            x, y, conv=self.conv, norm=self.norm, features=self.features, strides=self.strides
        ), {"branch": y}


class FactorizedResNet3D(ResidualNetwork):
    """CSN or R(2+1)D.

    Attributes (those of `ResidualNetwork`, and):
      arch: a row of `ARCHS`, "csn" or "r2plus1d".
      depth: 50, 101 or 152; or four numbers, the blocks of stages 2 to 5.
      width: channels of the stem. A block of stage 2 has 4 times as many; each later stage has
        twice as many as the one before.
    """

    arch: str = "csn"
    depth: int | Sequence[int] = 50
    width: int = 64
    roi_scale: float = 1 / 32

    @nn.compact
    @in_dtypes
    def __call__(
        self, clip: jax.Array, boxes: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Endpoints]:
        arch = table_row(ARCHS, "arch", self.arch)
        wraps = remat_table(self.remat, [f"res{i}" for i in range(2, 6)])
        conv, norm = layers(self, train)
        out: Endpoints = {}

        x = normalize(clip, self.mean, self.std, input_dtype(self))  # (N, T, H, W, 3)
        x = out["stem"] = Stem(
            self.width, arch.stem, conv, norm, pool=arch.pool, name="stem"
        )(x)
        frames = self.num_frames
        for i, depth in enumerate(blocks_per_stage(self.depth)):
            name, width = f"res{i + 2}", self.width * 2**i
            strides = (arch.time_strides[i], arch.strides[i], arch.strides[i])
            blocks = {
                f"block{b}": partial(
                    wraps[name](FactorizedBottleneck),
                    features=4 * width,
                    inner=width,
                    depthwise=arch.depthwise,
                    strides=strides if b == 0 else (1, 1, 1),
                    zero_init_final_bn=self.zeroes_final_norms,
                    conv=conv,
                    norm=norm,
                ) for b in range(depth)
            }
            x, inside = Stage(blocks, name=name)(x)
            out |= inside
            frames = -(-frames // strides[0])
        logits, head = classify(self, [x], [frames], boxes, train)
        return logits, out | head
