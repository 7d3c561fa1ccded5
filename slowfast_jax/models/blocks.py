"""Convolution + norm, residual blocks and the non-local block of the convolutional networks."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from slowfast_jax.models.norm import BatchNorm
from slowfast_jax.ops.conv import conv3d
from slowfast_jax.ops.layout import laid_out
from slowfast_jax.ops.packing import conv3d_packed
from slowfast_jax.ops.pool import max_pool

Triple = tuple[int, int, int]
Endpoints = dict[str, jax.Array]

# Residual blocks per stage. 34 is left out: nobody published a video network of that depth.
DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}

# He initialisation over the output fan, as the published recipes start every convolution.
he_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Conv3D(nn.Module):
    """A 3-D convolution with symmetric padding `dilation * (k // 2)`.

    `frames` of the clip lie side by side in the channels of the maps (see `ops/packing.py`).
    """

    features: int
    kernel_size: Triple = (1, 1, 1)
    strides: Triple = (1, 1, 1)
    dilation: Triple = (1, 1, 1)
    groups: int = 1
    use_bias: bool = False
    frames: int = 1
    lowering: str | None = None  # see `conv3d`

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`(N, T, H, W, Cin)` -> `(N, T', H', W', features)`."""
        shape = (*self.kernel_size, x.shape[-1] // self.frames // self.groups, self.features)
        kernel = self.param("kernel", he_fan_out, shape).astype(x.dtype)
        place = dict(strides=self.strides, dilation=self.dilation)
        if self.frames > 1:
            y = conv3d_packed(x, kernel, self.frames, **place)
        else:
            y = conv3d(x, kernel, groups=self.groups, lowering=self.lowering, **place)
        y = checkpoint_name(y, "convolution")
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(x.dtype)
            y = y + jnp.tile(bias, y.shape[-1] // self.features)
        return y


class ConvNorm:
    """Makes a convolution `name` and its batch norm `name_bn` in the calling module.

    With `folded` there is no norm: it lives in the convolution's kernel and bias
    (see `models/fold.py`). `frames` of the clip lie side by side in the channels of the maps that
    it is given (see `ops/packing.py`). `depthwise`: its 1 x 1 x 1 convolutions lie between
    depthwise ones, which on a TPU go with matmuls and a layout of their own.
    """

    def __init__(
        self,
        *,
        train: bool,
        group_size: int | None = None,
        folded: bool = False,
        frames: int = 1,
        depthwise: bool = False,
    ):
        self.train = train
        self.group_size = group_size
        self.folded = folded
        self.frames = frames
        self.depthwise = depthwise

    def packed(self, frames: int) -> "ConvNorm":
        """The same for maps with `frames` side by side."""
        other = copy.copy(self)
        other.frames = frames
        return other

    def __call__(
        self,
        x: jax.Array,
        name: str,
        features: int,
        *,
        zero_scale: bool = False,
        use_bias: bool = False,
        norm: bool = True,
        **conv: Any,
    ) -> jax.Array:
        use_bias = use_bias or (norm and self.folded)
        if self.depthwise and "kernel_size" not in conv:
            conv["lowering"] = "pointwise"
        x = Conv3D(features, use_bias=use_bias, frames=self.frames, name=name, **conv)(x)
        if self.folded or not norm:
            return self._laid_out(x)
        init = nn.initializers.zeros if zero_scale else nn.initializers.ones
        norm = BatchNorm(
            self.group_size, frames=x.shape[-1] // features, scale_init=init, name=f"{name}_bn"
        )
        return self._laid_out(norm(x, self.train))

    def _laid_out(self, x: jax.Array) -> jax.Array:
        return x if self.depthwise else laid_out(x)


def bottleneck(
    x: jax.Array,
    conv_norm: ConvNorm,
    *,
    features: int,
    inner: int,
    temporal_kernel: int = 1,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    stride_1x1: bool = False,
    zero_init_final_bn: bool = True,
) -> jax.Array:
    """a (T x 1 x 1), b (1 x 3 x 3), c (1 x 1 x 1), each with batch norm; ReLU after a and b.

    The residual branch of ResNet (https://arxiv.org/abs/1512.03385) with the temporal kernel in
    its first convolution. The stride is in b, or in a with `stride_1x1`; the dilation is in b.
    """
    stride_a, stride_b = (stride, 1) if stride_1x1 else (1, stride)
    x = nn.relu(conv_norm(
        x, "a", inner,
        kernel_size=(temporal_kernel, 1, 1), strides=(1, stride_a, stride_a),
    ))
    x = nn.relu(conv_norm(
        x, "b", inner,
        kernel_size=(1, 3, 3), strides=(1, stride_b, stride_b),
        dilation=(1, dilation, dilation), groups=groups,
    ))
    return conv_norm(x, "c", features, zero_scale=zero_init_final_bn)


def basic(
    x: jax.Array,
    conv_norm: ConvNorm,
    *,
    features: int,
    temporal_kernel: int = 1,
    stride: int = 1,
    dilation: int = 1,
    zero_init_final_bn: bool = True,
) -> jax.Array:
    """a (T x 3 x 3, strided) and b (1 x 3 x 3, dilated), each with batch norm; ReLU between."""
    x = nn.relu(conv_norm(
        x, "a", features, kernel_size=(temporal_kernel, 3, 3), strides=(1, stride, stride)
    ))
    return conv_norm(
        x, "b", features, kernel_size=(1, 3, 3),
        dilation=(1, dilation, dilation), zero_scale=zero_init_final_bn,
    )


class NonLocal(nn.Module):
    """Every position looks at every other one (https://arxiv.org/abs/1711.07971, figure 2).

    theta reads the full map, phi and g the max-pooled one (`pool_first=False`: they are convolved
    and then pooled, as in MMAction2's networks). "softmax" scales the affinities by
    `inner ** -0.5` and normalises over the keys; "dot_product" divides by the number of keys.
    `group` > 1 folds time into the batch first.
    """

    conv_norm: ConvNorm
    mode: str = "dot_product"
    pool: Triple = (1, 2, 2)
    group: int = 1
    pool_first: bool = True
    zero_init_final_bn: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape, inner = x.shape, x.shape[-1] // 2
        x = x.reshape(shape[0] * self.group, shape[1] // self.group, *shape[2:])
        pooled = self._pool(x) if self.pool_first else x
        theta, phi, g = (
            Conv3D(inner, use_bias=True, name=name)(source)
            for name, source in (("theta", x), ("phi", pooled), ("g", pooled))
        )
        if not self.pool_first:
            phi, g = self._pool(phi), self._pool(g)
        theta, phi, g = (y.reshape(x.shape[0], -1, inner) for y in (theta, phi, g))
        affinity = jnp.einsum("nqc,nkc->nqk", theta, phi)  # (N, T*H*W, pooled positions)
        if self.mode == "softmax":
            affinity = nn.softmax(affinity * inner**-0.5)
        elif self.mode == "dot_product":
            affinity = affinity / affinity.shape[-1]
        else:
            raise ValueError(f"mode is 'softmax' or 'dot_product', not {self.mode!r}")
        y = jnp.einsum("nqk,nkc->nqc", affinity, g).reshape(*x.shape[:-1], inner)
        y = self.conv_norm(
            y, "out", shape[-1], use_bias=True, zero_scale=self.zero_init_final_bn
        )
        return (x + y).reshape(shape)

    def _pool(self, x: jax.Array) -> jax.Array:
        return x if self.pool == (1, 1, 1) else max_pool(x, self.pool, self.pool)


class ResBlock(nn.Module):
    """`relu(shortcut(x) + branch(x))`.

    The shortcut is the identity, or a strided 1 x 1 x 1 convolution with batch norm where the
    width changes or the block has a stride. `branch` is `bottleneck`, `basic` or X3D's.

    `drop_connect`: probability that a clip goes without the branch (stochastic depth,
    https://arxiv.org/abs/1603.09382); those that keep it have it divided by `1 - drop_connect`.
    0 when testing.
    """

    branch: Callable
    features: int
    conv_norm: ConvNorm
    stride: int = 1
    drop_connect: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, Endpoints]:
        out = {}
        y = self.branch(x, self.conv_norm, features=self.features, stride=self.stride)
        y, extra = y if isinstance(y, tuple) else (y, {})
        out.update(extra, branch=y)
        y = nn.Dropout(self.drop_connect, broadcast_dims=(1, 2, 3, 4), deterministic=False)(y)
        if x.shape[-1] != y.shape[-1] or self.stride != 1:
            strides = (1, self.stride, self.stride)
            x = self.conv_norm(x, "shortcut", self.features, strides=strides)
        return nn.relu(x + y), out


# What training computes again for the gradient instead of keeping it: whole blocks, or what lies
# between their convolutions (https://arxiv.org/abs/1604.06174).
REMAT = {
    "": ResBlock,
    "blocks": nn.remat(ResBlock),
    "norms": nn.remat(
        ResBlock, policy=jax.checkpoint_policies.save_only_these_names("convolution")
    ),
}


def remat_table(remat: Sequence[str], stages: Sequence[str]) -> dict[str, str]:
    """{stage: key of REMAT} of a network's `remat`, as ("res2", "res3:norms")."""
    parts = [entry.partition(":") for entry in remat]
    for stage, _, how in parts:
        if stage not in stages or how not in REMAT:
            raise ValueError(
                f"remat has {stage}{how and f':{how}'}; expected one of {', '.join(stages)}, whose "
                "blocks are then computed again for the gradient, or with :norms behind it, all of "
                "them but the convolutions"
            )
    return dict.fromkeys(stages, "") | {stage: how or "blocks" for stage, _, how in parts}


class ResStage(nn.Module):
    """Residual blocks at one resolution, the first with the stride, and their non-local blocks.

    `branches` has one residual branch per block; a non-local block follows each block whose
    index is in `nonlocal_blocks`. `drop_connect`: see ResBlock. `remat`: see REMAT.
    """

    branches: Sequence[Callable]
    features: int
    conv_norm: ConvNorm
    stride: int = 1
    nonlocal_blocks: Sequence[int] = ()
    make_nonlocal: Callable = NonLocal
    drop_connect: float = 0.0
    remat: str = ""

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, Endpoints]:
        out = {}
        for i, branch in enumerate(self.branches):
            stride = self.stride if i == 0 else 1
            block = REMAT[self.remat](
                branch, self.features, self.conv_norm, stride, self.drop_connect, name=f"block{i}"
            )
            x, inside = block(x)
            out |= {f"block{i}": x} | {f"block{i}/{k}": v for k, v in inside.items()}
            if i in self.nonlocal_blocks:
                x = out[f"nonlocal{i}"] = self.make_nonlocal(
                    conv_norm=self.conv_norm, name=f"nonlocal{i}"
                )(x)
        return x, out
