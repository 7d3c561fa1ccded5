"""Something-Something V2: 174 ways of handling objects. No flips, because left and right matter.

    python -m slowfast_jax.main --config configs/ssv2.py:slowfast_16x8_r50 --workdir DIR \\
        --mode eval --config.data.root=LISTS --config.data.path_prefix=FRAMES \\
        --config.test.checkpoint=WEIGHTS
    python -m slowfast_jax.main --config configs/ssv2.py:mini --workdir DIR
    python -m configs.ssv2      lists the variants

`slowfast_16x8_r50_finetune` starts from the published weights, and is for your own videos.

LISTS is a folder with PySlowFast's frame lists train.csv and val.csv (a row `original_vido_id
video_id frame_id path labels` per frame) and the three JSON files of the data set. FRAMES is the
folder of the frames, extracted at 30 fps. As in the original, a test clip has one frame from
the middle of each of 64 segments of the video, so all clips of a video are the same; frames are
resized to a short side of the crop, and a single crop is the left or top one.

Frames need not be extracted: with --config.data.train_list= --config.data.val_list=
--config.data.test_list= (all empty) the webm files of the data set are read from path_prefix.
MMAction2's lists `folder total_frames label` are read with --config.data.format=rawframes. Both
sample clips in the same way (data.sampling), but the published results are for extracted frames.

All recipes start from Kinetics-400 weights: slowfast_16x8_r50 from PySlowFast's
SLOWFAST_8x8_R50.pkl (MODEL_ZOO.md, kinetics400/), the others from weights of the same network
(projects/mvitv2/README.md; PyTorchVideo's model zoo). For the others, the original's YAML files
leave this path empty. MViTv2 is trained with SGD.

Published results in percent, of *released weights* (validation set, one clip; slowfast_16x8_r50 one
crop, the others three):

    variant                      top-1  top-5  source
    slowfast_16x8_r50             63.0   88.5  PySlowFast MODEL_ZOO.md
    slowfast_16x8_r50_multigrid   63.5   88.7  " (crop of 224)
    mvitv2_s_16x4                 68.2   91.4  PySlowFast projects/mvitv2/README.md
    mvitv2_b_32x3                 70.5   92.7  "
    mvitv2_l_40x3                 73.3   94.1  " (crops of 312)
    slow_8x8_r50                 60.04  85.19  PyTorchVideo docs/source/model_zoo.md
    slowfast_8x8_r50             61.68  86.92  "
"""

from collections.abc import Sequence

from ml_collections import ConfigDict

from configs import common
from configs.common import Part, Variants
from slowfast_jax.models import zoo

DEFAULT = "slowfast_16x8_r50"
WEIGHTS = (
    "https://dl.fbaipublicfiles.com/pyslowfast/pyslowfast/model_zoo/multigrid/model_zoo/SSv2/"
)
MVIT2_WEIGHTS = (
    "https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/mvitv2/pysf_video_models/"
)

DATA = {
    "format": "ssv2",
    "sampling": "ssv2",
    "test_list": "val.csv",  # the test set's labels are not public
    "class_list": "something-something-v2-labels.json",
    "train_labels": "something-something-v2-train.json",
    "val_labels": "something-something-v2-validation.json",
    "inverse_uniform_jitter": True,
    "random_flip": False,
}
SHARED = (
    common.steps(
        0.03, epochs=22, at=(0, 14, 18), warmup_epochs=0.19, warmup_start_lr=0.0001
    ),
    common.pretrained("SLOWFAST_8x8_R50.pkl", "head/.*"),
    {
        "test": {"batch_size": 16},
        "train": {"batch_size": 16, "eval_period": 2, "checkpoint_period": 2},
        "optimizer": {"weight_decay": 1e-6},
        "norm": {"group_size": 8, "sync_devices": 4},  # 2 clips per GPU
    },
)


def _mvit2(name: str, start: str, epochs: int, base_lr: float, **schedule: float) -> Sequence[Part]:
    """`start`: the file of the network's Kinetics-400 weights."""
    return (
        common.network(f"ssv2/{name}"),
        common.cosine(
            base_lr, epochs=epochs, warmup_epochs=3.0, end_lr=1e-6, cosine_after_warmup=True,
            **schedule,
        ),
        common.transformer("rand-m7-n4-mstd0.5-inc1", 16, weight_decay=1e-4),
        common.pretrained(start, "head/.*"),
        {
            "test": {"batch_size": 64},
            "train": {"eval_period": 2, "checkpoint_period": 2},
        },
    )


def _mvit2_result(top1: float, top5: float, file: str) -> Part:
    return common.published(
        "PySlowFast projects/mvitv2/README.md", "1x3", top1=top1, top5=top5,
        weights=MVIT2_WEIGHTS + file,
    )


