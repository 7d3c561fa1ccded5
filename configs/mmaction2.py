"""MMAction2's recipes: SlowFast and SlowOnly on Kinetics and AVA, and fine-tuning.

    python -m slowfast_jax.main --config mmaction2/slowfast_4x16_r50 --workdir RUN \\
        --config.data.root=LISTS --config.data.path_prefix=VIDEOS
    python -m slowfast_jax.main --config mmaction2/ava_slowfast_8x8_r50_temporal_max_focal \\
        --workdir RUN --config.data.root=AVA \\
        --config.train.init_from.path=slowfast_r50_8x8x1_256e_kinetics400_rgb_20200716-73547d2b.pth
    python -m slowfast_jax.main --config mmaction2/slowonly_8x8_r50_finetune --workdir RUN \\
        --config.data.root=LISTS --config.train.init_from.path=FILE.pth
    python -m configs.mmaction2      lists the variants

LISTS is a folder with train.csv, val.csv and test.csv; for your own videos (`..._finetune`), also
with classes.txt. FILE.pth is a checkpoint of MMAction2; docs/model_zoo.md has the addresses. AVA is
the folder of configs/ava.py.

Published results in percent, of the weights that MMAction2 1.2 releases. On Kinetics, with the mean
probabilities of 10 clips x 3 crops of 256 pixels:

    variant                                          top-1  top-5
    slowfast_4x16_r50                                75.55  92.35
    slowfast_8x8_r50                                 76.80  92.99
    slowfast_8x8_r50_steplr                          76.65  92.86
    slowfast_4x16_r101                               77.03  92.99
    slowfast_8x8_r101                                78.65  93.88
    slowonly_4x16_r50                                72.97  90.88
    slowonly_8x8_r50                                 75.15  92.11
    slowonly_8x8_r101                                76.59  92.80
    slowonly_4x16_r50_in1k                           75.12  91.72
    slowonly_8x8_r50_in1k                            76.45  92.55
    slowonly_nl_4x16_r50                             75.07  91.69  from ImageNet, as _in1k
    slowonly_nl_8x8_r50                              76.65  92.47  "
    slowonly_4x16_r50_k700                           65.52  86.39  ", Kinetics-700
    slowonly_8x8_r50_k700                            67.67  87.80  "
    slowonly_8x8_r50_k710                            72.39  90.60  ", Kinetics-710

Those that start from ImageNet need torchvision's resnet50-11ad3fa6.pth. The lists for Kinetics-710
are those of Kinetics-400, 600 and 700 together, with MMAction2's numbers of the 710 classes.

Frame-mAP on AVA's validation set, whole frames, detected boxes:

    variant                                          mAP    AVA
    ava_slowfast_4x16_r50                            24.32  2.1
    ava_slowfast_4x16_r50_context                    25.34  2.1
    ava_slowfast_8x8_r50                             25.80  2.1
    ava_slowfast_8x8_r50_v2.2                        25.90  2.2
    ava_slowfast_8x8_r50_temporal_max                26.41  2.2
    ava_slowfast_8x8_r50_temporal_max_focal          26.65  2.2
    ava_slowonly_4x16_r50                            20.72  2.1
    ava_slowonly_4x16_r50_k700                       22.77  2.1
    ava_slowonly_nl_4x16_r50                         21.55  2.1
    ava_slowonly_nl_8x8_r50                          23.77  2.1
    ava_slowonly_8x8_r101                            24.83  2.1
    ava_kinetics_slowonly_4x16_r50                   24.53  2.2, trained on AVA-Kinetics
    ava_kinetics_slowonly_4x16_r50_k700              25.87  "
    ava_slowonly_8x8_r50                             26.10  "
    ava_slowonly_8x8_r50_k700                        27.82  "
    ava_slowonly_8x8_r50_context                     28.31  "
    ava_slowonly_8x8_r50_context_temporal_max        28.48  "
    ava_slowonly_8x8_r50_nl_head                     29.83  "
    ava_slowonly_8x8_r50_nl_head_focal               30.33  "
    ava_slowonly_16x4_r50_tricks                     31.29  "

To train on AVA-Kinetics, add --config.data.kinetics_dir=CLIPS; validation then covers the clips of
Kinetics, too. Without it, these variants train on AVA alone.

What differs from MMAction2 on AVA: it gives the boxes of a detector the actions of the annotated
boxes that they overlap (IoU 0.9), and trains on at most 32 boxes per keyframe. Here, actions of
detected boxes come from a table: for AVA 2.1 that of Long-Term Feature Banks, which has the same
boxes, and for AVA 2.2 PySlowFast's, which has those of another detector. Dropout follows the
pooling of a box's features instead of preceding it. On Kinetics: its files of slowonly_nl_* inherit
256 epochs, although their names and their learning rates end at 150, as the recipes do.
"""

