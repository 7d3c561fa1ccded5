"""SlowFast networks (https://arxiv.org/abs/1812.03982): a slow pathway and a light fast one."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from slowfast_jax.models.blocks import (
    Conv3D,
    Endpoints,
    Make,
    NonLocal,
    Stage,
    Triple,
    blocks_per_stage,
    remat_table,
    residual_block,
)
from slowfast_jax.models.dtypes import in_dtypes, input_dtype
from slowfast_jax.models.norm import BatchNorm
from slowfast_jax.models.resnet3d import ResidualNetwork, Stem, classify
from slowfast_jax.ops.layout import PLAIN, MapLayout, in_layout
from slowfast_jax.ops.normalize import normalize
from slowfast_jax.ops.packing import pack, packed_layout, unpack

# Temporal kernels of the stem and of stages 2 to 5.
SLOW_KERNELS = (1, 1, 1, 3, 3)
FAST_KERNELS = (5, 3, 3, 3, 3)
PATHWAYS = ("slow", "fast")
STAGES = tuple(f"{pathway}_res{i}" for pathway in PATHWAYS for i in range(2, 6))


class Lateral(nn.Module):
    """Lateral connection: the fast pathway, convolved with a stride in time, joins the slow one.

    Attributes:
      features: channels that are concatenated to the slow pathway.
      kernel: kernel size in time.
      alpha: stride in time.
      conv, norm: constructors, see `blocks`; `norm=None` leaves out batch norm and ReLU, as in
        MMAction2's networks.
    """

    features: int
    kernel: int
    alpha: int
    conv: Make
    norm: Make | None

    @nn.compact
    def __call__(self, slow: jax.Array, fast: jax.Array) -> jax.Array:
        conv = self.conv if self.norm else partial(self.conv, use_bias=False)
        x = conv(self.features, (self.kernel, 1, 1), (self.alpha, 1, 1), name="conv")(fast)
        x = nn.relu(self.norm(name="conv_bn")(x)) if self.norm else in_layout(x)
        if x.shape[1] != slow.shape[1]:
            raise ValueError(
                f"the lateral connection gives {x.shape[1]} frames and the slow pathway has "
                f"{slow.shape[1]}: a clip needs a multiple of alpha = {self.alpha} frames, "
                f"not {fast.shape[1]}"
            )
        return jnp.concatenate([slow, x], -1)


class SlowFast(ResidualNetwork):
    """A slow pathway on `T // alpha` frames and a fast one on all `T`, joined by four laterals.

    It takes one clip, that of the fast pathway, and picks the slow frames itself.

    Attributes (those of `ResidualNetwork` and `ResNet3D`, and):
      depth: 18, 50, 101 or 152; or four numbers, the blocks of stages 2 to 5; or a pair (slow,
        fast) of either.
      num_block_temp_kernel, nonlocal_blocks, nonlocal_pool, nonlocal_group: pairs (slow, fast).
      alpha: fast frames per slow frame.
      beta: ratio of the slow pathway's width to the fast one's.
      fusion_ratio: ratio of a lateral connection's width to the fast pathway's.
      fusion_kernel: kernel size in time of the lateral connections.
      slow_frames: "linspace" picks the truncated `linspace(0, T - 1, T // alpha)`, with which the
        published weights were trained; "stride" picks every alpha-th frame, as MMAction2 does.
      lateral_norm: batch norm and ReLU in the lateral connections.
    """

    num_frames: int = 32
    depth: int | Sequence[int] | Sequence[Sequence[int]] = 50
    block: str = "bottleneck"
    width: int = 64
    groups: int = 1
    num_block_temp_kernel: Sequence[Sequence[int]] = ((3, 4, 6, 3), (3, 4, 6, 3))
    strides: Sequence[int] = (1, 2, 2, 2)
    dilations: Sequence[int] = (1, 1, 1, 1)
    nonlocal_blocks: Sequence[Sequence[Sequence[int]]] = (((),) * 4, ((),) * 4)
    nonlocal_mode: str = "dot_product"
    nonlocal_pool: Sequence[Sequence[Triple]] = (((1, 2, 2),) * 4, ((1, 2, 2),) * 4)
    nonlocal_group: Sequence[Sequence[int]] = ((1, 1, 1, 1), (1, 1, 1, 1))
    nonlocal_pool_first: bool = True
    alpha: int = 4
    beta: int = 8
    fusion_ratio: int = 2
    fusion_kernel: int = 7
    slow_frames: str = "linspace"
    lateral_norm: bool = True

    parts = (
        *(f"{pathway}_{part}" for part in ("stem", "res2", "res3", "res4", "res5")
          for pathway in ("slow", "fast")),
        "lateral1", "lateral2", "lateral3", "lateral4", "head",
    )

    @nn.compact
    @in_dtypes
    def __call__(
        self, clip: jax.Array, boxes: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Endpoints]:
        widths = self.width, self.width // self.beta
        layouts = PLAIN, self._fast_layout(clip.shape[1])
        convs = [partial(Conv3D, use_bias=self.folded, layout=layout) for layout in layouts]
        norms = [
            partial(
                BatchNorm, self.group_size, splits=self.norm_splits,
                train=train and not self.frozen_norm, folded=self.folded, layout=layout,
            ) for layout in layouts
        ]
        depths = [blocks_per_stage(depth) for depth in self._depths()]
        wraps = remat_table(self.remat, STAGES)
        out: Endpoints = {}

        index = slow_frame_indices(clip.shape[1], self.alpha, self.slow_frames)
        fast = normalize(clip, self.mean, self.std, input_dtype(self))  # (N, T, H, W, 3)
        slow = fast[:, index]  # (N, T / alpha, H, W, 3)
        slow = out["slow_stem"] = Stem(
            widths[0], SLOW_KERNELS[0], convs[0], norms[0], name="slow_stem"
        )(slow)
        fast = Stem(
            widths[1], FAST_KERNELS[0], convs[1], norms[1], name="fast_stem"
        )(pack(fast, layouts[1]))
        out["fast_stem"] = unpack(fast, layouts[1])
        for i in range(4):
            slow = out[f"lateral{i + 1}"] = Lateral(
                self.fusion_ratio * layouts[1].channels(fast), self.fusion_kernel, self.alpha,
                convs[1], norms[0] if self.lateral_norm else None, name=f"lateral{i + 1}",
            )(slow, fast)
            maps = []
            for p, (pathway, x, kernels) in enumerate(
                (("slow", slow, SLOW_KERNELS), ("fast", fast, FAST_KERNELS))
            ):
                name, width = f"{pathway}_res{i + 2}", widths[p] * 2**i
                make_block = residual_block(
                    self.block, wraps[name], inner=self.groups * width, groups=self.groups
                )
                blocks = {}
                for b in range(depths[p][i]):
                    temporal = b < self.num_block_temp_kernel[p][i]
                    blocks[f"block{b}"] = partial(
                        make_block,
                        features=4 * width,
                        temporal_kernel=kernels[i + 1] if temporal else 1,
                        stride=self.strides[i] if b == 0 else 1,
                        dilation=self.dilations[i],
                        zero_init_final_bn=self.zeroes_final_norms,
                        conv=convs[p],
                        norm=norms[p],
                    )
                    if b in self.nonlocal_blocks[p][i]:
                        blocks[f"nonlocal{b}"] = partial(
                            NonLocal,
                            norm=norms[p],
                            mode=self.nonlocal_mode,
                            pool=tuple(self.nonlocal_pool[p][i]),
                            group=self.nonlocal_group[p][i],
                            pool_first=self.nonlocal_pool_first,
                            zero_init_final_bn=self.zeroes_final_norms,
                        )
                x, inside = Stage(blocks, layouts[p], name=name)(x)
                out |= inside
                maps.append(x)
            slow, fast = maps
        frames = [self.num_frames // self.alpha, self.num_frames]
        logits, head = classify(self, [slow, unpack(fast, layouts[1])], frames, boxes, train)
        return logits, out | head

    def exact_frames(self) -> int | None:
        # The windows of longer clips have more positions in the fast pathway than in the slow one,
        # so that the two cannot be concatenated; in the original neither.
        return None if self.detection or self.head_pool != "window" else self.num_frames

    def pathways(self, frames: int) -> dict[str, np.ndarray]:
        return {
            "slow": slow_frame_indices(frames, self.alpha, self.slow_frames),
            "fast": np.arange(frames),
        }

    def last_maps(self) -> tuple[str, ...]:
        return "slow_res5", "fast_res5"

    def _depths(self) -> Sequence[int | Sequence[int]]:
        """Depths of the slow and the fast pathway."""
        if isinstance(self.depth, int) or len(self.depth) != 2:
            return self.depth, self.depth
        return self.depth

    def _fast_layout(self, frames: int) -> MapLayout:
        """Layout of the fast pathway's maps, which have few channels; of a clip of `frames`."""
        if self.groups > 1 or any(self.nonlocal_blocks[1]) or frames % self.alpha:
            return PLAIN
        return packed_layout(4 * self.width // self.beta, self.alpha)  # width of stage 2


def slow_frame_indices(frames: int, alpha: int, how: str = "linspace") -> np.ndarray:
    """Indices of the frames of the fast clip that the slow pathway sees, `frames // alpha` of them.

    `how`: see `SlowFast.slow_frames`. Raises ValueError if there would be none.
    """
    count = frames // alpha
    if count < 1:
        raise ValueError(f"a clip of {frames} frames has no slow frame at alpha = {alpha}")
    if how == "linspace":
        return np.linspace(0, frames - 1, count).astype(np.int32)
    if how == "stride":
        return np.arange(count, dtype=np.int32) * alpha
    raise ValueError(f"slow_frames is {how!r}, expected 'linspace' or 'stride'")
