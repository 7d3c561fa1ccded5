"""SlowFast networks (https://arxiv.org/abs/1812.03982): a slow and a light fast pathway."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from slowfast_jax.models.blocks import DEPTHS, ConvNorm, Endpoints, Triple, remat_table
from slowfast_jax.models.dtypes import in_dtypes
from slowfast_jax.models.resnet3d import (
    Stem,
    layer_of,
    make_stage,
    run_head,
    run_stage,
    table_row,
)
from slowfast_jax.ops.normalize import normalize
from slowfast_jax.ops.packing import frames_to_pack, pack, unpack

# Temporal kernels of the stem and of stages 2 to 5.
SLOW_KERNELS = ((1,), (1,), (1,), (3,), (3,))
FAST_KERNELS = ((5,), (3,), (3,), (3,), (3,))
PARTS = (
    *(f"{pathway}_{part}" for part in ("stem", "res2", "res3", "res4", "res5")
      for pathway in ("slow", "fast")),
    "lateral1", "lateral2", "lateral3", "lateral4", "head",
)


class Lateral(nn.Module):
    """Carries the fast pathway into the slow one: a strided convolution over time, concatenated.

    `norm=False` leaves out batch norm and ReLU (MMAction2's networks).
    """

    features: int
    kernel: int
    alpha: int
    conv_norm: ConvNorm
    norm: bool = True

    @nn.compact
    def __call__(self, slow: jax.Array, fast: jax.Array) -> jax.Array:
        x = self.conv_norm(
            fast, "conv", self.features,
            kernel_size=(self.kernel, 1, 1), strides=(self.alpha, 1, 1), norm=self.norm,
        )
        x = nn.relu(x) if self.norm else x
        if x.shape[1] != slow.shape[1]:
            raise ValueError(
                f"the lateral connection gives {x.shape[1]} frames and the slow pathway has "
                f"{slow.shape[1]}: a clip needs a multiple of alpha = {self.alpha} frames, "
                f"not {fast.shape[1] * self.conv_norm.frames}"
            )
        return jnp.concatenate([slow, x], -1)


class SlowFast(nn.Module):
    """A slow pathway on `T // alpha` frames and a fast one on all `T`, joined by four laterals.

    `__call__(clip, boxes=None, train=False)` takes the one fast clip `(N, T, H, W, 3)`, uint8
    RGB or float already normalised, picks the slow frames itself, and returns
    `(logits, endpoints)`: `(N, K)`, or `(N, B, K)` with `boxes (N, B, 4)` in pixels where the
    network was made with `detection=True`.

    Attributes (those of `ResNet3D`, and):
      depth: of both pathways, or a pair (slow, fast).
      num_block_temp_kernel, nonlocal_blocks, nonlocal_pool, nonlocal_group: pairs (slow, fast)
        of what `ResNet3D` takes.
      alpha: fast frames per slow frame. beta: slow width per fast width.
      fusion_ratio: lateral width per fast width. fusion_kernel: its kernel over time.
      slow_frames: "linspace", the truncated `linspace(0, T - 1, T // alpha)` of the published
        weights, or "stride", every alpha-th frame (MMAction2).
      lateral_norm: batch norm and ReLU in the laterals.
    """

    num_classes: int
    depth: int | Sequence[int] = 50
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
    num_frames: int = 32
    crop_size: int = 224
    head_pool: str = "window"
    detection: bool = False
    roi_resolution: int = 7
    roi_scale: float = 1 / 16
    roi_aligned: bool = True
    dropout: float = 0.5
    activation: str = "softmax"
    average: str = "probs"
    fc_init_std: float = 0.01
    zero_init_final_bn: bool = True
    group_size: int | None = None
    frozen_norm: bool = False
    folded: bool = False
    remat: Sequence[str] = ()
    mean: Triple = (0.45, 0.45, 0.45)
    std: Triple = (0.225, 0.225, 0.225)
    dtype: jnp.dtype = jnp.float32
    dtypes: Sequence[str] = ()

    parts = PARTS
    layer_of = staticmethod(layer_of)

    @nn.compact
    @in_dtypes
    def __call__(
        self, clip: jax.Array, boxes: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Endpoints]:
        conv_norm = ConvNorm(
            train=train and not self.frozen_norm, group_size=self.group_size, folded=self.folded
        )
        widths = (self.width, self.width // self.beta)
        depths = (self.depth, self.depth) if isinstance(self.depth, int) else self.depth
        stages = [table_row(DEPTHS, "depth", d) for d in depths]
        remat = remat_table(
            self.remat, [f"{p}_res{i}" for p in ("slow", "fast") for i in range(2, 6)]
        )
        out: Endpoints = {}

        index = slow_frame_indices(clip.shape[1], self.alpha, self.slow_frames)
        fast = normalize(clip, self.mean, self.std, jnp.float32 if self.dtypes else self.dtype)
        slow = fast[:, index]
        packed = self._packed_frames(clip.shape[1])
        norms = (conv_norm, conv_norm.packed(packed))  # of the pathways
        slow = out["slow_stem"] = Stem(widths[0], SLOW_KERNELS[0][0], norms[0], name="slow_stem")(
            slow
        )
        fast = Stem(widths[1], FAST_KERNELS[0][0], norms[1], name="fast_stem")(pack(fast, packed))
        out["fast_stem"] = unpack(fast, packed)
        for i in range(4):
            slow = out[f"lateral{i + 1}"] = Lateral(
                fast.shape[-1] // packed * self.fusion_ratio, self.fusion_kernel, self.alpha,
                norms[1], norm=self.lateral_norm, name=f"lateral{i + 1}",
            )(slow, fast)
            pathways = []
            for p, (x, prefix, kernels) in enumerate(
                ((slow, "slow", SLOW_KERNELS), (fast, "fast", FAST_KERNELS))
            ):
                stage = make_stage(
                    self, i, stages[p][i], kernels[i + 1], self.num_block_temp_kernel[p][i],
                    norms[p], width=widths[p], groups=self.groups, stride_1x1=False,
                    nonlocal_blocks=self.nonlocal_blocks[p][i],
                    nonlocal_pool=self.nonlocal_pool[p][i],
                    nonlocal_group=self.nonlocal_group[p][i],
                    remat=remat[f"{prefix}_res{i + 2}"], name=f"{prefix}_res{i + 2}",
                )
                pathways.append(run_stage(stage, x, out))
            slow, fast = pathways

        frames = [self.num_frames // self.alpha, self.num_frames]
        logits, head = run_head(self, [slow, unpack(fast, packed)], frames, boxes, train)
        return logits, out | head

    def _packed_frames(self, frames: int) -> int:
        """How many frames of the fast pathway lie side by side in the channels of its maps."""
        if self.groups > 1 or any(self.nonlocal_blocks[1]) or frames % self.alpha:
            return 1
        return frames_to_pack(4 * self.width // self.beta, self.alpha)  # res2's width


def slow_frame_indices(frames: int, alpha: int, how: str = "linspace") -> np.ndarray:
    """Which frames of the fast clip the slow pathway sees: `frames // alpha` integers."""
    count = frames // alpha
    if count < 1:
        raise ValueError(f"a clip of {frames} frames has no slow frame at alpha = {alpha}")
    if how == "linspace":
        return np.linspace(0, frames - 1, count).astype(np.int32)
    if how == "stride":
        return np.arange(count, dtype=np.int32) * alpha
    raise ValueError(f"slow_frames is 'linspace' or 'stride', not {how!r}")
