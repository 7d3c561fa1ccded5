"""Blocks of the reversible vision transformers.

Reversible Vision Transformers (Mangalam et al., CVPR 2022), section 3.3.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from slowfast_jax.models.blocks import Endpoints
from slowfast_jax.models.transformer.layers import MLP, DropPath, LayerNorm, Linear
from slowfast_jax.models.transformer.schedule import BlockPlan

Triple = tuple[int, int, int]
Make = Callable[..., nn.Module]
FUSIONS = {
    "add": jnp.add,
    "max": jnp.maximum,
    "min": jnp.minimum,
    "avg": lambda a, b: (a + b) / 2,
}


class ReversibleBlock(nn.Module):
    """F (layer norm, attention) and G (layer norm, MLP) between two streams of tokens.

    `attend` and `transform` are the branches on their own, for `ops.transformer.reversible`.

    Attributes:
      attention: constructs the attention, see `PoolingAttention`.
      plan: widths, pooling and drop rate of the block.
      grid: size of the grid.
      mlp_ratio: hidden channels of the MLP per channel of its input.
    """

    attention: Make
    plan: BlockPlan
    grid: Triple
    mlp_ratio: float

    def setup(self) -> None:
        self.F, self.G = branches(self)

    def __call__(self, x1: jax.Array, x2: jax.Array) -> tuple[jax.Array, jax.Array, Endpoints]:
        """The streams after the block, without stochastic depth, and endpoints."""
        out = {"F/attn": self.F(x2)}
        out["Y1"] = x1 + out["F/attn"]
        out["G/mlp"] = self.G(out["Y1"])
        out["Y2"] = x2 + out["G/mlp"]
        return out["Y1"], out["Y2"], out

    def attend(self, x: jax.Array) -> jax.Array:
        return self.F(x)

    def transform(self, x: jax.Array) -> jax.Array:
        return self.G(x)


class StageTransition(nn.Module):
    """Fuses the streams, pools the patches, and makes the tokens wider.

    The skip connection is pooled as the queries are, with the same parameters. Stochastic depth
    drops the whole block, skip connection included, as in the original.

    Attributes (those of `ReversibleBlock`, and):
      fusion: see `Fusion`.
      pool_first: the skip connection is pooled before it is projected.
      train: applies stochastic depth.
    """

    attention: Make
    plan: BlockPlan
    grid: Triple
    mlp_ratio: float
    fusion: str
    pool_first: bool = False
    train: bool = False

    def setup(self) -> None:
        self.fuse = Fusion(self.fusion, name="fusion")
        self.F, self.G = branches(self)
        self.res_proj = Linear(self.plan.width_out)
        self.drop_path = DropPath(self.plan.drop_path if self.train else 0.0)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, Endpoints]:
        """Both streams `(N, L, 2 C)` -> `(N, L', width_out)`, and endpoints."""
        out = {}
        skip = x = self.fuse(x)
        widens = x.shape[-1] != self.plan.width_out
        if widens and not self.pool_first:
            skip = self.res_proj(skip)
        out["F/attn"] = self.F(x)
        skip = self.F.pool_queries(skip)
        if widens and self.pool_first:
            skip = self.res_proj(skip)
        x = skip + out["F/attn"]
        out["G/mlp"] = self.G(x)
        return self.drop_path(x + out["G/mlp"]), out


class AttentionBranch(nn.Module):
    """Layer norm and attention (F)."""

    attention: Make

    def setup(self) -> None:
        self.norm = LayerNorm()
        self.attn = self.attention()

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.attn(self.norm(x))

    def pool_queries(self, x: jax.Array) -> jax.Array:
        """Pools tokens as the attention pools its queries."""
        return self.attn.pool(x, "q")


class MLPBranch(nn.Module):
    """Layer norm and MLP (G)."""

    hidden: int
    features: int

    def setup(self) -> None:
        self.norm = LayerNorm()
        self.mlp = MLP(self.hidden, self.features)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.mlp(self.norm(x))


def branches(block: ReversibleBlock | StageTransition) -> tuple[AttentionBranch, MLPBranch]:
    """F and G of a block."""
    plan = block.plan

    def attention() -> nn.Module:
        return block.attention(
            plan.attention_width, plan.heads, block.grid, plan.q, plan.kv, plan.table_grid,
            class_token=False,
        )

    hidden = int(block.mlp_ratio * plan.attention_width)
    return AttentionBranch(attention), MLPBranch(hidden, plan.width_out)


class Fusion(nn.Module):
    """Fuses two streams, the halves of `x (N, L, 2 C)`.

    Attributes:
      mode: "add", "max", "min" or "avg" of the halves; "concat": as they are;
        "concat_linear_FACTOR": an MLP with FACTOR hidden channels per channel, and a skip
        connection; "ln+concat_linear_FACTOR": with a layer norm before the MLP. FACTOR is 1 if it
        is left out.
    """

    mode: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.mode in FUSIONS:
            return FUSIONS[self.mode](*jnp.split(x, 2, -1))
        if self.mode == "concat":
            return x
        normed, _, linear = self.mode.rpartition("+")
        kind, _, factor = linear.partition("concat_linear")
        try:
            hidden = int(x.shape[-1] * float(factor.removeprefix("_") or 1))
        except ValueError:
            hidden = 0
        if kind or normed not in ("", "ln") or not linear.startswith("concat_linear") or not hidden:
            raise ValueError(
                f"a fusion is {self.mode!r}, expected {', '.join(FUSIONS)}, concat, "
                "concat_linear_FACTOR or ln+concat_linear_FACTOR"
            )
        # The original's norm has PyTorch's default epsilon here.
        y = LayerNorm(1e-5, name="norm")(x) if normed else x
        return x + MLP(hidden, x.shape[-1], name="norm_mlp" if normed else "mlp")(y)
