"""AVA: actions of every person in films, at one keyframe per second.

    python -m slowfast_jax.main --config configs/ava.py:c2_slowfast_32x2_r101_50_50 --workdir DIR \\
        --mode eval --config.data.root=AVA --config.test.checkpoint=SLOWFAST_32x2_R101_50_50.pkl
    python -m slowfast_jax.main --config configs/ava.py:mini --workdir DIR --mode summary
    python -m configs.ava      lists the variants

AVA is a folder with frames/, frame_lists/ and annotations/, laid out as in the original's
slowfast/datasets/DATASET.md. Tests see whole frames, resized to a short side of protocol.test_crop,
and score the boxes of a person detector whose own score is at least data.score_threshold.

The two training recipes start from PySlowFast's Kinetics-400 weights (MODEL_ZOO.md:
ava/pretrain/C2D_8x8_R50.pkl and kinetics400/SLOWFAST_8x8_R50.pkl); the original's YAML files leave
this path empty. Despite their name, the `slow_8x8_r50` variants take 4 frames at a distance of 16.

Published results, of *released weights* (frame-mAP at IoU 0.5 in percent, validation set, whole
frames, detected boxes):

    variant                               mAP   AVA   source
    c2_slow_8x8_r50                       19.5  2.2   PySlowFast MODEL_ZOO.md
    c2_slowfast_32x2_r101_50_50_v2.1      28.2  2.1   "
    c2_slowfast_32x2_r101_50_50           29.1  2.2   "
    c2_slowfast_64x2_r101_50_50           29.4  2.2   "

MindSpore's model zoo reports 21.7 (AVA 2.2) for training slowfast_32x2_r50_short with base_lr 0.15.
"""

from ml_collections import ConfigDict

from configs import common
from configs.common import Part, Variants

DEFAULT = "slowfast_32x2_r50_short"
WEIGHTS = "https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/ava/"

DATA = {
    "format": "ava",
    "test_list": "val.csv",
    "inverse_uniform_jitter": True,  # the original's AVA reader always does this
    # The names below are relative to AVA/annotations.
    "train_gt_box_lists": ("ava_train_v2.2.csv",),
    "test_box_lists": ("person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv",),
    "label_map": "ava_action_list_v2.2_for_activitynet_2019.pbtxt",
    "exclusions": "ava_val_excluded_timestamps_v2.2.csv",
    "ground_truth": "ava_val_v2.2.csv",
    "train_kinetics": ("kinetics_train_v1.0.csv",),
    "val_kinetics": ("kinetics_val_v1.0.csv",),
}
VERSION_2_1 = {
    "data": {
        "train_gt_box_lists": ("ava_train_v2.1.csv",),
        "label_map": "ava_action_list_v2.1_for_activitynet_2018.pbtxt",
        "exclusions": "ava_val_excluded_timestamps_v2.1.csv",
        "ground_truth": "ava_val_v2.1.csv",
    },
}
LOW_THRESHOLD = {"data": {"score_threshold": 0.8}}

# As in the original's recipes, the table of annotations is also listed as detected boxes. Its
# person ids are then read as scores, so that person 0 is dropped.
TRAINED = (
    common.steps(
        0.1, epochs=20, at=(0, 10, 15, 20), relative=(1.0, 0.1, 0.01, 0.001),
        warmup_epochs=5.0, warmup_start_lr=0.000125,
    ),
    {
        "data": {
            "multi_label": True,  # a person does several things at once
            "train_box_lists": (
                "ava_train_v2.2.csv",
                "person_box_67091280_iou90/"
                "ava_detection_train_boxes_and_labels_include_negative_v2.2.csv",
            ),
        },
        "train": {"eval_period": 5},
    },
)
# The original's YAML files of these have no schedule, so it is the default one.
CAFFE2 = (
    common.cosine(0.1, epochs=300),
    common.TEST_ONLY,
    {"train": {"batch_size": 16, "eval_period": 1}, "norm": {"group_size": 2}},
)


def _net(name: str, **keywords) -> Part:
    return common.network(f"ava/{name}", **keywords)


