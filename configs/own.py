"""Your own actions: a folder of videos and a table of boxes; docs/own_actions.md is a walk-through.

    python -m slowfast_jax.main --config configs/own.py --workdir RUN --config.data.root=DATA \\
        --config.model.num_classes=5 --config.train.init_from.path=SLOWFAST_8x8_R50.pkl
    python -m slowfast_jax.main --config configs/own.py:mini --workdir DIR
    python -m configs.own      lists the variants

DATA is a folder with videos/, train.csv and test.csv. A table has a row per action of a box, with
the columns

    video,time,x1,y1,x2,y2,action[,person][,score]

in any order (data_pipelines/sources/box_tables.py). The classes are the actions of the training
table in alphabetical order, or those of config.class_names, a file with one name per line.

`slowfast_8x8_r50` is the network for AVA, started from Kinetics-400 weights, SLOWFAST_8x8_R50.pkl;
the `x3d` variants, started from Kinetics-400 too, are small enough to train on a laptop.
`slowfast_32x2_r101_50_50` starts from a network that knows the actions of AVA. There are no
published results.
"""

from collections.abc import Sequence

from ml_collections import ConfigDict

from configs import common
from configs.common import Part, Variants

DEFAULT = "slowfast_8x8_r50"

DATA = {
    "format": "boxes",
    "train_boxes": ("train.csv",),
    "test_boxes": ("test.csv",),
}
# Batch statistics are frozen: those of a few videos would be worse than the pretrained ones.
BOXES = {"num_classes": 2, "detection": True, "activation": "sigmoid", "frozen_norm": True}
FINE_TUNED = (
    common.cosine(0.02, epochs=20, warmup_epochs=2.0, warmup_start_lr=0.002),
    {
        "train": {"batch_size": 16, "eval_period": 5},
        "test": {"batch_size": 8},
        "norm": {"precise": False},
        # As MMAction2 for boxes. With 1, real persons whom training does not see were recognized
        # less often (tests/slowfast_jax/inference/test_person_actions.py).
        "optimizer": {"clip_norm": 40.0},
    },
)


def _x3d(name: str) -> Sequence[Part]:
    """X3D with larger crops than its own, in which people are large enough."""
    return (
        common.network(f"kinetics/{name}", **BOXES), *FINE_TUNED,
        common.pretrained(f"{name}.pyth", "head/projection/.*"),
        {"protocol": {"train_crop": 224, "test_crop": 256}, "optimizer": {"weight_decay": 5e-5}},
    )


VARIANTS: Variants = {
    "slowfast_8x8_r50": (
        common.network("ava/slowfast_32x2_r50_short", **BOXES), *FINE_TUNED,
        common.pretrained("SLOWFAST_8x8_R50.pkl", "head/.*"),
    ),
    "slowfast_32x2_r101_50_50": (
        common.network("ava/slowfast_32x2_r101_50_50", **BOXES), *FINE_TUNED,
        common.pretrained("SLOWFAST_32x2_R101_50_50.pkl", "head/.*"),
    ),
    "x3d_xs": _x3d("x3d_xs"),
    "x3d_m": _x3d("x3d_m"),
    "mini": (
        common.network("kinetics/mini"),
        common.mini(
            "own_mini", num_classes=17, detection=True, activation="sigmoid", width=16, beta=2,
            strides=(1, 2, 2, 1), dropout=0.0,
        ),
        common.cosine(0.1, epochs=2, warmup_epochs=0.5),
        {
            "protocol": {"num_frames": 8, "sampling_rate": 2, "train_crop": 80, "test_crop": 80},
            "data": {
                "jitter": (80, 88),
                "random_flip": False,  # walking left and walking right are classes
                "test_detections": ("people.csv",),
                "color_augmentation": False,
                "max_boxes": 8,
            },
        },
    ),
}


def get_config(variant: str = "") -> ConfigDict:
    """The recipe of a variant, by default of DEFAULT; ValueError for one that does not exist."""
    variant = variant or DEFAULT
    parts = common.lookup(VARIANTS, variant, "own")
    base = common.base(data=DATA, task="detection", loss="bce_logits")
    return common.recipe(f"own/{variant}", base, *parts)


if __name__ == "__main__":
    common.print_variants(VARIANTS)
