"""Kinetics-400 by PyTorchVideo: its networks, trained with PySlowFast's program.

    python -m slowfast_jax.main --config pytorchvideo/slow_8x8_r50 --mode eval \\
        --config.data.root=LISTS --weights published
    python -m configs.pytorchvideo      lists the variants

LISTS is as for kinetics.py, whose networks these are. The recipes are those of PySlowFast's files
configs/Kinetics/pytorchvideo. The same for Something-Something v2 and Charades is in ssv2.py and
charades.py. Scores are the softmax of logits that are averaged over positions, as in
PyTorchVideo's hub models (except r2plus1d_16x4_r50, which averages probabilities there, too);
PySlowFast averages probabilities.

Published results in percent, of *released weights* (validation set, 10 clips x 3 crops; mvit_b_16x4
5 clips x 1 crop), from PyTorchVideo's docs/source/model_zoo.md:

    variant                  top-1  top-5
    c2d_8x8_r50              71.46  89.68
    i3d_8x8_r50              73.27  90.70
    slow_4x16_r50            72.40  90.18
    slow_8x8_r50             74.58  91.63
    slowfast_4x16_r50        75.34  91.89
    slowfast_8x8_r50         76.94  92.69
    slowfast_8x8_r101        77.90  93.27
    slowfast_16x8_r101_50_50 78.70  93.61
    x3d_xs                   69.12  88.63
    x3d_s                    73.33  91.27
    x3d_m                    75.94  92.72
    x3d_l                    77.44  93.31
    csn_32x2_r101            77.00  92.90
    r2plus1d_16x4_r50        76.01  92.23
    mvit_b_16x4              78.85  93.85
"""

from collections.abc import Sequence

from ml_collections import ConfigDict

from configs import common, kinetics
from configs.common import Part, Variants

DEFAULT = "slowfast_8x8_r50"
LOGITS: Part = {"model": {"average": "logits"}}
LARGE: Part = {"train": {"eval_period": 2, "checkpoint_period": 10}}


def _result(file: str, top1: float, top5: float, views: str = "10x3") -> Part:
    return common.pytorchvideo(f"kinetics/{file}.pyth", views, top1=top1, top5=top5)


def _resnet(name: str, file: str, top1: float, top5: float) -> Sequence[Part]:
    return (
        common.network(f"kinetics/{name}"), kinetics.COSINE, LOGITS,
        {"schedule": {"reference_batch": 64}}, _result(file, top1, top5),
    )


def _x3d(name: str, file: str, top1: float, top5: float) -> Sequence[Part]:
    return (*kinetics.VARIANTS[name], LOGITS, _result(file, top1, top5))


VARIANTS: Variants = {
    "c2d_8x8_r50": _resnet("c2d_8x8_r50", "C2D_8x8_R50", 71.46, 89.68),
    "i3d_8x8_r50": _resnet("i3d_8x8_r50", "I3D_8x8_R50", 73.27, 90.70),
    "slow_4x16_r50": _resnet("slow_4x16_r50", "SLOW_4x16_R50", 72.40, 90.18),
    "slow_8x8_r50": _resnet("slow_8x8_r50", "SLOW_8x8_R50", 74.58, 91.63),
    "slowfast_4x16_r50": _resnet("slowfast_4x16_r50", "SLOWFAST_4x16_R50", 75.34, 91.89),
    "slowfast_8x8_r50": _resnet("slowfast_8x8_r50", "SLOWFAST_8x8_R50", 76.94, 92.69),
    "slowfast_8x8_r101": (
        *_resnet("slowfast_8x8_r101_101_101", "SLOWFAST_8x8_R101", 77.90, 93.27), LARGE,
    ),
    "slowfast_16x8_r101_50_50": (
        *_resnet("slowfast_16x8_r101_50_50", "SLOWFAST_16x8_R101_50_50", 78.70, 93.61), LARGE,
        {"data": {"jitter": (256, 360)}},
    ),
    "x3d_xs": _x3d("x3d_xs", "X3D_XS", 69.12, 88.63),
    "x3d_s": _x3d("x3d_s", "X3D_S", 73.33, 91.27),
    "x3d_m": _x3d("x3d_m", "X3D_M", 75.94, 92.72),
    "x3d_l": (*_x3d("x3d_l", "X3D_L", 77.44, 93.31), {"train": {"eval_period": 2}}),
    "csn_32x2_r101": kinetics.VARIANTS["csn_32x2_r101"],
    "r2plus1d_16x4_r50": kinetics.VARIANTS["r2plus1d_16x4_r50"],
    "mvit_b_16x4": (
        *kinetics.VARIANTS["mvit_b_16x4_conv"], _result("MVIT_B_16x4", 78.85, 93.85, "5x1"),
    ),
}


def get_config(variant: str = "") -> ConfigDict:
    """The recipe of a variant, by default of DEFAULT; ValueError for one that does not exist."""
    variant = variant or DEFAULT
    parts = common.lookup(VARIANTS, variant, "pytorchvideo")
    base = common.base(data={"format": "kinetics"}, class_names="kinetics400")
    return common.recipe(f"pytorchvideo/{variant}", base, {"test": {"batch_size": 64}}, *parts)


if __name__ == "__main__":
    common.print_variants(VARIANTS)
