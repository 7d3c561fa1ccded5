"""ImageNet-1k: MViT, MViTv2, Rev-ViT, Rev-MViT, and the 2-D ResNet-50 whose weights the `_in1k`
recipes of kinetics.py start from.

    python -m slowfast_jax.main --config configs/imagenet.py:res_r50 --workdir DIR --mode eval \\
        --config.data.root=IMAGENET --config.test.checkpoint=R50_IN1K.pyth
    python -m slowfast_jax.main --config configs/imagenet.py:mini --workdir DIR
    python -m configs.imagenet      lists the variants

IMAGENET is a folder with train/ and val/, which hold a folder of images per class
(val/n01440764/*.JPEG). Classes are numbered by the alphabetical order of these folders.

Published results in percent, of *released weights* (validation set, center crop):

    variant             top-1  top-5  source
    res_r50              76.4   93.2  PySlowFast MODEL_ZOO.md
    mvit_b_16_conv       82.9   96.3  "
    mvitv2_t             82.3         PySlowFast projects/mvitv2/README.md
    mvitv2_s             83.6         "
    mvitv2_b             84.4         "
    rev_vit_s            79.9   94.9  PySlowFast MODEL_ZOO.md and projects/rev/README.md
    rev_vit_b            81.8   95.6  "
    rev_mvit_b_16_conv   82.9   96.3  " (the paper has a top-1 of 82.5)

Images are tested as usual: resized to a short side of 256 (data.jitter[0]), center crop of 224.
The original's YAML file of res_r50 sets the crop to 256, which cannot work: its reader would crop
256 pixels from an image resized to 224. Resizing is bilinear without antialiasing, as in the
original. The learning rates of the transformers are for the batch of one machine with 8 GPUs.
`mini_mvit` and `mini_rev_vit` are a tiny MViTv2 and Rev-ViT, trained like them on generated images.
"""

from collections.abc import Sequence

from ml_collections import ConfigDict

from configs import common
from configs.common import Part, Variants

DEFAULT = "res_r50"

DATA = {
    "format": "imagenet",
    "train_list": "train",  # folders
    "val_list": "val",
    "test_list": "val",
    "jitter_scales_relative": (0.08, 1.0),
    "jitter_aspect_relative": (0.75, 4 / 3),
}
TESTED = {"test": {"batch_size": 256}, "protocol": {"test_crop": 224, "clips": 1, "crops": 1}}
SHARED = (
    TESTED,
    common.network("imagenet/res_r50"),
    common.steps(0.1, epochs=100, at=(0, 30, 60, 90), relative=(1.0, 0.1, 0.01, 0.001)),
    {
        "data": {"pca_jitter": 0.1},
        "train": {"batch_size": 256},
        "norm": {"group_size": 32},
    },
)
DEIT_POLICY = "rand-m9-n6-mstd0.5-inc1"
PYSLOWFAST_URL = "https://dl.fbaipublicfiles.com/pyslowfast/"
MVIT2_URL = "https://dl.fbaipublicfiles.com/mvit/mvitv2_models/"


def _transformer(
    name: str, *result: Part, policy: str = DEIT_POLICY, base_lr: float = 0.00025,
    batch_size: int = 256, weight_decay: float = 0.05, clip_norm: float = 1.0,
) -> Sequence[Part]:
    return (
        common.network(f"imagenet/{name}"),
        TESTED,
        common.cosine(
            base_lr, epochs=300, warmup_epochs=70.0, warmup_start_lr=1e-8, end_lr=1e-6,
            cosine_after_warmup=True,
        ),
        common.transformer(
            policy, batch_size, weight_decay, name="adamw", clip_norm=clip_norm
        ),
        {"data": {"jitter": (256, 256)}, "train": {"eval_period": 10}},
        *result,
    )


def _result(top1: float, top5: float, weights: str, **note: str) -> Part:
    return common.published(
        "PySlowFast MODEL_ZOO.md", "1x1", top1=top1, top5=top5, weights=weights, **note
    )


def _mvit2_result(top1: float, file: str) -> Part:
    return common.published(
        "PySlowFast projects/mvitv2/README.md", "1x1", top1=top1, weights=MVIT2_URL + file
    )


VARIANTS: Variants = {
    "res_r50": (
        *SHARED,
        _result(76.4, 93.2, PYSLOWFAST_URL + "model_zoo/kinetics400/R50_IN1K.pyth"),
    ),
    "mvit_b_16_conv": _transformer(
        "mvit_b_16_conv",
        _result(
            82.9, 96.3,
            "https://drive.google.com/uc?export=download&id=1dYYqUB-3DSgBVc9d6o-rW8ojtVsrFLgp",
        ),
    ),
    "mvitv2_t": _transformer("mvitv2_t", _mvit2_result(82.3, "MViTv2_T_in1k.pyth")),
    "mvitv2_s": _transformer("mvitv2_s", _mvit2_result(83.6, "MViTv2_S_in1k.pyth")),
    "mvitv2_b": _transformer("mvitv2_b", _mvit2_result(84.4, "MViTv2_B_in1k.pyth")),
    "rev_vit_s": _transformer(
        "rev_vit_s", _result(79.9, 94.9, PYSLOWFAST_URL + "rev/REV_VIT_S.pyth"),
        policy="rand-m7-mstd0.5-inc1", base_lr=0.0005, batch_size=512,
    ),
    "rev_vit_b": _transformer(
        "rev_vit_b", _result(81.8, 95.6, PYSLOWFAST_URL + "rev/REV_VIT_B.pyth"),
        policy="rand-m6-n5-mstd0.5-inc1", base_lr=0.0005, batch_size=512, weight_decay=0.1,
        clip_norm=2.0,
    ),
    "rev_mvit_b_16_conv": _transformer(
        "rev_mvit_b_16_conv",
        _result(
            82.9, 96.3, PYSLOWFAST_URL + "rev/REV_MVIT_B.pyth",
            note="improved from 82.5 in the paper",
        ),
    ),
    "mini": (
        *SHARED, {"schedule": {"steps": (0, 1)}},
        {"protocol": {"train_crop": 64, "test_crop": 64}},
        common.mini("imagenet_mini", num_classes=4, head_pool="global"),
    ),
    "mini_mvit": (
        *_transformer("mvitv2_s"), *common.mini_mvit("imagenet_mini", epochs=20),
        {"data": {"jitter": (72, 72)}},
    ),
    "mini_rev_vit": (
        *_transformer("rev_vit_s", policy="rand-m7-mstd0.5-inc1"),
        *common.mini_mvit(
            "imagenet_mini", epochs=20, depth=4, heads=2, dim_mul=(), head_mul=(), q_strides=(),
            adaptive_kv_stride=(), patch_kernel=(1, 8, 8), patch_stride=(1, 8, 8),
        ),
        {"data": {"jitter": (72, 72)}},
    ),
}


def get_config(variant: str = "") -> ConfigDict:
    """The recipe of a variant, by default of DEFAULT; ValueError for one that does not exist."""
    variant = variant or DEFAULT
    parts = common.lookup(VARIANTS, variant, "imagenet")
    return common.recipe(f"imagenet/{variant}", common.base(data=DATA), *parts)


if __name__ == "__main__":
    common.print_variants(VARIANTS)
