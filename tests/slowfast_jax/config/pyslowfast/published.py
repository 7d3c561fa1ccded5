"""What the YAML files of PySlowFast set, restated as data: the files that are recipes here, too."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.slowfast_jax.config.pyslowfast import published_transformers

Values = Mapping[str, Any]  # "TRAIN.BATCH_SIZE" -> value

SIX = [1, 0.1, 0.01, 0.001, 0.0001, 0.00001]
SHARED = {
    "NUM_GPUS": 8, "NUM_SHARDS": 1, "RNG_SEED": 0, "OUTPUT_DIR": ".",
    "TRAIN.CHECKPOINT_PERIOD": 1, "TRAIN.AUTO_RESUME": True,
    "TEST.BATCH_SIZE": 64, "RESNET.ZERO_INIT_FINAL_BN": True, "RESNET.STRIDE_1X1": False,
    "RESNET.TRANS_FUNC": "bottleneck_transform",
    "BN.USE_PRECISE_STATS": True, "SOLVER.MOMENTUM": 0.9, "SOLVER.WEIGHT_DECAY": "1e-4",
}
COSINE = {
    "SOLVER.LR_POLICY": "cosine", "SOLVER.MAX_EPOCH": 196, "SOLVER.WARMUP_EPOCHS": 34.0,
    "SOLVER.WARMUP_START_LR": 0.01,
}
TEST_ONLY = {"TRAIN.ENABLE": False, "TRAIN.CHECKPOINT_TYPE": "caffe2"}
INFLATED = {
    "TRAIN.CHECKPOINT_INFLATE": True, "SOLVER.BASE_LR": 0.01, "SOLVER.MAX_EPOCH": 118,
    "SOLVER.LR_POLICY": "steps_with_relative_lrs", "SOLVER.STEPS": [0, 44, 88, 118],
    "SOLVER.LRS": SIX[:4],
}
STEPWISE = {
    **COSINE, "SOLVER.LR_POLICY": "steps_with_relative_lrs", "SOLVER.STEPS": [0, 94, 154, 196],
    "SOLVER.LRS": SIX, "SOLVER.MAX_EPOCH": 239,
}
MULTIGRID = {"MULTIGRID.SHORT_CYCLE": True, "MULTIGRID.LONG_CYCLE": True}


def single(arch: str, frames: int = 8, rate: int = 8, depth: int = 50, mode: str = ""):
    """A network with one pathway; `mode`: that of its non-local blocks, if it has any."""
    at = [[[]], [[1, 3]], [[1, 3, 5]], [[]]]
    temporal = [[3], [4], [6 if depth == 50 else 23], [3]]
    return {
        "MODEL.MODEL_NAME": "ResNet", "MODEL.ARCH": arch, "DATA.INPUT_CHANNEL_NUM": [3],
        "DATA.NUM_FRAMES": frames, "DATA.SAMPLING_RATE": rate, "RESNET.DEPTH": depth,
        "RESNET.NUM_BLOCK_TEMP_KERNEL": temporal,
        "NONLOCAL.LOCATION": at if mode else [[[]]] * 4,
        "NONLOCAL.INSTANTIATION": mode or "softmax",
    }


def pair(alpha: int, kernel: int, frames: int = 32, depth: int = 50, res4=(6, 6), at=()):
    """SlowFast; `at`: stage 2 to 5 -> places of its non-local blocks, in the slow pathway."""
    return {
        "MODEL.MODEL_NAME": "SlowFast", "MODEL.ARCH": "slowfast",
        "DATA.INPUT_CHANNEL_NUM": [3, 3], "DATA.NUM_FRAMES": frames, "DATA.SAMPLING_RATE": 2,
        "SLOWFAST.ALPHA": alpha, "SLOWFAST.BETA_INV": 8, "SLOWFAST.FUSION_KERNEL_SZ": kernel,
        "RESNET.DEPTH": depth, "RESNET.NUM_BLOCK_TEMP_KERNEL": [[3, 3], [4, 4], [*res4], [3, 3]],
        "RESNET.SPATIAL_STRIDES": [[1, 1], [2, 2], [2, 2], [2, 2]],
        "RESNET.SPATIAL_DILATIONS": [[1, 1]] * 4,
        "NONLOCAL.LOCATION": [[dict(at).get(stage, []), []] for stage in range(2, 6)],
        "NONLOCAL.GROUP": [[1, 1]] * 4,
    }


def x3d(frames: int, rate: int, crops: tuple[int, int], jitter: list[int], large: bool = False):
    batch = 64 if large else 128
    return {
        "MODEL.MODEL_NAME": "X3D", "MODEL.ARCH": "x3d", "RESNET.TRANS_FUNC": "x3d_transform",
        "DATA.NUM_FRAMES": frames, "DATA.SAMPLING_RATE": rate, "DATA.TRAIN_CROP_SIZE": crops[0],
        "DATA.TEST_CROP_SIZE": crops[1], "DATA.TRAIN_JITTER_SCALES": jitter,
        "X3D.WIDTH_FACTOR": 2.0, "X3D.BOTTLENECK_FACTOR": 2.25,
        "X3D.DEPTH_FACTOR": 5.0 if large else 2.2, "TRAIN.BATCH_SIZE": batch,
        "TRAIN.CHECKPOINT_PERIOD": 10, "TEST.BATCH_SIZE": batch // 2,
        "SOLVER.BASE_LR_SCALE_NUM_SHARDS": True, "SOLVER.BASE_LR": 0.05 if large else 0.1,
        "SOLVER.MAX_EPOCH": 256 if large else 300, "SOLVER.WARMUP_EPOCHS": 35.0,
        "SOLVER.WEIGHT_DECAY": "5e-5",
    }


NLN50 = {3: [1, 3], 4: [1, 3, 5]}
NLN101 = {4: [6, 13, 20]}
KINETICS: dict[str, Values] = {
    "c2d_8x8_r50": {**single("c2d"), **COSINE},
    "c2d_8x8_r50_in1k": {**single("c2d"), **INFLATED},
    "c2d_nln_8x8_r50": {**single("c2d", mode="softmax"), **COSINE},
    "c2d_nln_8x8_r50_in1k": {**single("c2d", mode="softmax"), **INFLATED},
    "i3d_8x8_r101": {**single("i3d", depth=101), **COSINE},
    "i3d_8x8_r50": {**single("i3d"), **COSINE},
    "i3d_8x8_r50_in1k": {**single("i3d"), **INFLATED},
    "i3d_nln_8x8_r50": {**single("i3d", mode="softmax"), **COSINE},
    "i3d_nln_8x8_r50_in1k": {**single("i3d", mode="softmax"), **INFLATED},
    "i3d_nln_8x8_r101": {**single("i3d", depth=101, mode="softmax"), **COSINE},
    "slow_4x16_r50": {**single("slow", 4, 16), **COSINE},
    "slow_8x8_r50": {**single("slow"), **COSINE},
    "slow_nln_4x16_r50": {**single("slow", 4, 16, mode="dot_product"), **COSINE},
    "slow_nln_8x8_r50": {**single("slow", mode="dot_product"), **COSINE},
    "slowfast_4x16_r50": {**pair(8, 5), **COSINE},
    "slowfast_8x8_r50": {**pair(4, 7), **COSINE},
    "slowfast_8x8_r50_stepwise": {**pair(4, 7), **STEPWISE},
    "slowfast_8x8_r50_stepwise_multigrid": {
        **pair(4, 7), **STEPWISE, **MULTIGRID, "DATA.TEST_CROP_SIZE": 224
    },
    "slowfast_nln_4x16_r50": {**pair(8, 5, at=NLN50), **COSINE},
    "slowfast_nln_8x8_r50": {**pair(4, 5, at=NLN50), **COSINE},
    "x3d_xs": x3d(4, 12, (160, 182), [182, 228]),
    "x3d_s": x3d(13, 6, (160, 182), [182, 228]),
    "x3d_m": x3d(16, 5, (224, 256), [256, 320]),
    "x3d_l": x3d(16, 5, (312, 356), [356, 446], large=True),
    "c2_c2d_nopool_8x8_r50": {
        **single("c2d"), **COSINE, **TEST_ONLY, "MODEL.MODEL_NAME": "ResNet_nopool"
    },
    "c2_i3d_8x8_r50": {**single("i3d"), **COSINE, **TEST_ONLY},
    "c2_i3d_nln_8x8_r50": {**single("i3d", mode="softmax"), **COSINE, **TEST_ONLY},
    "c2_slow_4x16_r50": {**single("slow", 4, 16), **COSINE, **TEST_ONLY},
    "c2_slow_8x8_r50": {**single("slow"), **COSINE, **TEST_ONLY},
    "c2_slowfast_4x16_r50": {**pair(8, 5), **COSINE, **TEST_ONLY},
    "c2_slowfast_8x8_r50": {**pair(4, 7), **COSINE, **TEST_ONLY},
    "c2_slowfast_8x8_r101_50_50": {**pair(4, 5, 32, 101), **COSINE, **TEST_ONLY},
    "c2_slowfast_8x8_r101_101_101": {**pair(4, 5, 32, 101, (23, 23)), **COSINE, **TEST_ONLY},
    "c2_slowfast_16x8_r101_50_50": {**pair(4, 5, 64, 101), **COSINE, **TEST_ONLY},
    "c2_slowfast_8x8_r101_50_101": {**pair(4, 5, 32, 101, (6, 23)), **COSINE, **TEST_ONLY},
    "c2_slowfast_nln_16x8_r101_50_50": {
        **pair(4, 5, 64, 101, at=NLN101), **COSINE, **TEST_ONLY
    },
}

DILATED = {
    1: {"RESNET.SPATIAL_STRIDES": [[1], [2], [2], [1]],
        "RESNET.SPATIAL_DILATIONS": [[1], [1], [1], [2]]},
    2: {"RESNET.SPATIAL_STRIDES": [[1, 1], [2, 2], [2, 2], [1, 1]],
        "RESNET.SPATIAL_DILATIONS": [[1, 1], [1, 1], [1, 1], [2, 2]]},
}
BOXES = "person_box_67091280_iou90/ava_detection_{}.csv"
DETECTION = {
    "TRAIN.DATASET": "ava", "TEST.DATASET": "ava", "TEST.BATCH_SIZE": 8, "DETECTION.ENABLE": True,
    "MODEL.NUM_CLASSES": 80, "MODEL.LOSS_FUNC": "bce", "MODEL.HEAD_ACT": "sigmoid",
    "BN.USE_PRECISE_STATS": False, "SOLVER.WEIGHT_DECAY": "1e-7",
    "AVA.TEST_PREDICT_BOX_LISTS": [BOXES.format("val_boxes_and_labels")],
}
SHORT = {
    **DETECTION, "DETECTION.ALIGNED": True, "TRAIN.EVAL_PERIOD": 5,
    "AVA.TRAIN_PREDICT_BOX_LISTS": [
        "ava_train_v2.2.csv", BOXES.format("train_boxes_and_labels_include_negative_v2.2")
    ],
    "SOLVER.LR_POLICY": "steps_with_relative_lrs", "SOLVER.STEPS": [0, 10, 15, 20],
    "SOLVER.LRS": SIX[:4], "SOLVER.MAX_EPOCH": 20, "SOLVER.WARMUP_EPOCHS": 5.0,
    "SOLVER.WARMUP_START_LR": 0.000125,
}
CAFFE2 = {
    **DETECTION, **TEST_ONLY, "DETECTION.ALIGNED": False, "TRAIN.BATCH_SIZE": 16,
    "TRAIN.EVAL_PERIOD": 1,
}
AVA: dict[str, Values] = {
    "slowfast_32x2_r50_short": {
        **pair(4, 7), **DILATED[2], **SHORT, "DATA.TEST_CROP_SIZE": 224,
        "AVA.DETECTION_SCORE_THRESH": 0.8,
    },
    "slow_8x8_r50_short": {**single("slow", 4, 16), **DILATED[1], **SHORT},
    "c2_slow_8x8_r50": {
        **single("slow", 4, 16), **DILATED[1], **CAFFE2, "TRAIN.BATCH_SIZE": 64,
        "AVA.TEST_PREDICT_BOX_LISTS": [
            "person_box_67091280_iou75/ava_detection_val_boxes_and_labels.csv"
        ],
    },
    "c2_slowfast_32x2_r50": {
        **pair(4, 7), **DILATED[2], **CAFFE2, "AVA.DETECTION_SCORE_THRESH": 0.8,
    },
    "c2_slowfast_32x2_r101_50_50": {
        **pair(4, 5, 32, 101, at=NLN101), **DILATED[2], **CAFFE2,
        "NONLOCAL.POOL": [[[2, 2, 2], [2, 2, 2]]] * 4, "AVA.DETECTION_SCORE_THRESH": 0.8,
    },
    "c2_slowfast_64x2_r101_50_50": {
        **pair(4, 5, 64, 101, at=NLN101), **DILATED[2], **CAFFE2,
        "NONLOCAL.POOL": [[[2, 2, 2], [2, 2, 2]]] * 4, "AVA.DETECTION_SCORE_THRESH": 0.8,
    },
    "c2_slowfast_32x2_r101_50_50_v2.1": {
        **pair(4, 5, 32, 101, at=NLN101), **DILATED[2], **CAFFE2,
        "NONLOCAL.POOL": [[[2, 2, 2], [2, 2, 2]]] * 4, "AVA.DETECTION_SCORE_THRESH": 0.8,
        "AVA.TRAIN_GT_BOX_LISTS": ["ava_train_v2.1.csv"],
        "AVA.EXCLUSION_FILE": "ava_val_excluded_timestamps_v2.1.csv",
        "AVA.GROUNDTRUTH_FILE": "ava_val_v2.1.csv",
        "AVA.LABEL_MAP_FILE": "ava_action_list_v2.1_for_activitynet_2018.pbtxt",
    },
}

LONG = {  # SlowFast 16x8 on 8 GPUs with 2 clips each, started from Kinetics
    **pair(4, 7, 64), "TRAIN.BATCH_SIZE": 16, "TEST.BATCH_SIZE": 16,
    "TRAIN.CHECKPOINT_FILE_PATH": "SLOWFAST_8x8_R50.pkl", "TRAIN.CHECKPOINT_TYPE": "caffe2",
    "BN.NORM_TYPE": "sync_batchnorm", "BN.NUM_SYNC_DEVICES": 4, "DATA.INV_UNIFORM_SAMPLE": True,
    "DATA.REVERSE_INPUT_CHANNEL": True, "SOLVER.LR_POLICY": "steps_with_relative_lrs",
    "SOLVER.LRS": SIX, "SOLVER.WARMUP_START_LR": 0.0001,
}
SSV2_FILE = {
    **LONG, "TRAIN.DATASET": "ssv2", "TEST.DATASET": "ssv2", "TRAIN.EVAL_PERIOD": 2,
    "TRAIN.CHECKPOINT_PERIOD": 2, "DATA.RANDOM_FLIP": False, "MODEL.NUM_CLASSES": 174,
    "SOLVER.BASE_LR": 0.03, "SOLVER.STEPS": [0, 14, 18], "SOLVER.MAX_EPOCH": 22,
    "SOLVER.WARMUP_EPOCHS": 0.19, "SOLVER.WEIGHT_DECAY": "1e-6", "TEST.NUM_ENSEMBLE_VIEWS": 1,
    "TEST.NUM_SPATIAL_CROPS": 1,
}
CHARADES_FILE = {
    **LONG, "TRAIN.DATASET": "charades", "TEST.DATASET": "charades", "TRAIN.EVAL_PERIOD": 6,
    "TRAIN.CHECKPOINT_PERIOD": 6, "DATA.TRAIN_JITTER_SCALES": [256, 340],
    "DATA.MULTI_LABEL": True, "DATA.ENSEMBLE_METHOD": "max", "MODEL.NUM_CLASSES": 157,
    "MODEL.LOSS_FUNC": "bce_logit", "MODEL.HEAD_ACT": "sigmoid", "SOLVER.BASE_LR": 0.0375,
    "SOLVER.STEPS": [0, 41, 49], "SOLVER.MAX_EPOCH": 57, "SOLVER.WARMUP_EPOCHS": 4.0,
}
OTHERS: dict[str, Values] = {
    "ssv2/slowfast_16x8_r50": SSV2_FILE,
    "ssv2/slowfast_16x8_r50_multigrid": {**SSV2_FILE, **MULTIGRID, "DATA.TEST_CROP_SIZE": 224},
    "charades/slowfast_16x8_r50": CHARADES_FILE,
    "charades/slowfast_16x8_r50_multigrid": {**CHARADES_FILE, **MULTIGRID},
    "imagenet/res_r50": {
        **single("2d", 1), "TRAIN.DATASET": "imagenet", "TEST.DATASET": "imagenet",
        "TRAIN.BATCH_SIZE": 256, "TEST.BATCH_SIZE": 256, "MODEL.NUM_CLASSES": 1000,
        "DATA.MEAN": [0.485, 0.456, 0.406], "DATA.STD": [0.229, 0.224, 0.225],
        "DATA.TRAIN_JITTER_SCALES_RELATIVE": [0.08, 1.0],
        "DATA.TRAIN_JITTER_ASPECT_RELATIVE": [0.75, 4 / 3],
        "SOLVER.LR_POLICY": "steps_with_relative_lrs", "SOLVER.STEPS": [0, 30, 60, 90],
        "SOLVER.LRS": SIX[:4], "SOLVER.MAX_EPOCH": 100,
    },
}


def hub(values: Values, data_set: str = "kinetics") -> Values:
    """A file of a folder pytorchvideo/: PyTorchVideo's network and reader."""
    return {
        **values, "MODEL.MODEL_NAME": f"PTV{values['MODEL.MODEL_NAME']}",
        "TRAIN.DATASET": f"ptv{data_set}", "TEST.DATASET": f"ptv{data_set}",
        "SOLVER.BASE_LR_SCALE_NUM_SHARDS": True,
    }


