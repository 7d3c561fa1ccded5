"""AVA: who does what, where. Action classes for person boxes at one keyframe a second.

    python -m slowfast_jax.main --config configs/ava.py:c2_slowfast_32x2_r101_50_50 --workdir DIR \\
        --mode eval --config.data.root=AVA --config.test.checkpoint=SLOWFAST_32x2_R101_50_50.pkl
    python -m slowfast_jax.main --config configs/ava.py:mini --workdir DIR --mode summary
    python -m configs.ava      lists the variants

AVA holds frames/, frame_lists/ and annotations/ as the original's slowfast/datasets/DATASET.md lays
out; box and annotation files below are relative to annotations/. Whole frames are tested, short
side protocol.test_crop, with the boxes of a person detector whose score reaches
data.score_threshold.

The two training recipes start from Kinetics-400 weights of PySlowFast's MODEL_ZOO.md
(ava/pretrain/C2D_8x8_R50.pkl and kinetics400/SLOWFAST_8x8_R50.pkl); the original leaves that path
to its user. The `slow_8x8_r50` variants take 4 frames 16 apart, whatever the name says.

Results printed by others, all of *released weights* (frame mAP at IoU 0.5 in percent, validation
set; whole frames, predicted boxes):

    variant                               mAP   AVA   source
    c2_slow_8x8_r50                       19.5  2.2   PySlowFast MODEL_ZOO.md
    c2_slowfast_32x2_r101_50_50_v2.1      28.2  2.1   "
    c2_slowfast_32x2_r101_50_50           29.1  2.2   "
    c2_slowfast_64x2_r101_50_50           29.4  2.2   "

MindSpore's model zoo reports 21.7 (2.2) for the recipe of slowfast_32x2_r50_short at base_lr 0.15.
"""

from ml_collections import ConfigDict

from configs import common
from configs.common import Part, Variants

DEFAULT = "slowfast_32x2_r50_short"
WEIGHTS = "https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/ava/"

DATA = {
    "format": "ava",
    "test_list": "val.csv",
    "inverse_uniform_jitter": True,  # always so in the original's reader, whatever its config says
    "video_dir": "",  # videos, or their 15-minute cuts, read directly; "": frames stored as images
    # Lists of encoded keyframes (docs/records.md), named by train_list and test_list; then neither
    # videos nor frames are needed.
    "record_dir": "",
    # AVA-Kinetics besides: where the clips of Kinetics-700 are, files ID_000012_000022.mp4 anywhere
    # below; "": none of it. Tables are below annotation_dir.
    "kinetics_dir": "",
    "train_kinetics": ("kinetics_train_v1.0.csv",),
    "val_kinetics": ("kinetics_val_v1.0.csv",),
    "kinetics_box_lists": (),  # boxes of a person detector; (): those that are annotated
    "frame_dir": "frames",  # below root, like the two that follow
    "frame_list_dir": "frame_lists",  # "": the folders of frames themselves
    "annotation_dir": "annotations",
    "train_gt_box_lists": ("ava_train_v2.2.csv",),
    "train_box_lists": (),
    "test_box_lists": ("person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv",),
    "score_threshold": 0.9,
    "max_boxes": 64,  # per clip; shorter lists are padded
    "label_map": "ava_action_list_v2.2_for_activitynet_2019.pbtxt",
    "exclusions": "ava_val_excluded_timestamps_v2.2.csv",
    "ground_truth": "ava_val_v2.2.csv",
    "evaluator": "official",  # or "pyslowfast": see slowfast_jax/metrics/ava.py
    "full_test_on_val": False,  # during training every fourth second is evaluated
    "test_flip": False,
    "color_augmentation": False,
    "pca_jitter_only": True,  # of the colour augmentation
    "fps": 30.0,  # of the extracted frames
    "first_frame_second": 900,  # the time of frame 0 in the film
    "keyframe_seconds": (902, 1799),  # the second is past the last
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

# The ground truth file is listed as predicted boxes too (its person id is read as the score, so
# person 0 falls below the threshold); that is what the original's recipes do.
TRAINED = (
    common.steps(
        0.1, epochs=20, at=(0, 10, 15, 20), relative=(1.0, 0.1, 0.01, 0.001),
        warmup_epochs=5.0, warmup_start_lr=0.000125,
    ),
    {
        "data": {
            "train_box_lists": (
                "ava_train_v2.2.csv",
                "person_box_67091280_iou90/"
                "ava_detection_train_boxes_and_labels_include_negative_v2.2.csv",
            ),
        },
        "train": {"eval_period": 5},
    },
)
# The original's schedule section of these is empty, so the rest are its defaults.
CAFFE2 = (
    common.cosine(0.1, epochs=300),
    common.TEST_ONLY,
    {"train": {"batch_size": 16, "eval_period": 1}, "norm": {"group_size": 2}},
)


def _net(name: str, **keywords) -> Part:
    return common.network(f"ava/{name}", **keywords)


def _printed(mean_ap: float, file: str, version: str = "2.2") -> Part:
    return common.published(
        "PySlowFast MODEL_ZOO.md", "1x1", mean_ap=mean_ap, weights=WEIGHTS + file,
        note=f"AVA {version}, predicted boxes",
    )


MINI = (
    common.network("kinetics/mini"),
    common.mini(
        "ava_mini", num_classes=17, detection=True, activation="sigmoid", dropout=0.2,
        strides=(1, 2, 1, 1), roi_scale=1 / 8,  # figures are small
        slow_frames="stride",  # of 8 frames the first and the keyframe
    ),
    common.cosine(0.003, epochs=6, warmup_epochs=1.0, warmup_start_lr=0.0003),
    {
        "protocol": {"num_frames": 8, "sampling_rate": 2, "train_crop": 96, "test_crop": 96},
        "data": {
            "video_dir": "videos",
            "jitter": (96, 104),
            "random_flip": False,  # walking left and right are classes
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
        _printed(19.5, "C2D_8x8_R50.pkl"),
    ),
    "c2_slowfast_32x2_r50": (_net("slowfast_32x2_r50"), *CAFFE2, LOW_THRESHOLD),
    "c2_slowfast_32x2_r101_50_50": (
        _net("slowfast_32x2_r101_50_50"), *CAFFE2, LOW_THRESHOLD,
        _printed(29.1, "SLOWFAST_32x2_R101_50_50.pkl"),
    ),
    "c2_slowfast_32x2_r101_50_50_v2.1": (
        _net("slowfast_32x2_r101_50_50"), *CAFFE2, LOW_THRESHOLD, VERSION_2_1,
        _printed(28.2, "SLOWFAST_32x2_R101_50_50_v2.1.pkl", "2.1"),
    ),
    "c2_slowfast_64x2_r101_50_50": (
        _net("slowfast_64x2_r101_50_50"), *CAFFE2, LOW_THRESHOLD,
        _printed(29.4, "SLOWFAST_64x2_R101_50_50.pkl"),
    ),
    "mini": MINI,
    # The same network on the keyframe alone, repeated: what motion is worth.
    "mini_still": (*MINI, {"protocol": {"sampling_rate": 0}}),
}


def get_config(variant: str = "") -> ConfigDict:
    """The recipe of a variant; ValueError naming close ones if there is none."""
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
