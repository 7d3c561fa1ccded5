"""Kinetics-400: C2D, I3D, Slow, SlowFast, X3D, CSN, R(2+1)D, MViT and Rev-MViT.

    python -m slowfast_jax.main --config configs/kinetics.py:slowfast_8x8_r50 --workdir DIR \\
        --mode eval --config.data.root=LISTS --config.test.checkpoint=SLOWFAST_8x8_R50.pkl
    python -m slowfast_jax.main --config configs/kinetics.py:mini --workdir DIR
    python -m configs.kinetics      lists the variants

LISTS is a folder with train.csv, val.csv and test.csv; each line is `path label`. Variants `c2_...`
test weights that were trained with Caffe2, and cannot be trained. Variants `..._in1k` start from an
ImageNet ResNet-50 (R50_IN1K.pyth). Variants `..._finetune` start from the published weights of the
network, and are for your own videos:

    python -m slowfast_jax.main --config kinetics/x3d_xs_finetune --config.data.root=LISTS \\
        --workdir RUN

Published results in percent, on the validation set with 10 clips x 3 crops of protocol.test_crop,
or with 5 clips x 1 crop for the transformers.
They were measured by the authors of the *released weights* on their copy of the videos; none comes
from training with this program.

    variant                              top-1  top-5   source
    c2_c2d_nopool_8x8_r50                 67.2   87.8   PySlowFast MODEL_ZOO.md
    c2_i3d_8x8_r50                        73.5   90.8   "
    c2_i3d_nln_8x8_r50                    74.0   91.1   "
    c2_slow_4x16_r50                      72.7   90.3   "
    c2_slow_8x8_r50                       74.8   91.6   "
    c2_slowfast_4x16_r50                  75.6   92.0   "
    c2_slowfast_8x8_r50                   77.0   92.6   "
    slowfast_8x8_r50_stepwise             76.8   92.7   "
    slowfast_8x8_r50_stepwise_multigrid   76.6   92.7   " (crops of 224)
    x3d_xs                                69.5          " (68.7 with one crop: 10 x 1)
    x3d_s                                 73.5          " (73.1)
    x3d_m                                 76.2          " (75.1)
    x3d_l                                 77.5          " (76.9)
    slowfast_4x16_r101                    76.69  93.07  MMAction2 v0.12, its slowfast/README.md
    slowfast_8x8_r101                     77.90  93.51  "
    slowfast_4x16_r152                    77.13  93.20  "
    csn_32x2_r101                         77.00  92.90  PyTorchVideo docs/source/model_zoo.md
    r2plus1d_16x4_r50                     76.01  92.23  "
    mvit_b_16x4_conv                      78.4   93.5   PySlowFast MODEL_ZOO.md
    mvit_b_32x3_conv                      80.4   94.8   "
    mvitv2_s_16x4                         81.0   94.6   PySlowFast projects/mvitv2/README.md
    mvitv2_b_32x3                         82.9   95.7   "
    mvitv2_l_40x3_test                    86.1   97.0   " (5 x 3 crops of 312)
    rev_mvit_b_16x4_conv                  78.4   93.4   PySlowFast projects/rev/README.md

No results are published for the other variants. slowfast_4x16_r101, slowfast_8x8_r101 and those of
r152 follow MMAction2's recipe: 256 epochs, random resized crops, gradients clipped to a norm of 40,
weight decay on every parameter. They sample frames as MMAction2 did then; configs/mmaction2.py has
its present recipes.

The transformers train on two differently augmented copies of each clip; train.batch_size counts
clips, and the rates are for the 16 of one machine with 8 GPUs. PySlowFast's files of
mvit_b_16x4_conv and mvit_b_32x3_conv test 10 clips; the published results are of 5, as here.
Nobody published how mvitv2_l_40x3_test was trained. `mini_mvit` and `mini_rev_mvit` are a tiny
MViTv2 and Rev-MViT, trained like them on generated videos, which are too few to learn from.
"""