from collections.abc import Sequence

from ml_collections import ConfigDict

from configs import ava, common
from configs.common import Part, Variants
from slowfast_jax import published
from slowfast_jax.models import zoo

DEFAULT = "slowonly_4x16_r50_finetune"
URL = "https://download.openmmlab.com/mmaction/"


def _result(name: str) -> Part:
    """The figures of the published checkpoint mmaction2/NAME."""
    row = published.find(f"mmaction2/{name}")
    fields = {"top1_acc": "top1", "top5_acc": "top5", "map": "mean_ap"}
    figures = {fields[metric]: float(figure) for metric, figure in row.figures.items()}
    return common.published(
        row.source, f"{row.clips}x{row.crops}", weights=row.address, note=row.note, **figures
    )


def _slowfast(name: str, *parts: Part, network: str = "") -> tuple[str, Sequence[Part]]:
    """The variant of a SlowFast network on Kinetics-400.

    Args:
      name: of the variant and its published checkpoint.
      parts: what differs from the recipe of 4x16.
      network: its zoo entry, if it is not mmaction2/NAME.
    """
    return name, (
        common.network(network or f"mmaction2/{name}"),
        common.cosine(0.1, epochs=256, warmup_epochs=34.0, style="mmaction2"),
        common.mmaction2_classifier(), *parts, _result(name),
    )


def _slowonly(name: str, *parts: Part, network: str = "") -> tuple[str, Sequence[Part]]:
    """The variant of a SlowOnly network on Kinetics, on 8 GPUs with 16 clips each.

    Args:
      name: of the variant and its published checkpoint.
      parts: the schedule, and what differs otherwise.
      network: its zoo entry, if it is not mmaction2/NAME.
    """
    return name, (
        common.network(network or f"mmaction2/{name}"),
        common.mmaction2_classifier("mmaction2_v0"), _gpus(128), *parts, _result(name),
    )


def _from_nothing(epochs: int) -> Part:
    """A cosine after 34 epochs of warm-up."""
    return common.cosine(
        0.2, epochs=epochs, warmup_epochs=34.0, warmup_start_lr=0.02, cosine_after_warmup=True,
        style="mmengine",
    )


def _from_imagenet(rate: float, *skip: str) -> Sequence[Part]:
    """150 epochs, 10 of which warm up; MMAction2 counts the steps at 90 and 130 from there.

    Args:
      rate: the learning rate.
      skip: regular expressions of parameters that ResNet-50 lacks.
    """
    start = published.find("torchvision/resnet50_v2")
    return (
        common.steps(
            rate, epochs=150, at=(0, 100, 140), warmup_epochs=10.0, warmup_start_lr=rate / 10,
            style="mmengine",
        ),
        common.pretrained(start.file, "head/.*", *skip, url=start.address),
    )


