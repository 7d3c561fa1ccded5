"""Convolution, residual blocks, the non-local block, and the stages made of them.

Blocks get `conv` and `norm`, which construct their convolutions (`Conv3D`) and batch norms
(`BatchNorm`) with the options that a network, or a pathway of it, has in common.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from slowfast_jax.models.parameters import Layer
from slowfast_jax.ops.backend import as_one_operation
from slowfast_jax.ops.conv import add_bias, conv3d
from slowfast_jax.ops.layout import PLAIN, MapLayout
from slowfast_jax.ops.packing import unpack
from slowfast_jax.ops.pool import max_pool

Triple = tuple[int, int, int]
Endpoints = dict[str, jax.Array]
Make = Callable[..., nn.Module]

# Residual blocks per stage. 34 is missing because nobody published a video network of that depth.
DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}

# He initialization over the output fan, as in the published recipes.
he_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Conv3D(Layer):
    """A 3-D convolution with symmetric padding `dilation * (k // 2)`."""

    features: int
    kernel_size: Triple = (1, 1, 1)
    strides: Triple = (1, 1, 1)
    dilation: Triple = (1, 1, 1)
    groups: int = 1
    use_bias: bool = False
    layout: MapLayout = PLAIN

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`(N, T, H, W, Cin)` -> `(N, T', H', W', features)`."""
        shape = (*self.kernel_size, self.layout.channels(x) // self.groups, self.features)
        kernel = self.param("kernel", he_fan_out, shape).astype(x.dtype)
        y = conv3d(
            x, kernel, strides=self.strides, dilation=self.dilation, groups=self.groups,
            layout=self.layout,
        )
        y = checkpoint_name(y, "convolution")
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(x.dtype)
            y = add_bias(y, bias)
        return y


def add_shortcut(
    x: jax.Array,
    y: jax.Array,
    *,
    conv: Make,
    norm: Make,
    features: int,
    strides: Triple,
    drop_connect: float = 0.0,
) -> jax.Array:
    """`relu(shortcut(x) + y)`: the end of a residual block with input `x` and branch `y`.

    The shortcut is the identity, or a strided 1 x 1 x 1 convolution with batch norm where the width
    changes or the block has a stride. `drop_connect` is the probability that a clip loses its
    branch (stochastic depth, https://arxiv.org/abs/1603.09382); the branches that are kept are
    divided by `1 - drop_connect`.
    """
    y = nn.Dropout(drop_connect, broadcast_dims=(1, 2, 3, 4), deterministic=False)(y)
    if x.shape[-1] != y.shape[-1] or strides != (1, 1, 1):
        x = conv(features, strides=strides, name="shortcut")(x)
        x = norm(name="shortcut_bn")(x)
    return nn.relu(x + y)


def final_scale(zero: bool) -> Callable:
    """Initializer of the scale of a branch's last batch norm."""
    return nn.initializers.zeros if zero else nn.initializers.ones


class Bottleneck(nn.Module):
    """a (T x 1 x 1), b (1 x 3 x 3), c (1 x 1 x 1), each with batch norm; ReLU after a and b.

    The block of ResNet (https://arxiv.org/abs/1512.03385) with a temporal kernel in its first
    convolution. The stride is in b, or in a with `stride_1x1`; the dilation is in b.
    """

    features: int
    inner: int
    conv: Make
    norm: Make
    temporal_kernel: int = 1
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    stride_1x1: bool = False
    zero_init_final_bn: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, Endpoints]:
        stride_a, stride_b = (self.stride, 1) if self.stride_1x1 else (1, self.stride)
        y = self.conv(
            self.inner, (self.temporal_kernel, 1, 1), (1, stride_a, stride_a), name="a"
        )(x)
        y = nn.relu(self.norm(name="a_bn")(y))
        y = self.conv(
            self.inner, (1, 3, 3), (1, stride_b, stride_b), (1, self.dilation, self.dilation),
            self.groups, name="b",
        )(y)
        y = nn.relu(self.norm(name="b_bn")(y))
        y = self.conv(self.features, name="c")(y)
        y = self.norm(scale_init=final_scale(self.zero_init_final_bn), name="c_bn")(y)
        out = {"branch": y}
        return add_shortcut(
            x, y, conv=self.conv, norm=self.norm, features=self.features,
            strides=(1, self.stride, self.stride),
        ), out


class Basic(nn.Module):
    """a (T x 3 x 3, strided) and b (1 x 3 x 3, dilated), each with batch norm; ReLU between."""

    features: int
    conv: Make
    norm: Make
    temporal_kernel: int = 1
    stride: int = 1
    dilation: int = 1
    zero_init_final_bn: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, Endpoints]:
        y = self.conv(
            self.features, (self.temporal_kernel, 3, 3), (1, self.stride, self.stride), name="a"
        )(x)
        y = nn.relu(self.norm(name="a_bn")(y))
        y = self.conv(
            self.features, (1, 3, 3), dilation=(1, self.dilation, self.dilation), name="b"
        )(y)
        y = self.norm(scale_init=final_scale(self.zero_init_final_bn), name="b_bn")(y)
        out = {"branch": y}
        return add_shortcut(
            x, y, conv=self.conv, norm=self.norm, features=self.features,
            strides=(1, self.stride, self.stride),
        ), out