from collections.abc import Sequence

from ml_collections import ConfigDict

from configs import common
from configs.common import Part, Variants
from slowfast_jax.models import zoo

DEFAULT = "slowfast_8x8_r50"
ZOO_URL = "https://dl.fbaipublicfiles.com/pyslowfast/"
MULTIGRID_URL = ZOO_URL + "pyslowfast/model_zoo/multigrid/model_zoo/Kinetics/"
MMACTION_URL = "https://download.openmmlab.com/mmaction/recognition/slowfast/"


def _net(name: str, **keywords) -> Part:
    return common.network(f"kinetics/{name}", **keywords)


def _result(top1: float, top5: float | None, weights: str, **note: str) -> Part:
    values = {"top1": top1, "weights": weights, **note} | ({"top5": top5} if top5 else {})
    return common.published("PySlowFast MODEL_ZOO.md", "10x3", **values)


def _zoo(top1: float, top5: float, file: str) -> Part:
    return _result(top1, top5, f"{ZOO_URL}model_zoo/kinetics400/{file}.pkl")


COSINE = common.cosine(0.1, epochs=196, warmup_epochs=34.0)
STEPWISE = common.steps(0.1, epochs=239, at=(0, 94, 154, 196), warmup_epochs=34.0)
# The file holds the 2-D kernels of imagenet/res_r50. On loading they are inflated: repeated along
# time and divided by its length.
INFLATED = (
    common.steps(0.01, epochs=118, at=(0, 44, 88, 118), relative=(1.0, 0.1, 0.01, 0.001)),
    common.pretrained("R50_IN1K.pyth", "head/.*"),
)
INFLATED_NLN = (
    *INFLATED, common.pretrained("R50_IN1K.pyth", "head/.*", "res./nonlocal.*"),
)
CAFFE2 = (COSINE, common.TEST_ONLY)
# The original multiplies the rate by the number of machines.
FACTORIZED = (COSINE, {"schedule": {"reference_batch": 64}})


