"""Reversible vision transformers: Rev-ViT and Rev-MViT (Mangalam et al., CVPR 2022).

Training stores the activations of the stage transitions alone, so that its memory does not grow
with the number of blocks between them.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from slowfast_jax.models.blocks import Endpoints, remat_table
from slowfast_jax.models.heads import TokenHead, check_boxes, head_endpoints
from slowfast_jax.models.mvit import VisionTransformer
from slowfast_jax.models.transformer.layers import LayerNorm, PatchEmbed
from slowfast_jax.models.transformer.positions import add_positions
from slowfast_jax.models.transformer.reversible_blocks import (
    Fusion,
    ReversibleBlock,
    StageTransition,
)
from slowfast_jax.models.transformer.schedule import BlockPlan, reversible_plan
from slowfast_jax.ops.normalize import normalize
from slowfast_jax.ops.transformer import reversible


class RevMViT(VisionTransformer):
    """A reversible (multiscale) vision transformer over one clip.

    There is no class token. In training, the endpoints within the reversible blocks are left out,
    and `remat` has no effect on them, because they are recomputed anyway.

    Attributes (those of `VisionTransformer`, and):
      transitions: blocks that are stage transitions (BUFFER_LAYERS in the original); the others
        are reversible.
      stage_fusion: how a transition fuses the streams (PRE_Q_FUSION), see `Fusion`.
      final_fusion: how they are fused before the classifier (RESPATH_FUSE).
    """

    transitions: Sequence[int] = ()
    stage_fusion: str = "avg"
    final_fusion: str = "concat"

    @nn.compact
    def __call__(
        self, clip: jax.Array, boxes: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Endpoints]:
        check_boxes(boxes, self.detection)
        if self.detection:
            raise ValueError("reversible networks classify clips: set detection=False")
        wraps = remat_table(self.remat, [f"block{i}" for i in range(self.depth)])
        plans = reversible_plan(
            grid=self.trained_grid(), depth=self.depth, width=self.width, heads=self.heads,
            dim_mul=self.dim_mul, head_mul=self.head_mul, poolings=self.poolings(),
            drop_path=self.drop_path,
        )
        out: Endpoints = {}

        x = normalize(clip, self.mean, self.std, self.dtype)  # (N, T, H, W, 3)
        x = PatchEmbed(
            self.width, self.patch_kernel, self.patch_stride, self.patch_padding,
            name="patch_embed",
        )(x)  # (N, T', H', W', C)
        grid = x.shape[1:4]
        x = out["patch_embed"] = x.reshape(x.shape[0], -1, self.width)  # (N, L, C)
        x = add_positions(x, self.abs_pos, grid, self.trained_grid(), False, self.param)
        if self.norm_stem:
            x = out["norm_stem"] = LayerNorm(name="norm_stem")(x)

        run: list[ReversibleBlock] = []  # reversible blocks since the last transition
        for i, plan in enumerate(plans):
            name = f"block{i}"
            if i not in self.transitions:
                run.append(
                    ReversibleBlock(self.attention(), plan, grid, self.mlp_ratio, name=name)
                )
                continue
            x, inside = self._run(run, x, train)
            out, run = out | inside, []
            block = wraps[name](StageTransition)(
                self.attention(), plan, grid, self.mlp_ratio, self.stage_fusion, self.pool_first,
                train, name=name,
            )
            x, inside = block(x)
            out |= {name: x} | {f"{name}/{key}": value for key, value in inside.items()}
            grid = plan.q.size(grid)
        x, inside = self._run(run, x, train)
        out |= inside | {"backbone": x}  # (N, L, 2 C)

        fuse, norm = Fusion(self.final_fusion, name="fusion"), LayerNorm(name="norm")
        if self.mean_pooling:
            x = out["fusion"] = fuse(x)
            x = out["norm"] = norm(x.mean(1))
        else:
            x = out["norm"] = norm(x)
            x = out["fusion"] = fuse(x)
            x = x.mean(1)
        logits, inside = TokenHead(self.classifier(), name="head")(x, train=train)
        return logits, out | head_endpoints(inside)

    @nn.nowrap
    def last_maps(self) -> tuple[str, ...]:
        return ("fusion",)

    @nn.nowrap
    def _run(
        self, blocks: Sequence[ReversibleBlock], x: jax.Array, train: bool
    ) -> tuple[jax.Array, Endpoints]:
        """Reversible blocks one after another. Both streams start as `x (N, L, C)`, and the result
        `(N, L, 2 C)` has one after the other."""
        if not blocks:
            return x, {}
        y1, y2, out = x, x, {}
        if train and not self.is_initializing():
            y1, y2 = reversible.run_reversible(
                [_functions(block) for block in blocks],
                [block.variables["params"] for block in blocks],
                [self._drop_path(block.plan, x) for block in blocks],
                y1, y2,
            )
        else:
            for block in blocks:
                y1, y2, inside = block(y1, y2)
                out |= {f"{block.name}/{key}": value for key, value in inside.items()}
        return jnp.concatenate([y1, y2], -1), out

    @nn.nowrap
    def _drop_path(self, plan: BlockPlan, x: jax.Array) -> jax.Array | None:
        """What stochastic depth multiplies the branches of a block by, `(N, 1, 1)`.

        A clip loses both branches of a block or none, as in the original.
        """
        if not plan.drop_path:
            return None
        keep = 1 - plan.drop_path
        mask = jax.random.bernoulli(self.make_rng("dropout"), keep, (len(x), 1, 1))
        return mask.astype(x.dtype) / keep


def _functions(block: ReversibleBlock) -> reversible.ReversibleFunctions:
    """The branches of a block as functions of its parameters."""
    free = block.clone(parent=None)

    def branch(method: str):
        def apply(params, x: jax.Array) -> jax.Array:
            with jax.named_scope(block.name):
                return free.apply({"params": params}, x, method=method)

        return apply

    return reversible.ReversibleFunctions(branch("attend"), branch("transform"))
