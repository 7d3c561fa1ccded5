"""Multi-head attention with pooled queries, keys and values (MViT, section 3.1)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from slowfast_jax.models.parameters import Layer
from slowfast_jax.models.transformer.layers import Linear, init_biases, init_weights
from slowfast_jax.models.transformer.schedule import Pooling, divided
from slowfast_jax.ops.conv import conv3d
from slowfast_jax.ops.pool import avg_pool, max_pool
from slowfast_jax.ops.transformer.attention import (
    Positions,
    RelativePositions,
    attention,
    relative_positions,
)
from slowfast_jax.ops.transformer.grid_pool import pool_patches
from slowfast_jax.ops.transformer.layer_norm import layer_norm

Triple = tuple[int, int, int]
MODES = ("conv", "conv_unshared", "avg", "max")


class PoolConv(Layer):
    """Depthwise convolution over the patches; `groups` groups of channels share their kernels."""

    pooling: Pooling
    groups: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`(N, T, H, W, C)` -> `(N, T', H', W', C)`."""
        channels = x.shape[-1]
        shape = (*self.pooling.kernel, 1, channels // self.groups)
        kernel = self.param("kernel", init_weights, shape).astype(x.dtype)
        kernel = jnp.tile(kernel, self.groups)
        return conv3d(x, kernel, strides=self.pooling.strides, groups=channels)


class GroupNorm(Layer):
    """Layer norm of each of `groups` groups of channels, with one scale and bias for all."""

    groups: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        split = x.reshape(*x.shape[:-1], self.groups, -1)
        scale = self.param("scale", nn.initializers.ones, split.shape[-1:])
        bias = self.param("bias", init_biases, split.shape[-1:])
        return layer_norm(split, scale, bias).reshape(x.shape)


class PoolingAttention(Layer):
    """Attention between the tokens `(N, L, C)` of a grid, or of a class token and a grid.

    Attributes:
      features: channels of the output.
      heads: number of heads.
      grid: size of the grid.
      q_pooling, kv_pooling: pooling of the queries, and of the keys and values.
      table_grid: size of the grid that the tables of relative positions are made for.
      class_token: the first token is a class token, which is not pooled.
      mode: "conv": pooling is a depthwise convolution, with the same kernels for each head, and
        then a layer norm of each head; "conv_unshared", only with `pool_first`: both are of all
        channels; "avg", "max": no parameters. Padding counts in averages.
      pool_first: the tokens are pooled before they are projected to queries, keys and values.
      separate_qkv: three projections instead of one; always so with `pool_first`.
      qkv_bias: the projections to queries, keys and values have a bias.
      residual_pooling: the pooled queries of the patches are added to the result (MViTv2, 4.1).
      rel_pos_space, rel_pos_time: decomposed relative positions, see `ops.transformer.attention`.
      rel_pos_zero_init: their tables start with zeros.
    """

    features: int
    heads: int
    grid: Triple
    q_pooling: Pooling
    kv_pooling: Pooling
    table_grid: Triple
    class_token: bool = True
    mode: str = "conv"
    pool_first: bool = False
    separate_qkv: bool = False
    qkv_bias: bool = True
    residual_pooling: bool = False
    rel_pos_space: bool = False
    rel_pos_time: bool = False
    rel_pos_zero_init: bool = False

    def setup(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"pool_mode is {self.mode!r}, expected one of {', '.join(MODES)}")
        if self.mode == "conv_unshared" and not self.pool_first:
            raise ValueError("pool_mode is 'conv_unshared', which needs pool_first=True")
        if self.pool_first or self.separate_qkv:
            self.q = Linear(self.features, self.qkv_bias)
            self.k = Linear(self.features, self.qkv_bias)
            self.v = Linear(self.features, self.qkv_bias)
        else:
            self.qkv = Linear(3 * self.features, self.qkv_bias)
        if self.mode.startswith("conv"):
            groups = 1 if self.mode == "conv_unshared" else self.heads
            if not self.q_pooling.changes_nothing:
                self.pool_q = PoolConv(self.q_pooling, groups)
                self.norm_q = GroupNorm(groups)
            if not self.kv_pooling.changes_nothing:
                self.pool_k = PoolConv(self.kv_pooling, groups)
                self.norm_k = GroupNorm(groups)
                self.pool_v = PoolConv(self.kv_pooling, groups)
                self.norm_v = GroupNorm(groups)
        self.tables = self._tables()
        self.proj = Linear(self.features)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`(N, L, C)` -> `(N, L', features)`."""
        q, k, v, positions = self.operands(x)
        y = attention(q, k, v, positions)  # (N, L', heads, C / heads)
        if self.residual_pooling:
            patches = jnp.arange(q.shape[1]) >= int(self.class_token)
            y = y + jnp.where(patches[:, None, None], q, 0)
        return self.proj(y.reshape(*y.shape[:2], self.features))

    def operands(
        self, x: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array, Positions | None]:
        """The pooled queries, keys and values `(N, L', heads, C / heads)`, and relative positions:
        the arguments of `ops.transformer.attention.attention`."""
        if self.pool_first:
            q, k, v = (self.pool(x, which) for which in "qkv")
            q, k, v = self.q(q), self.k(k), self.v(v)
        else:
            if self.separate_qkv:
                q, k, v = self.q(x), self.k(x), self.v(x)
            else:
                q, k, v = jnp.split(self.qkv(x), 3, -1)
            q, k, v = self.pool(q, "q"), self.pool(k, "k"), self.pool(v, "v")
        q, k, v = (y.reshape(*y.shape[:2], self.heads, -1) for y in (q, k, v))
        if not (self.rel_pos_space or self.rel_pos_time):
            return q, k, v, None
        grids = self.q_pooling.size(self.grid), self.kv_pooling.size(self.grid)
        return q, k, v, relative_positions(q, self.tables, *grids, self.class_token)

    def pool(self, x: jax.Array, which: str) -> jax.Array:
        """Pools tokens `(N, L, C)` as the queries ("q"), keys ("k") or values ("v")."""
        pooling = self.q_pooling if which == "q" else self.kv_pooling
        if pooling.changes_nothing:
            return x
        if self.mode.startswith("conv"):
            pool, norm = (getattr(self, f"{part}_{which}") for part in ("pool", "norm"))
            return norm(pool_patches(x, self.grid, self.class_token, pool))
        reduce = max_pool if self.mode == "max" else avg_pool
        padding = tuple(k // 2 for k in pooling.kernel)
        return pool_patches(
            x, self.grid, self.class_token,
            lambda patches: reduce(patches, pooling.kernel, pooling.strides, padding),
        )

    def _tables(self) -> RelativePositions:
        """The tables of relative positions, for the grids of a training clip."""
        init = nn.initializers.zeros if self.rel_pos_zero_init else init_weights
        grid, channels = self.table_grid, self.features // self.heads
        time = height = width = None
        if self.rel_pos_space:
            grids = (divided(grid, p.strides) for p in (self.q_pooling, self.kv_pooling))
            longest = max(size[1] for size in grids)
            height = self.param("rel_pos_h", init, (2 * longest - 1, channels))
            width = self.param("rel_pos_w", init, (2 * longest - 1, channels))
        if self.rel_pos_time:
            time = self.param("rel_pos_t", init, (2 * grid[0] - 1, channels))
        return RelativePositions(time, height, width)
