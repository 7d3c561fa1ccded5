"""Single-pathway residual networks: Slow, C2D, I3D, their non-local variants, and 2-D ResNet.

Papers: ResNet https://arxiv.org/abs/1512.03385, non-local networks (C2D, I3D)
https://arxiv.org/abs/1711.07971, SlowFast (Slow) https://arxiv.org/abs/1812.03982.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax

from slowfast_jax.models.base import ConvNetwork
from slowfast_jax.models.blocks import (
    Conv3D,
    Endpoints,
    Make,
    NonLocal,
    Stage,
    Triple,
    blocks_per_stage,
    remat_table,
    residual_block,
    table_row,
)
from slowfast_jax.models.dtypes import in_dtypes, input_dtype
from slowfast_jax.models.heads import BasicHead, RoIHead, check_boxes, head_endpoints
from slowfast_jax.models.norm import BatchNorm
from slowfast_jax.ops.normalize import normalize
from slowfast_jax.ops.pool import max_pool

# Temporal kernels of the stem and of stages 2 to 5 (repeated over the blocks of a stage), and the
# factor by which the pool after stage 2 shortens time.
ARCHS = {
    "2d": (((1,), (1,), (1,), (1,), (1,)), 1),
    "c2d": (((1,), (1,), (1,), (1,), (1,)), 2),
    "slow_c2d": (((1,), (1,), (1,), (1,), (1,)), 1),
    "i3d": (((5,), (3,), (3, 1), (3, 1), (1, 3)), 2),
    "slow_i3d": (((5,), (3,), (3, 1), (3, 1), (1, 3)), 1),
    "slow": (((1,), (1,), (1,), (3,), (3,)), 1),
}


class Stem(nn.Module):
    """T x 7 x 7 convolution with spatial stride 2, batch norm, ReLU, 1 x 3 x 3 max pool.

    With `pool=False`, there is no pool.
    """

    features: int
    temporal_kernel: int
    conv: Make
    norm: Make
    pool: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.conv(self.features, (self.temporal_kernel, 7, 7), (1, 2, 2), name="conv")(x)
        x = nn.relu(self.norm(name="conv_bn")(x))
        return max_pool(x, (1, 3, 3), (1, 2, 2), (0, 1, 1)) if self.pool else x


class ResidualNetwork(ConvNetwork):
    """Base class of the networks that end with `classify`.

    Attributes (those of `ConvNetwork`, and):
      roi_variant, roi_time_pool, roi_context, roi_hidden: of the head of boxes, see
        `heads.RoIHead`.
    """

    roi_variant: str = "detectron2"
    roi_time_pool: str = "mean"
    roi_context: bool = False
    roi_hidden: bool = False


def layers(net: ResidualNetwork, train: bool) -> tuple[Make, Make]:
    """Constructors of a network's convolutions and batch norms, see `blocks`."""
    norm = partial(
        BatchNorm, net.group_size, splits=net.norm_splits,
        train=train and not net.frozen_norm, folded=net.folded,
    )
    return partial(Conv3D, use_bias=net.folded), norm


