"""X3D (https://arxiv.org/abs/2004.04730): a thin, deep, depthwise network grown along its axes."""

import math
from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from slowfast_jax.models.blocks import Conv3D, ConvNorm, Endpoints, ResStage, Triple, remat_table
from slowfast_jax.models.dtypes import in_dtypes
from slowfast_jax.models.heads import X3DHead, X3DRoIHead, check_boxes, project
from slowfast_jax.models.resnet3d import PARTS, layer_of, run_stage
from slowfast_jax.ops.fusion_barrier import materialize
from slowfast_jax.ops.normalize import normalize

BASE_REPEATS = (1, 2, 5, 3)


class Stem(nn.Module):
    """1 x 3 x 3 convolution with stride 2, then a depthwise 5 x 1 x 1 one, batch norm, ReLU."""

    features: int
    conv_norm: ConvNorm

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = Conv3D(self.features, (1, 3, 3), (1, 2, 2), name="conv_xy")(x)
        x = self.conv_norm(
            x, "conv_t", self.features, kernel_size=(5, 1, 1), groups=self.features
        )
        return nn.relu(x)


class SqueezeExcite(nn.Module):
    """Scales channels by a gate computed from their global mean."""

    ratio: float = 1 / 16

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        x = materialize(x)  # the mean and the product read the convolution before
        gate = x.mean((1, 2, 3), keepdims=True)
        squeezed = round_width(channels, self.ratio, minimum=8, divisor=8)
        dense = partial(Conv3D, use_bias=True, lowering="pointwise")
        gate = nn.relu(dense(squeezed, name="fc1")(gate))
        return x * nn.sigmoid(dense(channels, name="fc2")(gate))


def x3d_branch(
    x: jax.Array,
    conv_norm: ConvNorm,
    *,
    features: int,
    inner: int,
    stride: int,
    squeeze: bool,
    stride_1x1: bool = False,
    zero_init_final_bn: bool = True,
) -> tuple[jax.Array, Endpoints]:
    """a (1x1x1, ReLU), b (depthwise 3x3x3, squeeze-excitation, swish), c (1x1x1)."""
    out = {}
    stride_a, stride_b = (stride, 1) if stride_1x1 else (1, stride)
    x = nn.relu(conv_norm(x, "a", inner, strides=(1, stride_a, stride_a)))
    x = conv_norm(
        x, "b", inner, kernel_size=(3, 3, 3), strides=(1, stride_b, stride_b), groups=inner
    )
    if squeeze:
        x = out["se"] = SqueezeExcite(name="se")(x)
    x = conv_norm(nn.swish(x), "c", features, zero_scale=zero_init_final_bn)
    return x, out


class X3D(nn.Module):
    """The X3D network of given width, depth and bottleneck factors.

    `__call__(clip, boxes=None, train=False)` takes a clip `(N, T, H, W, 3)`, uint8 RGB or float
    already normalised, and returns `(logits, endpoints)`: `(N, K)`, or `(N, B, K)` with
    `boxes (N, B, 4)` in pixels where the network was made with `detection=True`, of which the
    original has none.

    Attributes (those of `ResNet3D`, and):
      stem_width: channels of the stem before `width_factor` (upstream DIM_C1).
      head_width: channels of the last layer before the classifier (DIM_C5).
      scale_res2: stage 2 is twice as wide as the stem. norm_lin_5: batch norm there (BN_LIN5).
      drop_connect: probability that a clip goes without a residual branch of stage 5 in training
        (`ResBlock`); 2/5, 3/5 and 4/5 of it in the stages before. The original's DROPCONNECT_RATE,
        which its blocks read but, as they stand, never act on.
    """

    num_classes: int
    width_factor: float = 2.0
    depth_factor: float = 2.2
    bottleneck_factor: float = 2.25
    stem_width: int = 12
    head_width: int = 2048
    scale_res2: bool = False
    norm_lin_5: bool = False
    stride_1x1: bool = False
    num_frames: int = 16
    crop_size: int = 224
    head_pool: str = "window"
    detection: bool = False
    roi_resolution: int = 7
    roi_scale: float = 1 / 32
    roi_aligned: bool = True
    dropout: float = 0.5
    drop_connect: float = 0.0
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
        check_boxes(boxes, self.detection)
        if not 0 <= self.drop_connect < 1:
            raise ValueError(f"drop_connect is {self.drop_connect}, expected 0 or more, below 1")
        conv_norm = ConvNorm(
            train=train and not self.frozen_norm, group_size=self.group_size, folded=self.folded,
            depthwise=True,
        )
        remat = remat_table(self.remat, [f"res{i}" for i in range(2, 6)])
        out: Endpoints = {}
        x = normalize(clip, self.mean, self.std, jnp.float32 if self.dtypes else self.dtype)
        stem = round_width(self.stem_width, self.width_factor)
        x = out["stem"] = Stem(stem, conv_norm, name="stem")(x)

        width = self.stem_width
        for i, repeats in enumerate(BASE_REPEATS):
            if i > 0 or self.scale_res2:
                width = round_width(width, 2.0, divisor=8)
            features = round_width(width, self.width_factor)
            inner = int(self.bottleneck_factor * features)
            branch = partial(
                x3d_branch, inner=inner, stride_1x1=self.stride_1x1,
                zero_init_final_bn=self.zero_init_final_bn,
            )
            blocks = math.ceil(self.depth_factor * repeats)
            share = (i + 2) / (len(BASE_REPEATS) + 1)
            stage = ResStage(
                [partial(branch, squeeze=b % 2 == 0) for b in range(blocks)],
                features, conv_norm, stride=2,
                drop_connect=self.drop_connect * share if train else 0.0,
                remat=remat[f"res{i + 2}"], name=f"res{i + 2}",
            )
            x = run_stage(stage, x, out)

        projection = partial(
            project, num_classes=self.num_classes, dropout=self.dropout,
            activation=self.activation, average=self.average, init_std=self.fc_init_std,
        )
        shared = dict(norm_lin_5=self.norm_lin_5, name="head")
        if self.detection:
            logits, head = X3DRoIHead(
                projection, conv_norm, inner, self.head_width,
                self.roi_resolution, self.roi_scale, self.roi_aligned, **shared,
            )(x, boxes=boxes, train=train)
        else:
            side = math.ceil(self.crop_size / 32)
            window = (self.num_frames, side, side) if self.head_pool == "window" else None
            logits, head = X3DHead(
                projection, conv_norm, inner, self.head_width, window, **shared
            )(x, train=train)
        return logits, out | {f"head/{k}": v for k, v in head.items()} | {
            k: head[k] for k in ("features", "logits", "probs")
        }


def round_width(width: float, factor: float, minimum: int = 1, divisor: int = 1) -> int:
    """`width * factor` to the nearest multiple of `divisor`, never more than 10 % narrower."""
    width *= factor
    rounded = max(minimum, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded
