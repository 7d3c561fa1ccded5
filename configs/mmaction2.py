"""Fine-tuning the Kinetics networks of MMAction2 on your own videos.

    python -m slowfast_jax.main --config mmaction2/slowonly_8x8_r50_finetune --workdir RUN \\
        --config.data.root=LISTS --config.train.init_from.path=FILE.pth
    python -m configs.mmaction2      lists the variants

LISTS is a folder with train.csv, val.csv, test.csv and classes.txt. FILE.pth is a checkpoint of
MMAction2 (docs/model_zoo.md has their addresses). There are no published results.
"""

from ml_collections import ConfigDict

from configs import common
from configs.common import Variants
from slowfast_jax.models import zoo

DEFAULT = "slowonly_4x16_r50_finetune"
VARIANTS: Variants = common.finetuned_variants(
    (name for name in zoo.classifiers() if name.startswith("mmaction2/")), {}
)


def get_config(variant: str = "") -> ConfigDict:
    """The recipe of a variant, by default of DEFAULT; ValueError for one that does not exist."""
    variant = variant or DEFAULT
    parts = common.lookup(VARIANTS, variant, "mmaction2")
    base = common.base(data={"format": "kinetics"})
    return common.recipe(f"mmaction2/{variant}", base, *parts)


if __name__ == "__main__":
    common.print_variants(VARIANTS)