class NonLocal(nn.Module):
    """Attention from every position to every other (https://arxiv.org/abs/1711.07971, figure 2).

    Attributes:
      norm: constructs the batch norm after the last convolution.
      mode: "softmax" scales the affinities by `inner ** -0.5` and normalizes over the keys;
        "dot_product" divides them by the number of keys.
      pool: window of the max pool before phi and g, which give the keys and values; theta, which
        gives the queries, reads the full map.
      group: number of parts that the clip is split into along time; positions attend within their
        part.
      pool_first: False: phi and g are convolved before they are pooled, as in MMAction2's networks.
      zero_init_final_bn: the block starts as the identity.
    """

    norm: Make
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
        theta = Conv3D(inner, use_bias=True, name="theta")(x)
        phi = Conv3D(inner, use_bias=True, name="phi")(pooled)
        g = Conv3D(inner, use_bias=True, name="g")(pooled)
        if not self.pool_first:
            phi, g = self._pool(phi), self._pool(g)
        theta, phi, g = (y.reshape(x.shape[0], -1, inner) for y in (theta, phi, g))
        affinity = jnp.einsum("nqc,nkc->nqk", theta, phi)  # (N, T*H*W, pooled positions)
        if self.mode == "softmax":
            affinity = as_one_operation("softmax", nn.softmax, affinity * inner**-0.5)
        elif self.mode == "dot_product":
            affinity = affinity / affinity.shape[-1]
        else:
            raise ValueError(
                f"nonlocal_mode is {self.mode!r}, expected 'softmax' or 'dot_product'"
            )
        y = jnp.einsum("nqk,nkc->nqc", affinity, g).reshape(*x.shape[:-1], inner)
        y = Conv3D(shape[-1], use_bias=True, name="out")(y)
        y = self.norm(scale_init=final_scale(self.zero_init_final_bn), name="out_bn")(y)
        return (x + y).reshape(shape)

    def _pool(self, x: jax.Array) -> jax.Array:
        return x if self.pool == (1, 1, 1) else max_pool(x, self.pool, self.pool)


class Stage(nn.Module):
    """Named blocks, one after another.

    Attributes:
      blocks: {name: constructor that takes the name}. A block returns its map, or its map and a
        dict of endpoints.
      layout: of the maps.

    `__call__(x)` returns the last map and the endpoints, with plain layout: "NAME" is the output of
    the stage, "NAME/block0" that of a block, and "NAME/block0/branch" an endpoint of a block.
    """

    blocks: Mapping[str, Make]
    layout: MapLayout = PLAIN

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, Endpoints]:
        out: Endpoints = {}
        for name, make in self.blocks.items():
            x = make(name=name)(x)
            x, inside = x if isinstance(x, tuple) else (x, {})
            out[f"{self.name}/{name}"] = x
            out |= {f"{self.name}/{name}/{key}": value for key, value in inside.items()}
        out[self.name] = x
        return x, {key: unpack(value, self.layout) for key, value in out.items()}


# What training recomputes for the gradient instead of storing it: nothing, whole blocks, or only
# what lies between their convolutions (https://arxiv.org/abs/1604.06174).
REMAT = {
    "": lambda block: block,
    "blocks": nn.remat,
    "norms": functools.partial(
        nn.remat, policy=jax.checkpoint_policies.save_only_these_names("convolution")
    ),
}


def remat_table(remat: Sequence[str], stages: Sequence[str]) -> dict[str, Callable]:
    """{stage: wrapper for its block class} of a network's `remat`.

    Args:
      remat: entries STAGE, to recompute the stage's blocks for the gradient, or STAGE:norms, to
        recompute everything in them but the convolutions; such as `("res2", "res3:norms")`.
      stages: names of the network's stages.

    Raises:
      ValueError: for an entry that is neither.
    """
    parts = [entry.partition(":") for entry in remat]
    for stage, _, how in parts:
        if stage not in stages or how not in REMAT:
            raise ValueError(
                f"remat has {stage}{how and f':{how}'}; expected one of {', '.join(stages)}, to "
                "recompute its blocks for the gradient, or one of these followed by :norms, to "
                "recompute everything in its blocks but the convolutions"
            )
    chosen = {stage: REMAT[how or "blocks"] for stage, _, how in parts}
    return dict.fromkeys(stages, REMAT[""]) | chosen


def residual_block(
    kind: str, wrap: Callable, *, inner: int, groups: int, stride_1x1: bool = False
) -> Make:
    """Constructor of the `Bottleneck` blocks, or `Basic` blocks, of one stage.

    Args:
      kind: "bottleneck" or "basic".
      wrap: the stage's entry of `remat_table`.
      inner, groups, stride_1x1: of bottlenecks.
    """
    if kind == "bottleneck":
        return functools.partial(
            wrap(Bottleneck), inner=inner, groups=groups, stride_1x1=stride_1x1
        )
    if kind == "basic":
        return wrap(Basic)
    raise ValueError(f"block is {kind!r}, expected 'bottleneck' or 'basic'")


def blocks_per_stage(depth: int | Sequence[int]) -> Sequence[int]:
    """Residual blocks of stages 2 to 5, for a depth of `DEPTHS` or for four such numbers."""
    if isinstance(depth, int):
        return table_row(DEPTHS, "depth", depth)
    if len(depth) != 4:
        raise ValueError(
            f"depth is {tuple(depth)}, expected one of {', '.join(map(str, DEPTHS))}, or four "
            "numbers, the blocks of stages 2 to 5"
        )
    return depth


def table_row(table: Mapping, what: str, key):
    """`table[key]`, or a ValueError that lists the keys."""
    if key not in table:
        raise ValueError(f"{what} is {key!r}, expected one of {', '.join(map(str, table))}")
    return table[key]
