"""ImageNet-1k: the 2-D ResNet-50 whose weights the `_in1k` recipes of kinetics.py start from.

    python -m slowfast_jax.main --config configs/imagenet.py:res_r50 --workdir DIR --mode eval \\
        --config.data.root=IMAGENET --config.test.checkpoint=R50_IN1K.pyth
    python -m slowfast_jax.main --config configs/imagenet.py:mini --workdir DIR
    python -m configs.imagenet      lists the variants

IMAGENET is a folder with train/ and val/, which hold a folder of images per class
(val/n01440764/*.JPEG). Classes are numbered by the alphabetical order of these folders.

Published result in percent, of *released weights* (validation set, center crop):

    variant  top-1  top-5  source
    res_r50   76.4   93.2  PySlowFast MODEL_ZOO.md

Images are tested as usual: resized to a short side of 256 (data.jitter[0]), center crop of 224.
The original's YAML file sets the crop to 256, which cannot work: its reader would crop 256 pixels
from an image resized to 224. Resizing is bilinear without antialiasing, as in the original.
"""

from ml_collections import ConfigDict

from configs import common
from configs.common import Variants

DEFAULT = "res_r50"

DATA = {
    "format": "imagenet",
    "train_list": "train",  # folders
    "val_list": "val",
    "test_list": "val",
    "jitter_scales_relative": (0.08, 1.0),
    "jitter_aspect_relative": (0.75, 4 / 3),
    "pca_jitter": 0.1,
}
SHARED = (
    common.network("imagenet/res_r50"),
    common.steps(0.1, epochs=100, at=(0, 30, 60, 90), relative=(1.0, 0.1, 0.01, 0.001)),
    {
        "protocol": {"test_crop": 224, "clips": 1, "crops": 1},
        "test": {"batch_size": 256},
        "train": {"batch_size": 256},
        "norm": {"group_size": 32},
    },
)

VARIANTS: Variants = {
    "res_r50": (
        *SHARED,
        common.published(
            "PySlowFast MODEL_ZOO.md", "1x1", top1=76.4, top5=93.2,
            weights="https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/kinetics400/R50_IN1K.pyth",
        ),
    ),
    "mini": (
        *SHARED, {"schedule": {"steps": (0, 1)}},
        {"protocol": {"train_crop": 64, "test_crop": 64}},
        common.mini("imagenet_mini", num_classes=4, head_pool="global"),
    ),
}


def get_config(variant: str = "") -> ConfigDict:
    """The recipe of a variant, by default of DEFAULT; ValueError for one that does not exist."""
    variant = variant or DEFAULT
    parts = common.lookup(VARIANTS, variant, "imagenet")
    return common.recipe(f"imagenet/{variant}", common.base(data=DATA), *parts)


if __name__ == "__main__":
    common.print_variants(VARIANTS)
