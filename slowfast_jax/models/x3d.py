"""X3D (https://arxiv.org/abs/2004.04730): a thin, deep network of depthwise convolutions."""

import math
from functools import partial

import flax.linen as nn
import jax

from slowfast_jax.models.base import ConvNetwork
from slowfast_jax.models.blocks import (
    Conv3D,
    Endpoints,
    Make,
    Stage,
    add_shortcut,
    final_scale,
    remat_table,
)
from slowfast_jax.models.dtypes import in_dtypes, input_dtype
from slowfast_jax.models.heads import X3DHead, X3DRoIHead, check_boxes, head_endpoints
from slowfast_jax.models.norm import BatchNorm
from slowfast_jax.ops.layout import BETWEEN_DEPTHWISE
from slowfast_jax.ops.normalize import normalize
from slowfast_jax.ops.pool import with_global_mean

BASE_REPEATS = (1, 2, 5, 3)


class Stem(nn.Module):
    """1 x 3 x 3 convolution with stride 2, then a depthwise 5 x 1 x 1 one, batch norm, ReLU."""

    features: int
    conv: Make
    norm: Make

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.conv(self.features, (1, 3, 3), (1, 2, 2), use_bias=False, name="conv_xy")(x)
        x = self.conv(self.features, (5, 1, 1), groups=self.features, name="conv_t")(x)
        return nn.relu(self.norm(name="conv_t_bn")(x))


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate that is computed from the global means of all channels."""

    conv: Make
    ratio: float = 1 / 16

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        x, mean = with_global_mean(x)
        squeezed = round_width(channels, self.ratio, minimum=8, divisor=8)
        gate = nn.relu(self.conv(squeezed, use_bias=True, name="fc1")(mean))
        return x * nn.sigmoid(self.conv(channels, use_bias=True, name="fc2")(gate))


class X3DBlock(nn.Module):
    """a (1x1x1, ReLU), b (depthwise 3x3x3, squeeze-excitation, swish), c (1x1x1).

    Attributes:
      inner: channels of a and b. squeeze: with squeeze-excitation.
      stride_1x1: the stride is in a instead of b.
      drop_connect: see `blocks.add_shortcut`.
    """

    features: int
    inner: int
    conv: Make
    norm: Make
    squeeze: bool
    stride: int = 1
    stride_1x1: bool = False
    drop_connect: float = 0.0
    zero_init_final_bn: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, Endpoints]:
        out = {}
        stride_a, stride_b = (self.stride, 1) if self.stride_1x1 else (1, self.stride)
        y = self.conv(self.inner, strides=(1, stride_a, stride_a), name="a")(x)
        y = nn.relu(self.norm(name="a_bn")(y))
        y = self.conv(
            self.inner, (3, 3, 3), (1, stride_b, stride_b), groups=self.inner, name="b"
        )(y)
        y = self.norm(name="b_bn")(y)
        if self.squeeze:
            y = out["se"] = SqueezeExcite(self.conv, name="se")(y)
        y = self.conv(self.features, name="c")(nn.swish(y))
        y = self.norm(scale_init=final_scale(self.zero_init_final_bn), name="c_bn")(y)
        out["branch"] = y
        return add_shortcut(
            x, y, conv=self.conv, norm=self.norm, features=self.features,
            strides=(1, self.stride, self.stride), drop_connect=self.drop_connect,
        ), out


class X3D(ConvNetwork):
    """The X3D network of given width, depth and bottleneck factors.

    The original has no X3D with `detection`.

    Attributes (those of `ConvNetwork`, and):
      width_factor, depth_factor: factors by which the base network's channels and its blocks per
        stage are multiplied.
      bottleneck_factor: ratio of a block's inner channels to its output channels.
      stem_width: channels of the stem before `width_factor` (DIM_C1 in the original).
      head_width: channels of the last layer before the classifier (DIM_C5).
      scale_res2: stage 2 is twice as wide as the stem.
      norm_lin_5: batch norm in the last layer before the classifier (BN_LIN5).
      stride_1x1: the stride is in a block's first convolution instead of its second.
      drop_connect: probability that a clip loses a residual branch of stage 5 in training (see
        `blocks.add_shortcut`); in stages 2, 3 and 4 it is 2/5, 3/5 and 4/5 of that. The original
        has DROPCONNECT_RATE, which its blocks read but never apply.
    """

    num_frames: int = 16
    width_factor: float = 2.0
    depth_factor: float = 2.2
    bottleneck_factor: float = 2.25
    stem_width: int = 12
    head_width: int = 2048
    scale_res2: bool = False
    norm_lin_5: bool = False
    stride_1x1: bool = False
    roi_scale: float = 1 / 32
    drop_connect: float = 0.0

    @nn.compact
    @in_dtypes
    def __call__(
        self, clip: jax.Array, boxes: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Endpoints]:
        check_boxes(boxes, self.detection)
        if not 0 <= self.drop_connect < 1:
            raise ValueError(f"drop_connect is {self.drop_connect}, expected 0 or more, below 1")
        wraps = remat_table(self.remat, [f"res{i}" for i in range(2, 6)])
        conv = partial(Conv3D, use_bias=self.folded, layout=BETWEEN_DEPTHWISE)
        norm = partial(
            BatchNorm, self.group_size, splits=self.norm_splits,
            train=train and not self.frozen_norm, folded=self.folded, layout=BETWEEN_DEPTHWISE,
        )
        out: Endpoints = {}

        x = normalize(clip, self.mean, self.std, input_dtype(self))  # (N, T, H, W, 3)
        stem_features = round_width(self.stem_width, self.width_factor)
        x = out["stem"] = Stem(stem_features, conv, norm, name="stem")(x)
        width = self.stem_width
        for i, repeats in enumerate(BASE_REPEATS):
            name = f"res{i + 2}"
            if i > 0 or self.scale_res2:
                width = round_width(width, 2.0, divisor=8)
            features = round_width(width, self.width_factor)
            inner = int(self.bottleneck_factor * features)
            share = (i + 2) / (len(BASE_REPEATS) + 1)
            blocks = {
                f"block{b}": partial(
                    wraps[name](X3DBlock),
                    features=features,
                    inner=inner,
                    squeeze=b % 2 == 0,
                    stride=2 if b == 0 else 1,
                    stride_1x1=self.stride_1x1,
                    drop_connect=self.drop_connect * share if train else 0.0,
                    zero_init_final_bn=self.zeroes_final_norms,
                    conv=conv,
                    norm=norm,
                ) for b in range(math.ceil(self.depth_factor * repeats))
            }
            x, inside = Stage(blocks, name=name)(x)
            out |= inside

        layers = dict(
            projection=self.classifier(), conv=conv, norm=norm, inner=inner,
            features=self.head_width, norm_lin_5=self.norm_lin_5, name="head",
        )
        if self.detection:
            head = X3DRoIHead(
                resolution=self.roi_resolution, scale=self.roi_scale, aligned=self.roi_aligned,
                **layers,
            )
            logits, inside = head(x, boxes=boxes, train=train)
        else:
            side = math.ceil(self.crop_size / self.stride)
            window = (self.num_frames, side, side) if self.head_pool == "window" else None
            logits, inside = X3DHead(window=window, **layers)(x, train=train)
        return logits, out | head_endpoints(inside)


def round_width(width: float, factor: float, minimum: int = 1, divisor: int = 1) -> int:
    """`width * factor`, rounded to a multiple of `divisor`, but never more than 10 % narrower."""
    width *= factor
    rounded = max(minimum, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded
