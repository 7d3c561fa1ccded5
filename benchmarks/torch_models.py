"""PySlowFast's models in PyTorch, for comparisons in the benchmarks; MViT is in torch_mvit.py.

`create(name)` builds a model by its name in our zoo, one of MODELS; `resnet3d`, `slowfast` and
`x3d` build one from keywords. A model takes one normalized clip (N, 3, T, H, W); two-pathway models
select the slow frames themselves. As in PySlowFast, evaluation returns probabilities (N, K), the
mean of the activation over the head's positions, training returns logits (N, K), and `state_dict()`
has PySlowFast's names, so its checkpoints can be loaded. Non-local blocks, ROI heads and split
batch norm are not implemented, because no benchmark uses them.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.torch_mvit import MViT

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}

# Temporal kernel sizes: of the stem, then for each stage a list that is cycled over its blocks.
KERNELS = {
    "c2d": (1, (1,), (1,), (1,), (1,)),
    "i3d": (5, (3,), (3, 1), (3, 1), (1, 3)),
    "slow": (1, (1,), (1,), (3,), (3,)),
    "fast": (5, (3,), (3,), (3,), (3,)),
}


def conv(dim_in: int, dim_out: int, kernel: tuple, stride: tuple = (1, 1, 1), groups: int = 1):
    """A convolution without bias, padded by half the kernel size."""
    padding = tuple(k // 2 for k in kernel)
    return nn.Conv3d(dim_in, dim_out, kernel, stride, padding, groups=groups, bias=False)


class SqueezeExcite(nn.Module):
    """Channels scaled by a sigmoid of their mean over time and space."""

    def __init__(self, dim: int):
        super().__init__()
        inner = round_width(dim, 1 / 16, minimum=8, divisor=8)
        self.fc1, self.fc2 = nn.Conv3d(dim, inner, 1), nn.Conv3d(inner, dim, 1)

    def forward(self, x):
        s = F.relu(self.fc1(x.mean((2, 3, 4), keepdim=True)), inplace=True)
        return x * torch.sigmoid(self.fc2(s))


class Bottleneck(nn.Module):
    """Convolutions a (t, 1, 1), b (1, 3, 3) and c (1, 1, 1).

    If `channelwise` (X3D), a is (1, 1, 1) and b is depthwise (t, 3, 3), followed by swish.
    """

    def __init__(self, dim_in, dim_inner, dim_out, kernel, stride, channelwise, squeeze):
        super().__init__()
        kernel_a, kernel_b = (1, kernel) if channelwise else (kernel, 1)
        groups = dim_inner if channelwise else 1
        self.a = conv(dim_in, dim_inner, (kernel_a, 1, 1))
        self.a_bn = nn.BatchNorm3d(dim_inner)
        self.b = conv(dim_inner, dim_inner, (kernel_b, 3, 3), (1, stride, stride), groups)
        self.b_bn = nn.BatchNorm3d(dim_inner)
        self.se = SqueezeExcite(dim_inner) if squeeze else nn.Identity()
        self.c = conv(dim_inner, dim_out, (1, 1, 1))
        self.c_bn = nn.BatchNorm3d(dim_out)
        self.activation = F.silu if channelwise else F.relu

    def forward(self, x):
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        x = self.se(self.b_bn(self.b(x)))
        return self.c_bn(self.c(self.activation(x, inplace=True)))


class ResBlock(nn.Module):
    """ReLU of the sum of bottleneck and shortcut."""

    def __init__(self, dim_in, dim_inner, dim_out, kernel, stride, *, x3d=False, squeeze=False):
        super().__init__()
        self.projected = dim_in != dim_out or stride != 1
        if self.projected:
            self.branch1 = conv(dim_in, dim_out, (1, 1, 1), (1, stride, stride))
            self.branch1_bn = nn.BatchNorm3d(dim_out)
        self.branch2 = Bottleneck(dim_in, dim_inner, dim_out, kernel, stride, x3d, squeeze)

    def forward(self, x):
        shortcut = self.branch1_bn(self.branch1(x)) if self.projected else x
        return F.relu(shortcut + self.branch2(x), inplace=True)


class Stem(nn.Module):
    """Convolution (t,7,7), stride 2 in space, BN, ReLU, 3x3 max pool."""

    def __init__(self, width: int, kernel: int):
        super().__init__()
        self.conv = conv(3, width, (kernel, 7, 7), (1, 2, 2))
        self.bn = nn.BatchNorm3d(width)

    def forward(self, x):
        x = F.relu(self.bn(self.conv(x)), inplace=True)
        return F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))


class X3DStem(nn.Module):
    """A spatial convolution, then a depthwise temporal one; no norm between, no pool after."""

    def __init__(self, width: int):
        super().__init__()
        self.conv_xy = conv(3, width, (1, 3, 3), (1, 2, 2))
        self.conv = conv(width, width, (5, 1, 1), groups=width)
        self.bn = nn.BatchNorm3d(width)

    def forward(self, x):
        return F.relu(self.bn(self.conv(self.conv_xy(x))), inplace=True)


class Lateral(nn.Module):
    """Appends features of the fast pathway, convolved with a temporal stride, to the slow one."""

    def __init__(self, dim_fast: int, kernel: int, alpha: int, ratio: int):
        super().__init__()
        self.conv_f2s = conv(dim_fast, ratio * dim_fast, (kernel, 1, 1), (alpha, 1, 1))
        self.bn = nn.BatchNorm3d(ratio * dim_fast)

    def forward(self, slow, fast):
        return torch.cat([slow, F.relu(self.bn(self.conv_f2s(fast)), inplace=True)], 1)


class Pathways(nn.Module):
    """One stage of all pathways; the children pathway{p}_{suffix} are applied in order."""

    def __init__(self, pathways):
        super().__init__()
        for p, modules in enumerate(pathways):
            for suffix, module in modules.items():
                self.add_module(f"pathway{p}_{suffix}", module)

    def forward(self, xs):
        for name, module in self.named_children():
            p = int(name[len("pathway")])
            xs[p] = module(xs[p])
        return xs


class Head(nn.Module):
    """Pools each pathway by its window, concatenates channels, classifies every position."""

    def __init__(self, dim, num_classes, windows):
        super().__init__()
        self.windows = windows
        self.projection = nn.Linear(dim, num_classes)

    def forward(self, xs):
        windows = [w or x.shape[2:] for x, w in zip(xs, self.windows, strict=True)]
        pooled = [F.avg_pool3d(x, w, stride=1) for x, w in zip(xs, windows, strict=True)]
        return self.projection(torch.cat(pooled, 1).permute(0, 2, 3, 4, 1))


class X3DHead(nn.Module):
    """conv_5, BN, ReLU, average pool, lin_5 (BN), ReLU, projection."""

    def __init__(self, dim, dim_inner, dim_out, num_classes, window, bn_lin5):
        super().__init__()
        self.conv_5 = conv(dim, dim_inner, (1, 1, 1))
        self.conv_5_bn = nn.BatchNorm3d(dim_inner)
        self.lin_5 = conv(dim_inner, dim_out, (1, 1, 1))
        self.lin_5_bn = nn.BatchNorm3d(dim_out) if bn_lin5 else nn.Identity()
        self.projection = nn.Linear(dim_out, num_classes)
        self.window = window

    def forward(self, xs):
        x = F.relu(self.conv_5_bn(self.conv_5(xs[0])), inplace=True)
        x = self.lin_5_bn(self.lin_5(F.avg_pool3d(x, self.window, stride=1)))
        return self.projection(F.relu(x, inplace=True).permute(0, 2, 3, 4, 1))


class Network(nn.Module):
    """Stages s1 to s5, laterals and head; `alpha` is None for networks with one pathway."""

    def __init__(self, stages, head, *, activation, alpha=None, laterals=(), time_pool=1):
        super().__init__()
        for n, stage in enumerate(stages, 1):
            setattr(self, f"s{n}", Pathways(stage))
        for n, lateral in enumerate(laterals, 1):
            setattr(self, f"s{n}_fuse", lateral)
        self.head = head
        self.activation, self.alpha, self.time_pool = activation, alpha, time_pool

    def positions(self, clip):
        """Logits at every position of the head, (N, T', H', W', K)."""
        if self.alpha:
            frames, count = clip.shape[2], clip.shape[2] // self.alpha
            slow = [i * (frames - 1) // max(1, count - 1) for i in range(count)]
        xs = [clip[:, :, slow], clip] if self.alpha else [clip]
        for n in range(1, 6):
            xs = getattr(self, f"s{n}")(xs)
            if self.alpha and n < 5:
                xs[0] = getattr(self, f"s{n}_fuse")(*xs)
            if n == 2 and self.time_pool > 1:
                xs = [F.max_pool3d(x, (self.time_pool, 1, 1)) for x in xs]
        return self.head(xs)

    def forward(self, clip):
        logits = self.positions(clip)
        if not self.training:
            logits = logits.softmax(-1) if self.activation == "softmax" else logits.sigmoid()
        return logits.mean((1, 2, 3))


def resnet_stages(arch, depth, width, temporal_blocks, extra=0.0):
    """{suffix: module} for s1 to s5 of one pathway; `extra`: lateral channels per own channel."""
    depths, (stem, *patterns) = DEPTHS[depth], KERNELS[arch]
    stages, dim_in = [{"stem": Stem(width, stem)}], width
    for s, (blocks, pattern) in enumerate(zip(depths, patterns, strict=True)):
        temporal = blocks if temporal_blocks is None else temporal_blocks[s]
        dim_inner, dim_in = width * 2**s, int(dim_in * (1 + extra))
        stage = {}
        for i in range(blocks):
            kernel = pattern[i % len(pattern)] if i < temporal else 1
            stride = 2 if s > 0 and i == 0 else 1
            stage[f"res{i}"] = ResBlock(dim_in, dim_inner, 4 * dim_inner, kernel, stride)
            dim_in = 4 * dim_inner
        stages.append(stage)
    return stages


def resnet3d(
    *, arch, depth=50, width=64, num_classes=400, num_frames=8, train_crop=224,
    temporal_blocks=None, activation="softmax"
) -> Network:
    """Slow, C2D or I3D; `temporal_blocks`: number of blocks per stage with a temporal kernel."""
    stages = resnet_stages(arch, depth, width, temporal_blocks)
    time_pool = 1 if arch == "slow" else 2
    window = (num_frames // time_pool, train_crop // 32, train_crop // 32)
    head = Head(32 * width, num_classes, [window])
    return Network(zip(stages), head, activation=activation, time_pool=time_pool)


def slowfast(
    *, depth=50, width=64, alpha=4, beta_inv=8, fusion_kernel=7, num_classes=400, num_frames=32,
    train_crop=224, temporal_blocks=None, global_pool=False, activation="softmax"
) -> Network:
    """SlowFast; `global_pool`: the head pools the whole map, as multigrid's short cycle needs."""
    fast_width, ratio = width // beta_inv, 2
    slow = resnet_stages("slow", depth, width, temporal_blocks, ratio / beta_inv)
    fast = resnet_stages("fast", depth, fast_width, temporal_blocks)
    fast_dims = [fast_width * m for m in (1, 4, 8, 16)]
    size = train_crop // 32
    windows = [None if global_pool else (t, size, size) for t in (num_frames // alpha, num_frames)]
    head = Head(32 * (width + fast_width), num_classes, windows)
    laterals = [Lateral(dim, fusion_kernel, alpha, ratio) for dim in fast_dims]
    stages = zip(slow, fast, strict=True)
    return Network(stages, head, activation=activation, alpha=alpha, laterals=laterals)


def round_width(width: float, factor: float, minimum: int = 1, divisor: int = 1) -> int:
    """`width * factor` rounded to a multiple of `divisor`, but not to less than 90 % of it."""
    scaled = width * factor
    rounded = max(minimum, int(scaled + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * scaled else rounded


def x3d(
    *, width_factor=2.0, depth_factor=2.2, head_width=2048, scale_res2=False, bn_lin5=False,
    num_classes=400, num_frames=16, train_crop=224, activation="softmax"
) -> Network:
    """X3D; all widths and depths of the family follow from two factors."""
    stem = round_width(12, width_factor)
    stages, dim_in = [{"stem": X3DStem(stem)}], stem
    base = round_width(12, 2.0, divisor=8) if scale_res2 else 12
    for s, blocks in enumerate((1, 2, 5, 3)):
        dim = round_width(base * 2**s, width_factor)
        dim_inner, stage = int(2.25 * dim), {}
        for i in range(math.ceil(depth_factor * blocks)):
            stride, se = (2 if i == 0 else 1), i % 2 == 0
            stage[f"res{i}"] = ResBlock(dim_in, dim_inner, dim, 3, stride, x3d=True, squeeze=se)
            dim_in = dim
        stages.append(stage)
    size = math.ceil(train_crop / 32)
    head = X3DHead(dim, dim_inner, head_width, num_classes, (num_frames, size, size), bn_lin5)
    return Network(zip(stages), head, activation=activation)


# Name in our zoo -> constructor and keywords.
MODELS = {
    "kinetics/c2d_8x8_r50": (resnet3d, dict(arch="c2d")),
    "kinetics/i3d_8x8_r50": (resnet3d, dict(arch="i3d")),
    "kinetics/slow_4x16_r50": (resnet3d, dict(arch="slow", num_frames=4)),
    "kinetics/slow_8x8_r50": (resnet3d, dict(arch="slow")),
    "kinetics/slowfast_4x16_r50": (slowfast, dict(alpha=8, fusion_kernel=5)),
    "kinetics/slowfast_8x8_r50": (slowfast, dict(alpha=4, fusion_kernel=7)),
    "kinetics/x3d_xs": (x3d, dict(num_frames=4, train_crop=160)),
    "kinetics/x3d_s": (x3d, dict(num_frames=13, train_crop=160)),
    "kinetics/x3d_m": (x3d, dict(num_frames=16, train_crop=224)),
    "kinetics/x3d_l": (x3d, dict(num_frames=16, train_crop=312, depth_factor=5.0)),
    "kinetics/mvit_b_16x4_conv": (MViT, dict(second=False)),
    "kinetics/mvitv2_s_16x4": (MViT, dict(second=True)),
}


def create(name: str, **overrides) -> nn.Module:
    """Builds a model of MODELS, in training mode, with PyTorch's default initialization."""
    make, keywords = MODELS[name]
    return make(**{**keywords, **overrides})
