"""Single-pathway residual networks over video: Slow, C2D, I3D, their non-local kin, 2-D ResNet.

Papers: ResNet https://arxiv.org/abs/1512.03385, non-local networks (C2D, I3D)
https://arxiv.org/abs/1711.07971, SlowFast (Slow) https://arxiv.org/abs/1812.03982.
"""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from slowfast_jax.models.blocks import (
    DEPTHS,
    ConvNorm,
    Endpoints,
    NonLocal,
    ResStage,
    Triple,
    basic,
    bottleneck,
    remat_table,
)
from slowfast_jax.models.dtypes import in_dtypes
from slowfast_jax.models.heads import BasicHead, RoIHead, check_boxes, project
from slowfast_jax.ops.normalize import normalize
from slowfast_jax.ops.packing import unpack
from slowfast_jax.ops.pool import max_pool

# Temporal kernels of the stem and of stages 2 to 5 (cycled over a stage's blocks), and by how
# much the pool after stage 2 shortens time.
ARCHS = {
    "2d": (((1,), (1,), (1,), (1,), (1,)), 1),
    "c2d": (((1,), (1,), (1,), (1,), (1,)), 2),
    "slow_c2d": (((1,), (1,), (1,), (1,), (1,)), 1),
    "i3d": (((5,), (3,), (3, 1), (3, 1), (1, 3)), 2),
    "slow_i3d": (((5,), (3,), (3, 1), (3, 1), (1, 3)), 1),
    "slow": (((1,), (1,), (1,), (3,), (3,)), 1),
}
PARTS = ("stem", "res2", "res3", "res4", "res5", "head")
# A lateral connection belongs to what it reads.
LAYERS = {
    "stem": 0, "lateral1": 0, "res2": 1, "lateral2": 1, "res3": 2, "lateral3": 2, "res4": 3,
    "lateral4": 3, "res5": 4, "head": 5,
}


def layer_of(path: str) -> int:
    """Layer of a residual network's parameter, for learning rates that differ between layers."""
    return LAYERS[path.split("/")[0].removeprefix("slow_").removeprefix("fast_")]


class Stem(nn.Module):
    """T x 7 x 7 convolution with spatial stride 2, batch norm, ReLU, 1 x 3 x 3 max pool."""

    features: int
    temporal_kernel: int
    conv_norm: ConvNorm

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(self.conv_norm(
            x, "conv", self.features,
            kernel_size=(self.temporal_kernel, 7, 7), strides=(1, 2, 2),
        ))
        return max_pool(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))


class ResNet3D(nn.Module):
    """A residual network over one clip.

    `__call__(clip, boxes=None, train=False)` takes a clip `(N, T, H, W, 3)`, uint8 RGB or float
    already normalised, and returns `(logits, endpoints)`: `(N, K)`, or `(N, B, K)` with
    `boxes (N, B, 4)` in pixels where the network was made with `detection=True`.

    Attributes:
      num_classes: classes of the head; 0 gives features.
      arch: a row of `ARCHS`.
      depth: 18, 50, 101 or 152.
      block: "bottleneck" or "basic".
      width, groups: inner width of a stage-2 bottleneck is `groups * width`, its output 4 widths.
      num_block_temp_kernel: blocks per stage that take the temporal kernel; the rest take 1.
      strides, dilations: spatial, per stage 2 to 5. stride_1x1: the stride is in a, not in b.
      nonlocal_blocks: per stage, the indices of the blocks that a non-local block follows.
      nonlocal_pool, nonlocal_group: per stage. nonlocal_mode: "dot_product" or "softmax".
      nonlocal_pool_first: see `blocks.NonLocal`.
      num_frames, crop_size: clip of the recipe; they fix the head's window (see `BasicHead`).
      head_pool: "window", or "global" to pool whatever size arrives.
      detection, roi_*: the ROI head, which takes boxes.
      dropout, activation, average, fc_init_std: see `heads.project`.
      group_size: clips per batch-norm group. frozen_norm: batch norms use their running statistics
        in training, too, and leave them; scale and bias train. folded: no batch norm (`fold.py`).
      remat: stages of which training computes again instead of keeping, see `blocks.remat_table`.
      mean, std: of the input, on the 0..1 scale.
      dtype: of the computation. dtypes: parts that compute in another, as ("head:float32",).
    """

    num_classes: int
    arch: str = "slow"
    depth: int = 50
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
    num_frames: int = 8
    crop_size: int = 224
    head_pool: str = "window"
    detection: bool = False
    roi_resolution: int = 7
    roi_scale: float = 1 / 16
    roi_aligned: bool = True
    dropout: float = 0.5
    activation: str = "softmax"
    average: str = "probs"
    fc_init_std: float = 0.01
    zero_init_final_bn: bool = True
    group_size: int | None = None
    frozen_norm: bool = False
    folded: bool = False
    remat: Sequence[str] = ()
    mean: Triple = (0.45, 0.45, 0.45)
    std: Triple = (0.225, 0.225, 0.225)
    dtype: jnp.dtype = jnp.float32
    dtypes: Sequence[str] = ()

    parts = PARTS
    layer_of = staticmethod(layer_of)

    @nn.compact
    @in_dtypes
    def __call__(
        self, clip: jax.Array, boxes: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Endpoints]:
        kernels, time_pool = table_row(ARCHS, "arch", self.arch)
        conv_norm = ConvNorm(
            train=train and not self.frozen_norm, group_size=self.group_size, folded=self.folded
        )
        remat = remat_table(self.remat, [f"res{i}" for i in range(2, 6)])
        out: Endpoints = {}
        x = normalize(clip, self.mean, self.std, jnp.float32 if self.dtypes else self.dtype)
        x = out["stem"] = Stem(self.width, kernels[0][0], conv_norm, name="stem")(x)
        for i, blocks in enumerate(table_row(DEPTHS, "depth", self.depth)):
            stage = make_stage(
                self, i, blocks, kernels[i + 1], self.num_block_temp_kernel[i], conv_norm,
                width=self.width, groups=self.groups, stride_1x1=self.stride_1x1,
                nonlocal_blocks=self.nonlocal_blocks[i], nonlocal_pool=self.nonlocal_pool[i],
                nonlocal_group=self.nonlocal_group[i], remat=remat[f"res{i + 2}"],
                name=f"res{i + 2}",
            )
            x = run_stage(stage, x, out)
            if i == 0 and time_pool > 1:
                x = max_pool(x, (time_pool, 1, 1), (time_pool, 1, 1))
            if i == 0:
                out["pool2"] = x
        frames = self.num_frames // time_pool
        logits, head = run_head(self, [x], [frames], boxes, train)
        return logits, out | head


def make_stage(
    net: nn.Module,
    index: int,
    blocks: int,
    temporal_kernels: Sequence[int],
    num_block_temp_kernel: int,
    conv_norm: ConvNorm,
    *,
    width: int,
    groups: int,
    stride_1x1: bool,
    nonlocal_blocks: Sequence[int],
    nonlocal_pool: Triple,
    nonlocal_group: int,
    remat: str,
    name: str,
) -> ResStage:
    """Stage `index + 2` of one pathway, with what `net` fixes for all pathways.

    The temporal kernels are repeated over the blocks and cut at `num_block_temp_kernel`; the
    blocks after that take 1 (SlowFast's R101_50_50: 6 of 23).
    """
    kernels = [temporal_kernels[b % len(temporal_kernels)] for b in range(blocks)]
    kernels = [k if b < num_block_temp_kernel else 1 for b, k in enumerate(kernels)]
    shared = dict(dilation=net.dilations[index], zero_init_final_bn=net.zero_init_final_bn)
    branch: Callable = partial(basic, **shared)
    if net.block == "bottleneck":
        inner = groups * width * 2**index
        branch = partial(bottleneck, inner=inner, groups=groups, stride_1x1=stride_1x1, **shared)
    elif net.block != "basic":
        raise ValueError(f"block is 'bottleneck' or 'basic', not {net.block!r}")
    return ResStage(
        [partial(branch, temporal_kernel=k) for k in kernels],
        width * 4 * 2**index,
        conv_norm,
        stride=net.strides[index],
        nonlocal_blocks=nonlocal_blocks,
        make_nonlocal=partial(
            NonLocal, mode=net.nonlocal_mode, pool=tuple(nonlocal_pool), group=nonlocal_group,
            pool_first=net.nonlocal_pool_first, zero_init_final_bn=net.zero_init_final_bn,
        ),
        remat=remat,
        name=name,
    )


def run_stage(stage: ResStage, x: jax.Array, out: Endpoints) -> jax.Array:
    """Applies a stage and notes its endpoints under its name."""
    x, inside = stage(x)
    inside = {f"{stage.name}/{k}": v for k, v in inside.items()} | {stage.name: x}
    out |= {k: unpack(v, stage.conv_norm.frames) for k, v in inside.items()}
    return x


def run_head(
    net: nn.Module,
    pathways: list[jax.Array],
    frames: list[int],
    boxes: jax.Array | None,
    train: bool,
) -> tuple[jax.Array, Endpoints]:
    """The head of a residual network; `frames` is each pathway's length at the recipe's clip."""
    check_boxes(boxes, net.detection)
    projection = partial(
        project, num_classes=net.num_classes, dropout=net.dropout, activation=net.activation,
        average=net.average, init_std=net.fc_init_std,
    )
    if net.detection:
        head = RoIHead(
            projection, net.roi_resolution, net.roi_scale, net.roi_aligned, name="head"
        )
        logits, out = head(pathways, boxes=boxes, train=train)
    else:
        side = net.crop_size // 32
        windows = tuple(
            (t, side, side) if net.head_pool == "window" else None for t in frames
        )
        logits, out = BasicHead(projection, windows, name="head")(pathways, train=train)
    return logits, {f"head/{k}": v for k, v in out.items()} | {
        k: out[k] for k in ("features", "logits", "probs")
    }


def table_row(table: dict, what: str, key):
    """`table[key]`, or an error that says what there is."""
    if key not in table:
        raise ValueError(f"{what} is one of {', '.join(map(str, table))}, not {key!r}")
    return table[key]
