"""Published vision transformers: rows of the zoo, whose `__init__` says what an entry is.

`ROWS[name]` is (network class, its keywords, name of the list of classes, protocol).
"""

from collections.abc import Sequence
from typing import Any

from slowfast_jax.models.mvit import MViT
from slowfast_jax.models.reversible import RevMViT

Row = tuple[type, dict[str, Any], str, dict[str, Any]]

IMAGENET_COLORS = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
IMAGE_PROTOCOL = dict(num_frames=1, test_crop=224, clips=1, crops=1, **IMAGENET_COLORS)
IMAGE_PATCHES = dict(patch_kernel=(1, 7, 7), patch_stride=(1, 4, 4), patch_padding=(0, 3, 3))
# Blocks at which the later three stages start: the width and the heads double, and queries are
# pooled.
TINY, SMALL, BASE, LARGE = (1, 3, 8), (1, 3, 14), (2, 5, 21), (2, 8, 44)


def multiscale(depth: int, stages: Sequence[int], **model: Any) -> dict[str, Any]:
    """Keywords that MViT and MViTv2 share."""
    doubled = tuple((block, 2.0) for block in stages)
    return dict(
        depth=depth, dim_mul=doubled, head_mul=doubled,
        q_strides=tuple((block, 1, 2, 2) for block in stages),
    ) | model


def mvit(depth: int, stages: Sequence[int], **model: Any) -> dict[str, Any]:
    """Keywords of the MViT networks of Kinetics."""
    return multiscale(depth, stages, num_classes=400, adaptive_kv_stride=(1, 8, 8)) | model


def mvit2(depth: int, stages: Sequence[int], **model: Any) -> dict[str, Any]:
    """Keywords of the MViTv2 networks of videos."""
    strides = tuple((i, 1, 2, 2) if i in stages else (i, 1, 1, 1) for i in range(depth))
    return mvit(depth, stages) | dict(
        q_strides=strides, pool_kernel=(3, 3, 3), residual_pooling=True, dim_mul_in_att=True,
        abs_pos="none", rel_pos_space=True, rel_pos_time=True,
    ) | model


def image_mvit2(depth: int, stages: Sequence[int], drop_path: float) -> Row:
    """A row of an MViTv2 network of ImageNet."""
    model = mvit2(
        depth, stages, num_classes=1000, dropout=0.0, drop_path=drop_path, class_token=False,
        pool_kernel=(1, 3, 3), adaptive_kv_stride=(1, 4, 4), rel_pos_time=False, **IMAGE_PATCHES,
    )
    return MViT, model, "", IMAGE_PROTOCOL


def image_rev_vit(width: int, heads: int, drop_path: float, stage_fusion: str) -> Row:
    """A row of a Rev-ViT of ImageNet: 12 blocks on patches of 16 x 16 pixels."""
    model = dict(
        num_classes=1000, dropout=0.0, depth=12, width=width, heads=heads, drop_path=drop_path,
        patch_kernel=(1, 16, 16), patch_stride=(1, 16, 16), patch_padding=(0, 0, 0),
        abs_pos="joint", separate_qkv=True, stage_fusion=stage_fusion,
    )
    return RevMViT, model, "", IMAGE_PROTOCOL


def video(model: dict[str, Any], frames: int, rate: int, **protocol: Any) -> Row:
    """A row of Kinetics-400: 5 clips and 1 crop."""
    shared = dict(num_frames=frames, sampling_rate=rate, test_crop=224, clips=5, crops=1)
    return MViT, model, "kinetics400", shared | dict(offset_sampling=True) | protocol


def ssv2(model: dict[str, Any], frames: int, rate: int, **protocol: Any) -> Row:
    """A row of Something-Something v2: 1 clip and 3 crops."""
    shared = dict(num_frames=frames, sampling_rate=rate, test_crop=224, clips=1, crops=3)
    return MViT, model | dict(num_classes=174), "ssv2", shared | protocol


LARGE_MODEL = mvit2(48, LARGE, width=144, heads=2, drop_path=0.75)
LARGE_PROTOCOL = dict(train_crop=312, test_crop=312, **IMAGENET_COLORS)
IMAGE_MVIT = mvit(
    16, SMALL, num_classes=1000, dropout=0.0, drop_path=0.1, pool_kernel=(1, 3, 3),
    adaptive_kv_stride=(1, 4, 4), abs_pos="joint", **IMAGE_PATCHES,
)

ROWS: dict[str, Row] = {
    "kinetics/mvit_b_16x4_conv": video(
        mvit(16, SMALL, drop_path=0.2, pool_kernel=(3, 3, 3)), 16, 4
    ),
    # Its recipe has no kernel: that of a pooling is its stride + 1.
    "kinetics/mvit_b_32x3_conv": video(mvit(24, BASE, drop_path=0.3), 32, 3),
    "kinetics/mvitv2_s_16x4": video(mvit2(16, SMALL, drop_path=0.2), 16, 4),
    "kinetics/mvitv2_b_32x3": video(mvit2(24, BASE, drop_path=0.3), 32, 3),
    "kinetics/mvitv2_l_40x3": video(LARGE_MODEL, 40, 3, crops=3, **LARGE_PROTOCOL),
    "ssv2/mvitv2_s_16x4": ssv2(mvit2(16, SMALL, drop_path=0.4), 16, 4),
    "ssv2/mvitv2_b_32x3": ssv2(mvit2(24, BASE, drop_path=0.4), 32, 3),
    "ssv2/mvitv2_l_40x3": ssv2(LARGE_MODEL, 40, 3, **LARGE_PROTOCOL),
    "imagenet/mvit_b_16_conv": (MViT, IMAGE_MVIT, "", IMAGE_PROTOCOL),
    "imagenet/mvitv2_t": image_mvit2(10, TINY, drop_path=0.1),
    "imagenet/mvitv2_s": image_mvit2(16, SMALL, drop_path=0.1),
    "imagenet/mvitv2_b": image_mvit2(24, BASE, drop_path=0.3),
    "kinetics/rev_mvit_b_16x4_conv": (
        RevMViT,
        mvit(
            16, SMALL, drop_path=0.05, pool_kernel=(3, 3, 3), qkv_bias=False, transitions=SMALL
        ),
        "kinetics400", dict(num_frames=16, sampling_rate=4, test_crop=224, clips=5, crops=1),
    ),
    "imagenet/rev_vit_s": image_rev_vit(384, 6, drop_path=0.1, stage_fusion="avg"),
    "imagenet/rev_vit_b": image_rev_vit(768, 12, drop_path=0.2, stage_fusion="concat"),
    "imagenet/rev_mvit_b_16_conv": (
        RevMViT,
        IMAGE_MVIT | dict(separate_qkv=True, transitions=SMALL, stage_fusion="concat_linear_2"),
        "", IMAGE_PROTOCOL,
    ),
    # PyTorchVideo's network of ImageNet has a position of the time, too
    "imagenet/mvit_b_16_conv_pytorchvideo": (
        MViT, IMAGE_MVIT | dict(abs_pos="separate"), "", IMAGE_PROTOCOL
    ),
}