def _result(mean_ap: float, file: str, version: str = "2.2") -> Part:
    return common.published(
        "PySlowFast MODEL_ZOO.md", "1x1", mean_ap=mean_ap, weights=WEIGHTS + file,
        note=f"AVA {version}, predicted boxes",
    )


MINI = (
    common.network("kinetics/mini"),
    common.mini(
        "ava_mini", num_classes=17, detection=True, activation="sigmoid", dropout=0.2,
        strides=(1, 2, 1, 1), roi_scale=1 / 8,  # people are small in these frames
        slow_frames="stride",  # takes the first frame of 8 and the keyframe
    ),
    common.cosine(0.003, epochs=6, warmup_epochs=1.0, warmup_start_lr=0.0003),
    {
        "protocol": {"num_frames": 8, "sampling_rate": 2, "train_crop": 96, "test_crop": 96},
        "data": {
            "video_dir": "videos",
            "jitter": (96, 104),
            "random_flip": False,  # walking left and walking right are classes
            "train_box_lists": (
                "person_box_67091280_iou90/"
                "ava_detection_train_boxes_and_labels_include_negative_v2.2.csv",
            ),
            "max_boxes": 8,
            "full_test_on_val": True,
        },
        "optimizer": {
            "name": "adamw", "weight_decay": 0.01, "norm_weight_decay": 0.01, "clip_norm": 1.0,
        },
        "train": {"eval_period": 2, "checkpoint_period": 2},
    },
)

VARIANTS: Variants = {
    "slowfast_32x2_r50_short": (
        _net("slowfast_32x2_r50_short"), *TRAINED, LOW_THRESHOLD,
        common.pretrained("SLOWFAST_8x8_R50.pkl", "head/.*"),
    ),
    "slow_8x8_r50_short": (
        _net("slow_8x8_r50_short"), *TRAINED,
        common.pretrained("C2D_8x8_R50.pkl", "head/.*"),
    ),
    "c2_slow_8x8_r50": (
        _net("slow_8x8_r50"), *CAFFE2,
        {
            "data": {
                "test_box_lists": (
                    "person_box_67091280_iou75/ava_detection_val_boxes_and_labels.csv",
                ),
            },
            "train": {"batch_size": 64},
            "norm": {"group_size": 8},
        },
        _result(19.5, "C2D_8x8_R50.pkl"),
    ),
    "c2_slowfast_32x2_r50": (_net("slowfast_32x2_r50"), *CAFFE2, LOW_THRESHOLD),
    "c2_slowfast_32x2_r101_50_50": (
        _net("slowfast_32x2_r101_50_50"), *CAFFE2, LOW_THRESHOLD,
        _result(29.1, "SLOWFAST_32x2_R101_50_50.pkl"),
    ),
    "c2_slowfast_32x2_r101_50_50_v2.1": (
        _net("slowfast_32x2_r101_50_50"), *CAFFE2, LOW_THRESHOLD, VERSION_2_1,
        _result(28.2, "SLOWFAST_32x2_R101_50_50_v2.1.pkl", "2.1"),
    ),
    "c2_slowfast_64x2_r101_50_50": (
        _net("slowfast_64x2_r101_50_50"), *CAFFE2, LOW_THRESHOLD,
        _result(29.4, "SLOWFAST_64x2_R101_50_50.pkl"),
    ),
    "mini": MINI,
    # The same network on the repeated keyframe, to show what motion contributes.
    "mini_still": (*MINI, {"protocol": {"sampling_rate": 0}}),
}


def get_config(variant: str = "") -> ConfigDict:
    """The recipe of a variant, by default of DEFAULT; ValueError for one that does not exist."""
    variant = variant or DEFAULT
    parts = common.lookup(VARIANTS, variant, "ava")
    base = common.base(data=DATA, task="detection", class_names="ava", loss="bce")
    shared = {
        "test": {"batch_size": 8},
        "optimizer": {"weight_decay": 1e-7},
        "norm": {"precise": False},
    }
    return common.recipe(f"ava/{variant}", base, shared, *parts)


if __name__ == "__main__":
    common.print_variants(VARIANTS)
