"""Multiscale vision transformers: MViT, MViTv2, and plain vision transformers of videos and images.

Papers: MViT https://arxiv.org/abs/2104.11227, MViTv2 https://arxiv.org/abs/2112.01526.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from slowfast_jax.models.base import VideoNetwork
from slowfast_jax.models.blocks import Endpoints, remat_table
from slowfast_jax.models.heads import RoIHead, TokenHead, check_boxes, head_endpoints, project
from slowfast_jax.models.transformer.attention import PoolingAttention
from slowfast_jax.models.transformer.blocks import MultiScaleBlock
from slowfast_jax.models.transformer.layers import LayerNorm, PatchEmbed, init_weights
from slowfast_jax.models.transformer.positions import add_positions
from slowfast_jax.models.transformer.schedule import block_poolings, divided, multiscale_plan
from slowfast_jax.ops.normalize import normalize

Triple = tuple[int, int, int]


class VisionTransformer(VideoNetwork):
    """Fields and helpers that `MViT` and `RevMViT` have in common.

    A network of images is one of clips with a single frame, and with 1 in time for the patches and
    the pooling.

    Attributes (those of `VideoNetwork`, and):
      depth: number of blocks.
      width: channels of the first block (EMBED_DIM in the original).
      heads: attention heads of the first block.
      mlp_ratio: hidden channels of an MLP per channel of its input.
      patch_kernel, patch_stride, patch_padding: of the convolution to patches.
      dim_mul, head_mul: rows (block, factor) where width and heads grow.
      pool_mode: how queries, keys and values are pooled: "conv", "conv_unshared", "avg" or "max";
        see `PoolingAttention`, also for `pool_first`, `separate_qkv`, `qkv_bias` and
        `residual_pooling`.
      pool_kernel: kernel of the poolings (POOL_KVQ_KERNEL); (): by their strides.
      q_strides, kv_strides: rows (block, t, h, w); a block without a row does not pool, and one
        with strides 1 pools if `pool_kernel` is set.
      adaptive_kv_stride: strides of the first block's keys and values, which shrink where queries
        are pooled (POOL_KV_STRIDE_ADAPTIVE); they replace `kv_strides`. (): none.
      abs_pos: absolute positions: "none", "separate", "joint" or "sincos", see `add_positions`.
      rel_pos_space, rel_pos_time: decomposed relative positions in the attention.
      rel_pos_zero_init: their tables start with zeros.
      decay_positions: class token and positions have weight decay; False is ZERO_DECAY_POS_CLS.
      mean_pooling: the classifier reads the mean of the patches, normalized afterwards.
      norm_stem: layer norm before the first block.
      drop_path: probability of stochastic depth in the last block; it grows linearly from 0.
      head_init_scale: factor of the classifier's initial weights and biases.
      roi_resolution, roi_scale, roi_aligned: of ROIAlign, see `ops.roi_align`.
    """

    num_frames: int = 16
    fc_init_std: float = 0.02
    depth: int = 16
    width: int = 96
    heads: int = 1
    mlp_ratio: float = 4.0
    patch_kernel: Triple = (3, 7, 7)
    patch_stride: Triple = (2, 4, 4)
    patch_padding: Triple = (1, 3, 3)
    dim_mul: Sequence[tuple[int, float]] = ()
    head_mul: Sequence[tuple[int, float]] = ()
    pool_mode: str = "conv"
    pool_first: bool = False
    pool_kernel: Sequence[int] = ()
    q_strides: Sequence[tuple[int, int, int, int]] = ()
    kv_strides: Sequence[tuple[int, int, int, int]] = ()
    adaptive_kv_stride: Sequence[int] = ()
    residual_pooling: bool = False
    separate_qkv: bool = False
    qkv_bias: bool = True
    abs_pos: str = "separate"
    rel_pos_space: bool = False
    rel_pos_time: bool = False
    rel_pos_zero_init: bool = False
    decay_positions: bool = True
    mean_pooling: bool = False
    norm_stem: bool = False
    drop_path: float = 0.0
    head_init_scale: float = 1.0
    roi_resolution: int = 7
    roi_scale: float = 1 / 32
    roi_aligned: bool = True

    @property
    def stride(self) -> int:
        """Pixels of the clip, along height and width, per position of the last feature map."""
        return self.patch_stride[1] * math.prod(row[2] for row in self.q_strides)

    @property
    def no_decay(self) -> tuple[str, ...]:
        """Patterns of the parameters that never have weight decay."""
        fixed = ("pos_embed",) if self.abs_pos == "sincos" else ()
        if self.decay_positions:
            return fixed
        names = {"none": (), "separate": ("pos_embed_.*",)}.get(self.abs_pos, ("pos_embed",))
        names += ("cls_token",) if getattr(self, "class_token", False) else ()
        return names + ((".*/rel_pos_[hwt]",) if self.rel_pos_space or self.rel_pos_time else ())

    @nn.nowrap
    def layer_of(self, path: str) -> int:
        """Layer of a parameter, as in the original: patches and absolute positions 0, block i
        i + 1, and everything else the last."""
        part = path.split("/")[0]
        if part.startswith(("patch_embed", "pos_embed", "cls_token")):
            return 0
        return int(part[5:]) + 1 if part.startswith("block") else self.depth + 1

    @nn.nowrap
    def smallest_clip(self) -> tuple[int, int]:
        """One patch. Positions are interpolated for clips of another size than trained."""
        return 1, 1

    @nn.nowrap
    def first_center(self) -> tuple[float, float, float]:
        """The frame, row and column of the clip at the center of the first token of any grid: odd
        kernels pool around every n-th token, the first one included."""
        pairs = zip(self.patch_kernel, self.patch_padding, strict=True)
        return tuple((kernel - 1) / 2 - padding for kernel, padding in pairs)

    @nn.nowrap
    def trained_grid(self) -> Triple:
        """Size of the grid of patches of a training clip."""
        return divided((self.num_frames, self.crop_size, self.crop_size), self.patch_stride)

    @nn.nowrap
    def classifier(self) -> Callable:
        """`heads.project` with this network's options, to be called in the head's scope."""
        scale = self.head_init_scale
        return partial(
            project, num_classes=self.num_classes, dropout=self.dropout,
            activation=self.activation, average=self.average,
            kernel_init=nn.initializers.normal(self.fc_init_std * scale),
            bias_init=nn.initializers.constant(0.02 * scale),
        )

    @nn.nowrap
    def poolings(self) -> list:
        """Pooling of the queries, and of the keys and values, of each block."""
        return block_poolings(
            self.depth, self.q_strides, self.kv_strides, self.adaptive_kv_stride, self.pool_kernel
        )

    @nn.nowrap
    def attention(self) -> Callable[..., PoolingAttention]:
        """Constructor of the attention of a block."""
        return partial(
            PoolingAttention, mode=self.pool_mode, pool_first=self.pool_first,
            separate_qkv=self.separate_qkv, qkv_bias=self.qkv_bias,
            residual_pooling=self.residual_pooling, rel_pos_space=self.rel_pos_space,
            rel_pos_time=self.rel_pos_time, rel_pos_zero_init=self.rel_pos_zero_init,
        )


class MViT(VisionTransformer):
    """A multiscale vision transformer over one clip, or a plain one, which pools nothing.

    Clips of another size than trained are accepted: positions are interpolated.

    Attributes (those of `VisionTransformer`, and):
      class_token: a learned token before the patches, which the classifier reads.
      dim_mul_in_att: the width grows in the attention of the block that `dim_mul` names (MViTv2)
        instead of in the MLP of the block before (MViT).
    """

    class_token: bool = True
    dim_mul_in_att: bool = False

    @nn.nowrap
    def last_maps(self) -> tuple[str, ...]:
        if self.detection:
            return ("norm",)
        # Behind the last attention, the classifier may read the class token alone; and the last map
        # before the queries are pooled has more positions, and tokens that are less mixed.
        pooled = [block for block, *strides in self.q_strides if max(strides) > 1]
        return (f"block{max(pooled, default=self.depth - 1)}/norm1",)

    @nn.compact
    def __call__(
        self, clip: jax.Array, boxes: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Endpoints]:
        check_boxes(boxes, self.detection)
        wraps = remat_table(self.remat, [f"block{i}" for i in range(self.depth)])
        plans = multiscale_plan(
            grid=self.trained_grid(), depth=self.depth, width=self.width, heads=self.heads,
            dim_mul=self.dim_mul, head_mul=self.head_mul, dim_mul_in_att=self.dim_mul_in_att,
            poolings=self.poolings(), drop_path=self.drop_path,
        )
        out: Endpoints = {}

        x = normalize(clip, self.mean, self.std, self.dtype)  # (N, T, H, W, 3)
        x = PatchEmbed(
            self.width, self.patch_kernel, self.patch_stride, self.patch_padding,
            name="patch_embed",
        )(x)  # (N, T', H', W', C)
        n, *grid, c = x.shape
        grid = tuple(grid)
        x = out["patch_embed"] = x.reshape(n, -1, c)  # (N, L, C)
        if self.class_token:
            token = self.param("cls_token", init_weights, (1, 1, c)).astype(x.dtype)
            x = jnp.concatenate([jnp.broadcast_to(token, (n, 1, c)), x], 1)
        x = add_positions(
            x, self.abs_pos, grid, self.trained_grid(), self.class_token, self.param
        )
        if self.norm_stem:
            x = out["norm_stem"] = LayerNorm(name="norm_stem")(x)

        for i, plan in enumerate(plans):
            name = f"block{i}"
            block = wraps[name](MultiScaleBlock)(
                self.attention(), plan, grid, self.class_token, self.mlp_ratio, train, name=name
            )
            x, inside = block(x)
            out |= {name: x} | {f"{name}/{key}": value for key, value in inside.items()}
            grid = plan.q.size(grid)

        first = int(self.class_token)
        if self.detection:
            x = out["norm"] = LayerNorm(name="norm")(x)
            head = RoIHead(
                self.classifier(), self.roi_resolution, self.roi_scale, self.roi_aligned,
                name="head",
            )
            logits, inside = head([x[:, first:].reshape(n, *grid, -1)], boxes=boxes, train=train)
            return logits, out | head_endpoints(inside)
        if self.mean_pooling:
            x = out["norm"] = LayerNorm(name="norm")(x[:, first:].mean(1))
        else:
            x = out["norm"] = LayerNorm(name="norm")(x)
            x = x[:, 0] if self.class_token else x.mean(1)
        logits, inside = TokenHead(self.classifier(), name="head")(x, train=train)
        return logits, out | head_endpoints(inside)