LARGE_HUB = {"TRAIN.EVAL_PERIOD": 2, "TRAIN.CHECKPOINT_PERIOD": 10}
STARTED = {
    "TRAIN.CHECKPOINT_EPOCH_RESET": True, "DATA.INV_UNIFORM_SAMPLE": True,
    "DATA.REVERSE_INPUT_CHANNEL": True,
}
SSV2_HUB = {
    **STARTED, **COSINE, "TRAIN.EVAL_PERIOD": 2, "TRAIN.CHECKPOINT_PERIOD": 2,
    "DATA.RANDOM_FLIP": False, "MODEL.NUM_CLASSES": 174, "SOLVER.MAX_EPOCH": 30,
    "SOLVER.WARMUP_EPOCHS": 3.0, "SOLVER.WARMUP_START_LR": 0.08,
    "TEST.NUM_ENSEMBLE_VIEWS": 1, "TEST.NUM_SPATIAL_CROPS": 3,
}
CHARADES_HUB = {
    **STARTED, **COSINE, "TRAIN.EVAL_PERIOD": 6, "TRAIN.CHECKPOINT_PERIOD": 6,
    "DATA.MULTI_LABEL": True, "DATA.ENSEMBLE_METHOD": "max", "BN.USE_PRECISE_STATS": False,
    "MODEL.NUM_CLASSES": 157, "MODEL.LOSS_FUNC": "bce_logit", "MODEL.HEAD_ACT": "sigmoid",
    "SOLVER.BASE_LR": 0.25, "SOLVER.COSINE_END_LR": "1e-6", "SOLVER.MAX_EPOCH": 60,
    "SOLVER.WARMUP_EPOCHS": 5.0, "SOLVER.WARMUP_START_LR": 0.0001,
}
PYTORCHVIDEO: dict[str, Values] = {
    "pytorchvideo/c2d_8x8_r50": hub({**single("c2d"), **COSINE}),
    "pytorchvideo/i3d_8x8_r50": hub({**single("i3d"), **COSINE}),
    "pytorchvideo/slow_4x16_r50": hub({**single("slow", 4, 16), **COSINE}),
    "pytorchvideo/slow_8x8_r50": hub({**single("slow"), **COSINE}),
    "pytorchvideo/slowfast_4x16_r50": hub({**pair(8, 5), **COSINE}),
    "pytorchvideo/slowfast_8x8_r50": hub({**pair(4, 7), **COSINE}),
    "pytorchvideo/slowfast_8x8_r101": hub(
        {**pair(4, 5, 32, 101, (23, 23)), **COSINE, **LARGE_HUB}
    ),
    "pytorchvideo/slowfast_16x8_r101_50_50": hub({
        **pair(4, 5, 64, 101), **COSINE, **LARGE_HUB, "DATA.TRAIN_JITTER_SCALES": [256, 360],
    }),
    "pytorchvideo/x3d_xs": hub(KINETICS["x3d_xs"]),
    "pytorchvideo/x3d_s": hub(KINETICS["x3d_s"]),
    "pytorchvideo/x3d_m": hub(KINETICS["x3d_m"]),
    "pytorchvideo/x3d_l": hub({**KINETICS["x3d_l"], "TRAIN.EVAL_PERIOD": 2}),
    "pytorchvideo/csn_32x2_r101": hub({
        **COSINE, "MODEL.MODEL_NAME": "CSN", "MODEL.ARCH": "csn", "RESNET.DEPTH": 101,
        "DATA.NUM_FRAMES": 32, "DATA.SAMPLING_RATE": 2,
    }),
    "pytorchvideo/r2plus1d_16x4_r50": hub({
        **COSINE, "MODEL.MODEL_NAME": "R2plus1D", "MODEL.ARCH": "r2plus1d",
        "DATA.NUM_FRAMES": 16, "DATA.SAMPLING_RATE": 4,
    }),
    "pytorchvideo/mvit_b_16x4": {
        **published_transformers.KINETICS["mvit_b_16x4_conv"], "MODEL.MODEL_NAME": "PTVMViT",
    },
    "ssv2/slow_8x8_r50": hub({**single("slow"), **SSV2_HUB}, "ssv2"),
    "ssv2/slowfast_8x8_r50": hub(
        {**pair(4, 7), **SSV2_HUB, "BN.NUM_BATCHES_PRECISE": 150}, "ssv2"
    ),
    "charades/slow_8x8_r50": hub(
        {**single("slow"), **CHARADES_HUB, "DATA.TRAIN_JITTER_SCALES": [256, 340]}, "charades"
    ),
    "charades/slowfast_8x8_r50": hub({**pair(4, 7), **CHARADES_HUB}, "charades"),
}


def files() -> Iterator[tuple[str, dict[str, Any]]]:
    """(name of the recipe, what the original's file of it sets)."""
    folders = (
        ("kinetics/", KINETICS), ("ava/", AVA), ("", OTHERS),
        ("kinetics/", published_transformers.KINETICS), ("", published_transformers.OTHERS),
        ("", PYTORCHVIDEO),
    )
    for folder, variants in folders:
        for name, values in variants.items():
            yield folder + name, {**SHARED, **values}


def write(path: Path, values: Values) -> Path:
    """Writes {"TRAIN.ENABLE": True} as a YAML file with sections."""
    content: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        section = content
        for part in sections:
            section = section.setdefault(part, {})
        section[name] = value
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