def _result(top1: float, top5: float, file: str) -> Part:
    return common.published(
        "PySlowFast MODEL_ZOO.md", "1x1", top1=top1, top5=top5, weights=WEIGHTS + file
    )


def _pytorchvideo(name: str, file: str, top1: float, top5: float) -> Sequence[Part]:
    """Fine-tuning of a network from the Kinetics-400 weights of the same file name."""
    return (
        common.network(f"ssv2/{name}"),
        common.cosine(
            0.1, epochs=30, warmup_epochs=3.0, warmup_start_lr=0.08, reference_batch=64
        ),
        common.pretrained(file, "head/.*", url=f"{common.PYTORCHVIDEO_URL}kinetics/{file}"),
        {
            "data": {"inverse_uniform_jitter": False},
            "test": {"batch_size": 64},
            "train": {"eval_period": 2, "checkpoint_period": 2},
        },
        common.pytorchvideo(f"ssv2/{file}", "1x3", top1=top1, top5=top5),
    )


VARIANTS: Variants = {
    "slowfast_16x8_r50": (
        common.network("ssv2/slowfast_16x8_r50"), *SHARED,
        _result(63.0, 88.5, "SLOWFAST_16x8_R50.pkl"),
    ),
    "slowfast_16x8_r50_multigrid": (
        common.network("ssv2/slowfast_16x8_r50"), *SHARED, common.MULTIGRID,
        {"protocol": {"test_crop": 224}},
        _result(63.5, 88.7, "SLOWFAST_16x8_R50_multigrid.pkl"),
    ),
    "mvitv2_s_16x4": (
        *_mvit2(
            "mvitv2_s_16x4", "MViTv2_S_16x4_k400_f302660347.pyth", epochs=100, base_lr=0.0025,
            warmup_start_lr=0.0001,
        ),
        _mvit2_result(68.2, 91.4, "MViTv2_S_16x4_ssv2_f308341823.pyth"),
    ),
    "mvitv2_b_32x3": (
        *_mvit2(
            "mvitv2_b_32x3", "MViTv2_B_32x3_k400_f304025456.pyth", epochs=100, base_lr=0.0015,
            warmup_start_lr=0.0001,
        ),
        _mvit2_result(70.5, 92.7, "MViTv2_B_32x3_ssv2_f305803282.pyth"),
    ),
    "mvitv2_l_40x3": (
        *_mvit2(
            "mvitv2_l_40x3", "MViTv2_L_40x3_k400_f306903192.pyth", epochs=40, base_lr=0.00125,
            warmup_start_lr=1e-6,
        ),
        {
            "model": {"remat": tuple(f"block{i}" for i in range(48))},
            "data": {"jitter": (356, 446)},
            "augment": {"mix_prob": 0.0},
            "test": {"batch_size": 8},
            "train": {"batch_size": 8, "checkpoint_period": 1},
            "schedule": {"reference_batch": 8},
            "optimizer": {"clip_norm": 2.0},
        },
        _mvit2_result(73.3, 94.1, "MViTv2_L_40x3_ssv2_f309603968.pyth"),
    ),
    "slow_8x8_r50": _pytorchvideo("slow_8x8_r50", "SLOW_8x8_R50.pyth", 60.04, 85.19),
    "slowfast_8x8_r50": (
        *_pytorchvideo("slowfast_8x8_r50", "SLOWFAST_8x8_R50.pyth", 61.68, 86.92),
        {"norm": {"precise_batches": 150}},
    ),
    "mini": (
        common.network("kinetics/mini"), *SHARED, {"schedule": {"steps": (0, 1)}},
        {"protocol": {"clips": 1, "crops": 1}}, common.mini("ssv2_mini"),
    ),
    "mini_mvit": (
        *_mvit2("mvitv2_s_16x4", "", epochs=100, base_lr=0.0025),
        *common.mini_mvit("ssv2_mini", epochs=20),
        {"protocol": {"num_frames": 8, "clips": 1, "crops": 1}},
    ),
}
VARIANTS |= common.finetuned_variants(
    (name for name in zoo.classifiers() if name.startswith("ssv2/")), VARIANTS
)


def get_config(variant: str = "") -> ConfigDict:
    """The recipe of a variant, by default of DEFAULT; ValueError for one that does not exist."""
    variant = variant or DEFAULT
    parts = common.lookup(VARIANTS, variant, "ssv2")
    own_data = {"format": "kinetics"} if variant.endswith("_finetune") else DATA
    base = common.base(data=own_data, class_names="ssv2")
    return common.recipe(f"ssv2/{variant}", base, *parts)


if __name__ == "__main__":
    common.print_variants(VARIANTS)