def _gpus(batch_size: int, count: int = 8) -> Part:
    """The batch of several GPUs, each of which has its own batch statistics."""
    return {"train": {"batch_size": batch_size}, "norm": {"group_size": batch_size // count}}


VERSION_2_1: Part = {
    "data": ava.VERSION_2_1["data"] | {"train_box_lists": ("ava_train_predicted_boxes.csv",)}
}


def _steps(rate: float, batch_size: int) -> Sequence[Part]:
    """20 epochs on AVA 2.1, of which 5 warm up."""
    return (
        common.steps(
            rate, epochs=20, at=(0, 10, 15), warmup_epochs=5.0, warmup_start_lr=rate / 10,
            style="mmengine",
        ),
        _gpus(batch_size), VERSION_2_1,
    )


def _cosine(rate: float, batch_size: int) -> Sequence[Part]:
    """10 epochs on AVA 2.2, of which 2 warm up."""
    return (
        common.cosine(
            rate, epochs=10, warmup_epochs=2.0, warmup_start_lr=rate / 10,
            cosine_after_warmup=True,
        ),
        _gpus(batch_size),
    )


AVA: Sequence[Part] = (
    common.mmaction2(1e-5),
    {
        "data": {
            "multi_label": True,
            "inverse_uniform_jitter": False,
            "test_box_lists": published.FAIR_BOXES["data.test_box_lists"],
            "train_box_lists": (
                "person_box_67091280_iou90/"
                "ava_detection_train_boxes_and_labels_include_negative_v2.2.csv",
            ),
            "full_test_on_val": True,
        },
        "protocol": {"train_crop": 256},
        "train": {"eval_period": 1},
    },
)
LARGE, SMALL, COSINE = _steps(0.2, 128), _steps(0.1, 64), _cosine(0.1, 64)
COSINE_48 = _cosine(0.075, 48)
NONLOCAL = {
    "nonlocal_blocks": ((), (0, 2), (0, 2, 4), ()), "nonlocal_mode": "softmax",
    "nonlocal_pool_first": False,
}
IN1K, IN1K_256 = _from_imagenet(0.02), _from_imagenet(0.04)
IN1K_NONLOCAL = _from_imagenet(0.01, "res./nonlocal.*")
K700: Sequence[Part] = (
    *IN1K_256, _gpus(256, count=16), {"class_names": "kinetics700", "model": {"num_classes": 700}},
)
K710: Sequence[Part] = (
    *IN1K_256, _gpus(256, count=32),
    {"class_names": "", "model": {"num_classes": 710}, "data": {"sampling": "mmaction2"}},
)
# Weights of Kinetics that training on AVA starts from.
SLOWFAST_4X16, SLOWFAST_8X8, K400_4X16, K400_8X8, K700_8X8, R101_8X8 = (
    published.find(f"mmaction2/{name}").address
    for name in (
        "v0.12_slowfast_4x16_r50_320p", "v0.12_slowfast_8x8_r50_320p", "slowonly_4x16_r50_in1k",
        "slowonly_8x8_r50_in1k", "slowonly_8x8_r50_k700", "v0.12_slowonly_8x8_r101",
    )
)
K700_4X16 = (
    f"{URL}v1.0/recognition/slowonly/"
    "slowonly_imagenet-pretrained-r50_8xb16-4x16x1-steplr-150e_kinetics700-rgb/"
    "slowonly_imagenet-pretrained-r50_16xb16-4x16x1-steplr-150e_kinetics700-rgb_20220901-"
    "f73b3e89.pth"
)
NONLOCAL_4X16, NONLOCAL_8X8 = (
    f"{URL}recognition/slowonly/slowonly_nl_embedded_gaussian_r50_{size}x1_150e_kinetics400_rgb/"
    f"slowonly_nl_embedded_gaussian_r50_{size}x1_150e_kinetics400_rgb_20210308-{digits}.pth"
    for size, digits in (("4x16", "0d6e5a69"), ("8x8", "e8dd9e82"))
)


def _ava(
    name: str, start: str, schedule: Sequence[Part], network: str = "", *,
    focal: tuple[float, ...] = (), **model,
) -> tuple[str, Sequence[Part]]:
    """The variant of a network on AVA.

    Args:
      name: of the variant and its published checkpoint, without "ava_".
      start: address of the weights that training starts from.
      schedule: parts of `_steps` or `_cosine`.
      network: the zoo entry mmaction2/ava_NETWORK, if it is not that of `name`.
      focal: config.train.focal.
      model: keywords of the network.
    """
    network = f"mmaction2/ava_{network or name}"
    name = f"ava_{name}"
    return name, (
        common.network(network, **model), *AVA, *schedule,
        common.pretrained(start.rpartition("/")[2], "head/.*", url=start),
        {"train": {"focal": focal}}, _result(name),
    )


HEAD = "context_temporal_max_nl_head"
VARIANTS: Variants = dict([
    _slowfast("slowfast_4x16_r50"),
    _slowfast("slowfast_8x8_r50"),
    _slowfast(
        "slowfast_8x8_r50_steplr",
        common.steps(0.1, epochs=256, at=(0, 94, 154, 196), warmup_epochs=34.0),
    ),
    _slowfast(
        "slowfast_4x16_r101", _gpus(256, count=32),
        {"schedule": {"base_lr": 0.4, "warmup_start_lr": 0.04}},
        network="kinetics/slowfast_4x16_r101",
    ),
    _slowfast("slowfast_8x8_r101", network="kinetics/slowfast_8x8_r101"),
    _slowonly("slowonly_4x16_r50", _from_nothing(256)),
    _slowonly("slowonly_8x8_r50", _from_nothing(256)),
    _slowonly("slowonly_8x8_r101", _from_nothing(196)),
    _slowonly("slowonly_4x16_r50_in1k", *IN1K, network="mmaction2/slowonly_4x16_r50"),
    _slowonly("slowonly_8x8_r50_in1k", *IN1K, network="mmaction2/slowonly_8x8_r50"),
    _slowonly("slowonly_nl_4x16_r50", *IN1K_NONLOCAL),
    _slowonly(
        "slowonly_nl_8x8_r50", *IN1K_NONLOCAL,
        {"protocol": {"num_frames": 8, "sampling_rate": 8}},
        network="mmaction2/slowonly_nl_4x16_r50",
    ),
    _slowonly("slowonly_4x16_r50_k700", *K700, network="mmaction2/slowonly_4x16_r50"),
    _slowonly("slowonly_8x8_r50_k700", *K700, network="mmaction2/slowonly_8x8_r50"),
    _slowonly("slowonly_8x8_r50_k710", *K710, network="mmaction2/slowonly_8x8_r50"),
    _ava("slowfast_4x16_r50", SLOWFAST_4X16, LARGE),
    _ava("slowfast_4x16_r50_context", SLOWFAST_4X16, LARGE),
    _ava("slowfast_8x8_r50", SLOWFAST_8X8, SMALL),
    _ava("slowfast_8x8_r50_v2.2", SLOWFAST_8X8, COSINE_48, "slowfast_8x8_r50"),
    _ava("slowfast_8x8_r50_temporal_max", SLOWFAST_8X8, COSINE_48),
    _ava(
        "slowfast_8x8_r50_temporal_max_focal", SLOWFAST_8X8, COSINE_48,
        "slowfast_8x8_r50_temporal_max", focal=(3.0, 1.0),
    ),
    _ava("slowonly_4x16_r50", K400_4X16, LARGE),
    _ava("slowonly_4x16_r50_k700", K700_4X16, LARGE, "slowonly_4x16_r50"),
    _ava("slowonly_nl_4x16_r50", NONLOCAL_4X16, LARGE, "slowonly_4x16_r50", **NONLOCAL),
    _ava("slowonly_nl_8x8_r50", NONLOCAL_8X8, LARGE, "slowonly_8x8_r50", **NONLOCAL),
    _ava("slowonly_8x8_r101", R101_8X8, LARGE),
    _ava("kinetics_slowonly_4x16_r50", K400_4X16, COSINE, "slowonly_4x16_r50"),
    _ava("kinetics_slowonly_4x16_r50_k700", K700_8X8, COSINE, "slowonly_4x16_r50"),
    _ava("slowonly_8x8_r50", K400_8X8, COSINE),
    _ava("slowonly_8x8_r50_k700", K700_8X8, COSINE, "slowonly_8x8_r50"),
    _ava("slowonly_8x8_r50_context", K700_8X8, COSINE),
    _ava("slowonly_8x8_r50_context_temporal_max", K700_8X8, COSINE),
    _ava("slowonly_8x8_r50_nl_head", K700_8X8, COSINE, f"slowonly_8x8_r50_{HEAD}"),
    _ava(
        "slowonly_8x8_r50_nl_head_focal", K700_8X8, COSINE, f"slowonly_8x8_r50_{HEAD}",
        focal=(1.0, 1.0),
    ),
    _ava(
        "slowonly_16x4_r50_tricks", K700_8X8, COSINE, f"slowonly_16x4_r50_{HEAD}",
        focal=(1.0, 1.0),
    ),
])
VARIANTS |= common.finetuned_variants(
    (name for name in zoo.classifiers() if name.startswith("mmaction2/")), {}
)


def get_config(variant: str = "") -> ConfigDict:
    """The recipe of a variant, by default of DEFAULT; ValueError for one that does not exist."""
    variant = variant or DEFAULT
    parts = common.lookup(VARIANTS, variant, "mmaction2")
    if variant.startswith("ava_"):
        base = common.base(
            data=ava.DATA, task="detection", class_names="ava", loss="bce_positive_rows"
        )
    else:
        base = common.base(data={"format": "kinetics"}, class_names="kinetics400")
    return common.recipe(f"mmaction2/{variant}", base, *parts)


if __name__ == "__main__":
    common.print_variants(VARIANTS)
