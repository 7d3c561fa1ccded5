"""Charades: 157 classes of activities at home; a video has several of them.

    python -m slowfast_jax.main --config configs/charades.py:slowfast_16x8_r50 --workdir DIR \\
        --mode eval --config.data.root=LISTS --config.data.path_prefix=FRAMES \\
        --config.test.checkpoint=WEIGHTS
    python -m slowfast_jax.main --config configs/charades.py:mini --workdir DIR
    python -m configs.charades      lists the variants

`slowfast_16x8_r50_finetune` starts from the published weights, and is for your own videos.

LISTS is a folder with PySlowFast's frame lists train.csv and val.csv (a row `original_vido_id
video_id frame_id path labels` per frame, with labels like "92,147"). FRAMES is the folder
Charades_v1_rgb. A test clip takes every second frame, at any frame rate; ten clips are spread from
the first frame to the last. The labels of a video are those of all its frames.

The recipes start from Kinetics-400 weights: slowfast_16x8_r50 from PySlowFast's
SLOWFAST_8x8_R50.pkl (MODEL_ZOO.md, kinetics400/), the others from PyTorchVideo's weights of the
same network.

Published results, of *released weights* (mAP in percent, validation set, maximum over 10 clips x 3
crops; MODEL_ZOO.md lists its results under the config names of SSv2):

    variant                      mAP   source
    slowfast_16x8_r50            38.9  PySlowFast MODEL_ZOO.md
    slowfast_16x8_r50_multigrid  38.6  "
    slow_8x8_r50                 34.72 PyTorchVideo docs/source/model_zoo.md
    slowfast_8x8_r50             37.24 "
"""

from collections.abc import Sequence

from ml_collections import ConfigDict

from configs import common
from configs.common import Part, Variants
from slowfast_jax.models import zoo

DEFAULT = "slowfast_16x8_r50"
WEIGHTS = (
    "https://dl.fbaipublicfiles.com/pyslowfast/pyslowfast/model_zoo/multigrid/model_zoo/Charades/"
)

DATA = {
    "format": "charades",
    "sampling": "charades",
    "test_list": "val.csv",
    "multi_label": True,
    "jitter": (256, 340),
    "inverse_uniform_jitter": True,
}
SHARED = (
    common.steps(
        0.0375, epochs=57, at=(0, 41, 49), warmup_epochs=4.0, warmup_start_lr=0.0001
    ),
    common.pretrained("SLOWFAST_8x8_R50.pkl", "head/.*"),
    {
        "test": {"batch_size": 16},
        "train": {"batch_size": 16, "eval_period": 6, "checkpoint_period": 6},
        "norm": {"group_size": 8, "sync_devices": 4},  # 2 clips per GPU
    },
)


def _result(mean_ap: float, file: str) -> Part:
    return common.published(
        "PySlowFast MODEL_ZOO.md", "10x3", mean_ap=mean_ap, weights=WEIGHTS + file
    )


def _pytorchvideo(name: str, file: str, mean_ap: float) -> Sequence[Part]:
    """Fine-tuning of a network from the Kinetics-400 weights of the same file name."""
    return (
        common.network(f"charades/{name}"),
        common.cosine(
            0.25, epochs=60, warmup_epochs=5.0, warmup_start_lr=0.0001, end_lr=1e-6,
            reference_batch=64,
        ),
        common.pretrained(file, "head/.*", url=f"{common.PYTORCHVIDEO_URL}kinetics/{file}"),
        {
            "data": {"inverse_uniform_jitter": False},
            "test": {"batch_size": 64},
            "train": {"eval_period": 6, "checkpoint_period": 6},
            "norm": {"precise": False},
        },
        common.pytorchvideo(f"charades/{file}", "10x3", mean_ap=mean_ap),
    )


VARIANTS: Variants = {
    "slowfast_16x8_r50": (
        common.network("charades/slowfast_16x8_r50"), *SHARED,
        _result(38.9, "SLOWFAST_16x8_R50.pkl"),
    ),
    "slowfast_16x8_r50_multigrid": (
        common.network("charades/slowfast_16x8_r50"), *SHARED, common.MULTIGRID,
        _result(38.6, "SLOWFAST_16x8_R50_multigrid.pkl"),
    ),
    "slow_8x8_r50": _pytorchvideo("slow_8x8_r50", "SLOW_8x8_R50.pyth", 34.72),
    "slowfast_8x8_r50": (
        *_pytorchvideo("slowfast_8x8_r50", "SLOWFAST_8x8_R50.pyth", 37.24),
        {"data": {"jitter": (256, 320)}},
    ),
    "mini": (
        common.network("kinetics/mini"), *SHARED, {"schedule": {"steps": (0, 1)}},
        {"protocol": {"ensemble": "max"}},
        common.mini("charades_mini", activation="sigmoid"),
    ),
}
VARIANTS |= common.finetuned_variants(
    (name for name in zoo.classifiers() if name.startswith("charades/")), VARIANTS
)


def get_config(variant: str = "") -> ConfigDict:
    """The recipe of a variant, by default of DEFAULT; ValueError for one that does not exist."""
    variant = variant or DEFAULT
    parts = common.lookup(VARIANTS, variant, "charades")
    if variant.endswith("_finetune"):
        base = common.base(data={"format": "kinetics"})
    else:
        base = common.base(data=DATA, class_names="charades", loss="bce_logits")
    return common.recipe(f"charades/{variant}", base, *parts)


if __name__ == "__main__":
    common.print_variants(VARIANTS)