def _x3d(name: str, jitter: tuple[int, int], result: Part, *, large: bool = False) -> tuple:
    """16 clips per GPU, or 8 for the large network. Rates are for the batch of one machine with 8
    GPUs; the original multiplies both by the number of machines."""
    batch = 64 if large else 128
    return (
        _net(name),
        common.cosine(
            0.05 if large else 0.1,
            epochs=256 if large else 300,
            warmup_epochs=35.0,
            reference_batch=batch,
        ),
        {
            "data": {"jitter": jitter},
            "test": {"batch_size": batch // 2},
            "train": {"batch_size": batch, "checkpoint_period": 10},
            "optimizer": {"weight_decay": 5e-5},
            "norm": {"group_size": batch // 8},
        },
        result,
    )


def _x3d_result(file: str, top1: float, one_crop: float) -> Part:
    return _result(top1, None, f"{ZOO_URL}x3d_models/{file}.pyth", note=f"{one_crop} at 10x1")


MMACTION = (
    common.cosine(0.1, epochs=256, warmup_epochs=34.0, style="mmaction2"),
    common.mmaction2_classifier("mmaction2_v0"),
)


def _mmaction(top1: float, top5: float, file: str, note: str = "") -> Part:
    return common.published(
        "MMAction2 v0.12 configs/recognition/slowfast/README.md", "10x3",
        top1=top1, top5=top5, weights=MMACTION_URL + file, note=note,
    )


def _mvit(
    name: str, *result: Part, warmup_epochs: float = 30.0, weight_decay: float = 0.05,
    clip_norm: float = 1.0,
) -> Sequence[Part]:
    return (
        _net(name),
        common.cosine(
            0.0001, epochs=200, warmup_epochs=warmup_epochs, warmup_start_lr=1e-6, end_lr=1e-6,
            cosine_after_warmup=True,
        ),
        common.transformer(
            "rand-m7-n4-mstd0.5-inc1", 16, weight_decay, name="adamw", clip_norm=clip_norm
        ),
        {
            "data": {
                "jitter_scales_relative": (0.08, 1.0), "jitter_aspect_relative": (0.75, 1.3333),
            },
            "augment": {"num_samples": 2},
            "train": {"eval_period": 10, "checkpoint_period": 10},
        },
        *result,
    )


def _mvit_result(
    top1: float, top5: float, weights: str, source: str = "MODEL_ZOO.md", views: str = "5x1"
) -> Part:
    return common.published(
        f"PySlowFast {source}", views, top1=top1, top5=top5, weights=weights
    )


def _mvit2_result(top1: float, top5: float, file: str, views: str = "5x1") -> Part:
    folder = ZOO_URL + "model_zoo/mvitv2/pysf_video_models/"
    return _mvit_result(top1, top5, folder + file, "projects/mvitv2/README.md", views)


VARIANTS: Variants = {
    "c2d_8x8_r50": (_net("c2d_8x8_r50"), COSINE),
    "c2d_8x8_r50_in1k": (_net("c2d_8x8_r50"), *INFLATED),
    "c2d_nln_8x8_r50": (_net("c2d_nln_8x8_r50"), COSINE),
    "c2d_nln_8x8_r50_in1k": (_net("c2d_nln_8x8_r50"), *INFLATED_NLN),
    "i3d_8x8_r50": (_net("i3d_8x8_r50"), COSINE),
    "i3d_8x8_r50_in1k": (_net("i3d_8x8_r50"), *INFLATED),
    "i3d_8x8_r101": (_net("i3d_8x8_r101"), COSINE),
    "i3d_nln_8x8_r50": (_net("i3d_nln_8x8_r50"), COSINE),
    "i3d_nln_8x8_r50_in1k": (_net("i3d_nln_8x8_r50"), *INFLATED_NLN),
    "i3d_nln_8x8_r101": (_net("i3d_nln_8x8_r101"), COSINE),
    "slow_4x16_r50": (_net("slow_4x16_r50"), COSINE),
    "slow_8x8_r50": (_net("slow_8x8_r50"), COSINE),
    "slow_nln_4x16_r50": (_net("slow_nln_4x16_r50"), COSINE),
    "slow_nln_8x8_r50": (_net("slow_nln_8x8_r50"), COSINE),
    "slowfast_4x16_r50": (_net("slowfast_4x16_r50"), COSINE),
    "slowfast_8x8_r50": (_net("slowfast_8x8_r50"), COSINE),
    "slowfast_nln_4x16_r50": (_net("slowfast_nln_4x16_r50"), COSINE),
    "slowfast_nln_8x8_r50": (_net("slowfast_nln_8x8_r50"), COSINE),
    "slowfast_8x8_r50_stepwise": (
        _net("slowfast_8x8_r50"), STEPWISE,
        _result(76.8, 92.7, MULTIGRID_URL + "SLOWFAST_8x8_R50_stepwise.pkl"),
    ),
    "slowfast_8x8_r50_stepwise_multigrid": (
        _net("slowfast_8x8_r50"), STEPWISE, common.MULTIGRID, {"protocol": {"test_crop": 224}},
        _result(76.6, 92.7, MULTIGRID_URL + "SLOWFAST_8x8_R50_stepwise_multigrid.pkl"),
    ),
    # The original's YAML file names a network that it lacks. The weights belong to a C2D without
    # pooling over time.
    "c2_c2d_nopool_8x8_r50": (
        _net("c2d_nopool_8x8_r50"), *CAFFE2, _zoo(67.2, 87.8, "C2D_NOPOOL_8x8_R50")
    ),
    "c2_i3d_8x8_r50": (_net("i3d_8x8_r50"), *CAFFE2, _zoo(73.5, 90.8, "I3D_8x8_R50")),
    "c2_i3d_nln_8x8_r50": (
        _net("i3d_nln_8x8_r50"), *CAFFE2, _zoo(74.0, 91.1, "I3D_NLN_8x8_R50")
    ),
    "c2_slow_4x16_r50": (_net("slow_4x16_r50"), *CAFFE2, _zoo(72.7, 90.3, "SLOWONLY_4x16_R50")),
    "c2_slow_8x8_r50": (_net("slow_8x8_r50"), *CAFFE2, _zoo(74.8, 91.6, "SLOWONLY_8x8_R50")),
    "c2_slowfast_4x16_r50": (
        _net("slowfast_4x16_r50"), *CAFFE2, _zoo(75.6, 92.0, "SLOWFAST_4x16_R50")
    ),
    "c2_slowfast_8x8_r50": (
        _net("slowfast_8x8_r50"), *CAFFE2, _zoo(77.0, 92.6, "SLOWFAST_8x8_R50")
    ),
    "c2_slowfast_8x8_r101_50_50": (_net("slowfast_8x8_r101_50_50"), *CAFFE2),
    "c2_slowfast_8x8_r101_50_101": (_net("slowfast_8x8_r101_50_101"), *CAFFE2),
    "c2_slowfast_8x8_r101_101_101": (_net("slowfast_8x8_r101_101_101"), *CAFFE2),
    "c2_slowfast_16x8_r101_50_50": (_net("slowfast_16x8_r101_50_50"), *CAFFE2),
    "c2_slowfast_nln_16x8_r101_50_50": (_net("slowfast_nln_16x8_r101_50_50"), *CAFFE2),
    "x3d_xs": _x3d("x3d_xs", (182, 228), _x3d_result("x3d_xs", 69.5, 68.7)),
    "x3d_s": _x3d("x3d_s", (182, 228), _x3d_result("x3d_s", 73.5, 73.1)),
    "x3d_m": _x3d("x3d_m", (256, 320), _x3d_result("x3d_m", 76.2, 75.1)),
    "x3d_l": _x3d("x3d_l", (356, 446), _x3d_result("x3d_l", 77.5, 76.9), large=True),
    "csn_32x2_r101": (
        _net("csn_32x2_r101"), *FACTORIZED,
        common.pytorchvideo("kinetics/CSN_32x2_R101.pyth", "10x3", top1=77.00, top5=92.90),
    ),
    "r2plus1d_16x4_r50": (
        _net("r2plus1d_16x4_r50"), *FACTORIZED,
        common.pytorchvideo("kinetics/R2PLUS1D_16x4_R50.pyth", "10x3", top1=76.01, top5=92.23),
    ),
    "slowfast_4x16_r101": (
        _net("slowfast_4x16_r101"), *MMACTION,
        _mmaction(
            76.69, 93.07,
            "slowfast_r101_4x16x1_256e_kinetics400_rgb/"
            "slowfast_r101_4x16x1_256e_kinetics400_rgb_20210218-d8b58813.pth",
            "v1.x, 32 GPUs: 77.03 / 92.99",
        ),
    ),
    "slowfast_8x8_r101": (
        _net("slowfast_8x8_r101"), *MMACTION,
        _mmaction(
            77.90, 93.51,
            "slowfast_r101_8x8x1_256e_kinetics400_rgb/"
            "slowfast_r101_8x8x1_256e_kinetics400_rgb_20210218-0dd54025.pth",
            "trained on 32 GPUs; v1.x: 78.65 / 93.88",
        ),
    ),
    "mvit_b_16x4_conv": _mvit(
        "mvit_b_16x4_conv",
        _mvit_result(
            78.4, 93.5,
            "https://drive.google.com/uc?export=download&id=194gJinVejq6A1FmySNKQ8vAN5-FOY-QL",
        ),
    ),
    "mvit_b_32x3_conv": _mvit(
        "mvit_b_32x3_conv", _mvit_result(80.4, 94.8, ZOO_URL + "model_zoo/mvit/k400.pyth")
    ),
    "mvitv2_s_16x4": _mvit(
        "mvitv2_s_16x4", _mvit2_result(81.0, 94.6, "MViTv2_S_16x4_k400_f302660347.pyth")
    ),
    "mvitv2_b_32x3": _mvit(
        "mvitv2_b_32x3", _mvit2_result(82.9, 95.7, "MViTv2_B_32x3_k400_f304025456.pyth")
    ),
    "mvitv2_l_40x3_test": (
        _net("mvitv2_l_40x3"), common.cosine(0.1, epochs=300), common.TEST_ONLY,
        {"data": {"jitter": (356, 446)}, "test": {"batch_size": 8}},
        _mvit2_result(86.1, 97.0, "MViTv2_L_40x3_k400_f306903192.pyth", "5x3"),
    ),
    "rev_mvit_b_16x4_conv": _mvit(
        "rev_mvit_b_16x4_conv",
        _mvit_result(
            78.4, 93.4, ZOO_URL + "rev/REV_MVIT_B_16x4.pyth", "projects/rev/README.md"
        ),
        warmup_epochs=50.0, weight_decay=0.07, clip_norm=0.0,
    ),
    "slowfast_4x16_r152": (
        _net("slowfast_4x16_r152"), *MMACTION,
        _mmaction(
            77.13, 93.20,
            "slowfast_r152_4x16x1_256e_kinetics400_rgb/"
            "slowfast_r152_4x16x1_256e_kinetics400_rgb_20210122-bdeb6b87.pth",
        ),
    ),
    # Nobody published weights or results of 8x8.
    "slowfast_8x8_r152": (_net("slowfast_8x8_r152"), *MMACTION),
    "mini": (_net("mini"), COSINE, common.mini("kinetics_mini")),
    "mini_mvit": (
        *_mvit("mvitv2_s_16x4"), *common.mini_mvit("kinetics_mini", epochs=10),
        {"protocol": {"num_frames": 8, "clips": 2}},
    ),
    "mini_rev_mvit": (
        *_mvit("rev_mvit_b_16x4_conv"),
        *common.mini_mvit("kinetics_mini", epochs=10, depth=4, transitions=(1, 2)),
        {"protocol": {"num_frames": 8, "clips": 2}},
    ),
    # The same training without multigrid: --noconfig.multigrid.long_cycle
    "mini_multigrid": (
        _net("mini", dropout=0.2), common.mini("kinetics_mini_large"), common.MULTIGRID,
        common.steps(0.001, epochs=24, at=(0, 18), warmup_epochs=1.0, warmup_start_lr=0.0003),
        {
            "protocol": {
                "num_frames": 16, "sampling_rate": 2, "train_crop": 96, "test_crop": 96,
            },
            "data": {"jitter": (96, 120)},
            "train": {"eval_period": 4},
            "optimizer": {"name": "adamw", "weight_decay": 0.01, "clip_norm": 1.0},
            "multigrid": {
                # Each shape is compiled, so more shapes would cost more time than they save.
                "short_cycle": False,
                "long_cycle_factors": ((0.25, 0.5**0.5), (0.5, 0.5**0.5), (1.0, 1.0)),
                "epoch_factor": 1.0,
                "norm_group_size": 8,
                "evaluations_per_phase": 1,
                "split_norm_decay": False,  # as measured in docs/performance.md
            },
        },
    ),
}
VARIANTS |= common.finetuned_variants(
    (name for name in zoo.classifiers() if name.startswith("kinetics/")), VARIANTS
)


def get_config(variant: str = "") -> ConfigDict:
    """The recipe of a variant, by default of DEFAULT; ValueError for one that does not exist."""
    variant = variant or DEFAULT
    parts = common.lookup(VARIANTS, variant, "kinetics")
    base = common.base(data={"format": "kinetics"}, class_names="kinetics400")
    return common.recipe(f"kinetics/{variant}", base, {"test": {"batch_size": 64}}, *parts)


if __name__ == "__main__":
    common.print_variants(VARIANTS)
