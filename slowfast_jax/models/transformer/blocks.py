"""The block of MViT: pooling attention and an MLP, each with a skip connection."""

from collections.abc import Callable

import flax.linen as nn
import jax

from slowfast_jax.models.blocks import Endpoints
from slowfast_jax.models.transformer.layers import MLP, DropPath, LayerNorm, Linear
from slowfast_jax.models.transformer.schedule import BlockPlan, Pooling, stride_kernel
from slowfast_jax.ops.pool import max_pool
from slowfast_jax.ops.transformer.grid_pool import pool_patches

Triple = tuple[int, int, int]


class MultiScaleBlock(nn.Module):
    """One block of MViT (section 3.2) or MViTv2 (section 4.1).

    Attributes:
      attention: constructs the attention, see `PoolingAttention`.
      plan: widths, pooling and drop rate of the block.
      grid: size of the input's grid.
      class_token: whether the first token is a class token.
      mlp_ratio: hidden channels of the MLP per channel of its input.
      train: applies stochastic depth.
    """

    attention: Callable[..., nn.Module]
    plan: BlockPlan
    grid: Triple
    class_token: bool
    mlp_ratio: float = 4.0
    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, Endpoints]:
        """`(N, L, width)` -> `(N, L', width_out)`, and endpoints."""
        plan, out = self.plan, {}
        drop_path = DropPath(plan.drop_path if self.train else 0.0)

        y = LayerNorm(name="norm1")(x)
        attended = out["attn"] = self.attention(
            plan.attention_width, plan.heads, self.grid, plan.q, plan.kv, plan.table_grid,
            self.class_token, name="attn",
        )(y)
        # Where the width grows, the skip connection projects the normalized input.
        if plan.attention_width != plan.width:
            x = Linear(plan.width_out, name="proj")(y)
        x = pool_skip(x, plan.q, self.grid, self.class_token) + drop_path(attended)

        y = LayerNorm(name="norm2")(x)
        mlp = MLP(int(self.mlp_ratio * plan.attention_width), plan.width_out, name="mlp")
        z = out["mlp"] = mlp(y)
        if plan.width_out != plan.attention_width:
            x = Linear(plan.width_out, name="proj")(y)
        return x + drop_path(z), out


def pool_skip(x: jax.Array, q: Pooling, grid: Triple, class_token: bool) -> jax.Array:
    """The input of a skip connection, max-pooled with the strides of the queries."""
    if q.strides == (1, 1, 1):
        return x
    kernel = stride_kernel(q.strides)
    padding = tuple(k // 2 for k in kernel)
    return pool_patches(
        x, grid, class_token, lambda patches: max_pool(patches, kernel, q.strides, padding)
    )