class ResNet3D(ResidualNetwork):
    """A residual network over one clip.

    Attributes (those of `ResidualNetwork`, and):
      arch: a row of `ARCHS`.
      depth: 18, 50, 101 or 152; or four numbers, the blocks of stages 2 to 5.
      block: "bottleneck" or "basic".
      width: channels of the stem. A block of stage 2 has 4 times as many; each later stage has
        twice as many as the one before.
      groups: channel groups in the bottlenecks, each with `width` channels in stage 2.
      stride_1x1: the stride is in a bottleneck's first convolution instead of its second.
      num_block_temp_kernel: number of blocks per stage, from the first on, that have the temporal
        kernel; the others have temporal kernel 1.
      strides, dilations: spatial, of stages 2 to 5.
      nonlocal_blocks: per stage, the indices of the blocks that a non-local block follows.
      nonlocal_pool, nonlocal_group: per stage, see `blocks.NonLocal`.
      nonlocal_mode, nonlocal_pool_first: see `blocks.NonLocal`.
    """

    arch: str = "slow"
    depth: int | Sequence[int] = 50
    block: str = "bottleneck"
    width: int = 64
    groups: int = 1
    stride_1x1: bool = False
    num_block_temp_kernel: Sequence[int] = (3, 4, 6, 3)
    strides: Sequence[int] = (1, 2, 2, 2)
    dilations: Sequence[int] = (1, 1, 1, 1)
    nonlocal_blocks: Sequence[Sequence[int]] = ((), (), (), ())
    nonlocal_mode: str = "dot_product"
    nonlocal_pool: Sequence[Triple] = ((1, 2, 2),) * 4
    nonlocal_group: Sequence[int] = (1, 1, 1, 1)
    nonlocal_pool_first: bool = True

    @nn.compact
    @in_dtypes
    def __call__(
        self, clip: jax.Array, boxes: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Endpoints]:
        kernels, time_pool = table_row(ARCHS, "arch", self.arch)
        wraps = remat_table(self.remat, [f"res{i}" for i in range(2, 6)])
        conv, norm = layers(self, train)
        out: Endpoints = {}

        x = normalize(clip, self.mean, self.std, input_dtype(self))  # (N, T, H, W, 3)
        x = out["stem"] = Stem(self.width, kernels[0][0], conv, norm, name="stem")(x)
        for i, depth in enumerate(blocks_per_stage(self.depth)):
            name, width = f"res{i + 2}", self.width * 2**i
            make_block = residual_block(
                self.block, wraps[name], inner=self.groups * width, groups=self.groups,
                stride_1x1=self.stride_1x1,
            )
            blocks = {}
            for b in range(depth):
                temporal = b < self.num_block_temp_kernel[i]
                blocks[f"block{b}"] = partial(
                    make_block,
                    features=4 * width,
                    temporal_kernel=kernels[i + 1][b % len(kernels[i + 1])] if temporal else 1,
                    stride=self.strides[i] if b == 0 else 1,
                    dilation=self.dilations[i],
                    zero_init_final_bn=self.zeroes_final_norms,
                    conv=conv,
                    norm=norm,
                )
                if b in self.nonlocal_blocks[i]:
                    blocks[f"nonlocal{b}"] = partial(
                        NonLocal,
                        norm=norm,
                        mode=self.nonlocal_mode,
                        pool=tuple(self.nonlocal_pool[i]),
                        group=self.nonlocal_group[i],
                        pool_first=self.nonlocal_pool_first,
                        zero_init_final_bn=self.zeroes_final_norms,
                    )
            x, inside = Stage(blocks, name=name)(x)
            out |= inside
            if i == 0 and time_pool > 1:
                x = max_pool(x, (time_pool, 1, 1), (time_pool, 1, 1))
            if i == 0:
                out["pool2"] = x
        logits, head = classify(self, [x], [self.num_frames // time_pool], boxes, train)
        return logits, out | head


def classify(
    net: ResidualNetwork,
    pathways: Sequence[jax.Array],
    frames: Sequence[int],
    boxes: jax.Array | None,
    train: bool,
) -> tuple[jax.Array, Endpoints]:
    """The head of a residual network, applied to the last maps of its pathways.

    `frames` has the length of each pathway's map for a training clip.
    """
    check_boxes(boxes, net.detection)
    if net.detection:
        head = RoIHead(
            net.classifier(), net.roi_resolution, net.roi_scale, net.roi_aligned,
            variant=net.roi_variant, time_pool=net.roi_time_pool, context=net.roi_context,
            hidden=net.roi_hidden, dropout=net.dropout, name="head",
        )
        logits, out = head(pathways, boxes=boxes, train=train)
    else:
        side = net.crop_size // net.stride
        windows = tuple((t, side, side) if net.head_pool == "window" else None for t in frames)
        logits, out = BasicHead(net.classifier(), windows, name="head")(pathways, train=train)
    return logits, head_endpoints(out)
