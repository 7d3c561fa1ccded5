"""What the original's YAML files of vision transformers set, restated as data; see published.py."""

from collections.abc import Mapping, Sequence
from typing import Any

Values = Mapping[str, Any]  # "TRAIN.BATCH_SIZE" -> value

TINY, SMALL, BASE, LARGE = (1, 3, 8), (1, 3, 14), (2, 5, 21), (2, 8, 44)
COSINE = {
    "SOLVER.LR_POLICY": "cosine", "SOLVER.COSINE_AFTER_WARMUP": True,
    "SOLVER.COSINE_END_LR": "1e-6", "SOLVER.ZERO_WD_1D_PARAM": True,
    "SOLVER.BASE_LR_SCALE_NUM_SHARDS": True, "BN.USE_PRECISE_STATS": False,
}
AUGMENTED = {
    "AUG.ENABLE": True, "AUG.COLOR_JITTER": 0.4, "AUG.AA_TYPE": "rand-m7-n4-mstd0.5-inc1",
    "AUG.INTERPOLATION": "bicubic", "AUG.RE_PROB": 0.25, "AUG.RE_MODE": "pixel",
    "AUG.RE_COUNT": 1, "AUG.RE_SPLIT": False, "MIXUP.ENABLE": True, "MIXUP.ALPHA": 0.8,
    "MIXUP.CUTMIX_ALPHA": 1.0, "MIXUP.PROB": 1.0, "MIXUP.SWITCH_PROB": 0.5,
    "MIXUP.LABEL_SMOOTH_VALUE": 0.1, "MODEL.LOSS_FUNC": "soft_cross_entropy",
}
SHARED = {
    **COSINE, **AUGMENTED, "MODEL.MODEL_NAME": "MViT", "MODEL.ARCH": "mvit",
    "DATA.INPUT_CHANNEL_NUM": [3], "DATA.TEST_CROP_SIZE": 224, "MVIT.ZERO_DECAY_POS_CLS": False,
    "MVIT.MODE": "conv", "MVIT.MLP_RATIO": 4.0, "MVIT.QKV_BIAS": True, "MVIT.NORM": "layernorm",
}
ADAMW = {"SOLVER.OPTIMIZING_METHOD": "adamw", "SOLVER.WEIGHT_DECAY": 0.05}
IMAGENET_COLORS = {"DATA.MEAN": [0.485, 0.456, 0.406], "DATA.STD": [0.229, 0.224, 0.225]}


def multiscale(
    depth: int, stages: Sequence[int], drop_path: float, kernel: list[int] | None, kv: list[int]
) -> Values:
    """MViT; `stages`: the blocks where the width doubles and queries are pooled."""
    doubled = [[block, 2.0] for block in stages]
    return {
        "MVIT.DEPTH": depth, "MVIT.EMBED_DIM": 96, "MVIT.NUM_HEADS": 1,
        "MVIT.DROPPATH_RATE": drop_path, "MVIT.DIM_MUL": doubled, "MVIT.HEAD_MUL": doubled,
        "MVIT.POOL_Q_STRIDE": [[block, 1, 2, 2] for block in stages],
        "MVIT.POOL_KV_STRIDE_ADAPTIVE": kv,
    } | ({"MVIT.POOL_KVQ_KERNEL": kernel} if kernel else {})


def second(depth: int, stages: Sequence[int]) -> Values:
    """What MViTv2 sets in addition."""
    return {
        "MVIT.USE_ABS_POS": False, "MVIT.REL_POS_SPATIAL": True, "MVIT.RESIDUAL_POOLING": True,
        "MVIT.DIM_MUL_IN_ATT": True,
        "MVIT.POOL_Q_STRIDE": [
            [block, 1, 2, 2] if block in stages else [block, 1, 1, 1] for block in range(depth)
        ],
    }


def video(frames: int, rate: int) -> Values:
    return {
        "DATA.NUM_FRAMES": frames, "DATA.SAMPLING_RATE": rate,
        "MVIT.PATCH_KERNEL": "(3, 7, 7)", "MVIT.PATCH_STRIDE": "(2, 4, 4)",
        "MVIT.PATCH_PADDING": "(1, 3, 3)", "MODEL.DROPOUT_RATE": 0.5,
    }


def kinetics(
    frames: int, rate: int, depth: int, stages: Sequence[int], drop_path: float,
    kernel: list[int] | None = None,
) -> Values:
    return {
        **SHARED, **ADAMW, **video(frames, rate), "AUG.NUM_SAMPLE": 2,
        **multiscale(depth, stages, drop_path, kernel, [1, 8, 8]),
        "TRAIN.BATCH_SIZE": 16, "TRAIN.CHECKPOINT_PERIOD": 10,
        "DATA.TRAIN_JITTER_SCALES_RELATIVE": [0.08, 1.0],
        "DATA.TRAIN_JITTER_ASPECT_RELATIVE": [0.75, 1.3333], "DATA.USE_OFFSET_SAMPLING": True,
        "SOLVER.BASE_LR": 0.0001, "SOLVER.MAX_EPOCH": 200, "SOLVER.WARMUP_EPOCHS": 30.0,
        "SOLVER.WARMUP_START_LR": "1e-6", "SOLVER.CLIP_GRAD_L2NORM": 1.0,
        "TEST.NUM_ENSEMBLE_VIEWS": 5, "TEST.NUM_SPATIAL_CROPS": 1,
    }


FIRST = {"MVIT.SEP_POS_EMBED": True, "TEST.NUM_ENSEMBLE_VIEWS": 10}
TIME = {"MVIT.REL_POS_TEMPORAL": True}
LARGE_FILE = {
    **second(48, LARGE), **TIME, **IMAGENET_COLORS, "MVIT.EMBED_DIM": 144, "MVIT.NUM_HEADS": 2,
    "DATA.TRAIN_CROP_SIZE": 312, "DATA.TEST_CROP_SIZE": 312,
    "DATA.TRAIN_JITTER_SCALES": [356, 446], "AUG.NUM_SAMPLE": 1, "MIXUP.PROB": 0.0,
    "MODEL.ACT_CHECKPOINT": True, "TEST.BATCH_SIZE": 8, "TEST.NUM_SPATIAL_CROPS": 3,
}
CUBE, SQUARE = [3, 3, 3], [1, 3, 3]
_large_kinetics = {**kinetics(40, 3, 48, LARGE, 0.75, CUBE), **LARGE_FILE}
KINETICS: dict[str, Values] = {
    "mvit_b_16x4_conv": {**kinetics(16, 4, 16, SMALL, 0.2, CUBE), **FIRST},
    "mvit_b_32x3_conv": {**kinetics(32, 3, 24, BASE, 0.3), **FIRST},
    "mvitv2_s_16x4": {**kinetics(16, 4, 16, SMALL, 0.2, CUBE), **second(16, SMALL), **TIME},
    "mvitv2_b_32x3": {**kinetics(32, 3, 24, BASE, 0.3, CUBE), **second(24, BASE), **TIME},
    "mvitv2_l_40x3_test": {
        # which leaves out how to train
        **{key: value for key, value in _large_kinetics.items()
           if not key.startswith(("SOLVER.", "TRAIN."))},
        "TRAIN.ENABLE": False, "TRAIN.CHECKPOINT_PERIOD": 10,
    },
    "rev_mvit_b_16x4_conv": {
        **kinetics(16, 4, 16, SMALL, 0.05, CUBE), **FIRST, "MODEL.ARCH": "slow",
        "MVIT.QKV_BIAS": False, "MVIT.REV.ENABLE": True, "MVIT.REV.BUFFER_LAYERS": [*SMALL],
        "DATA.USE_OFFSET_SAMPLING": False, "SOLVER.WARMUP_EPOCHS": 50.0,
        "SOLVER.WEIGHT_DECAY": 0.07, "SOLVER.CLIP_GRAD_L2NORM": None,
        "TEST.NUM_ENSEMBLE_VIEWS": 5,
    },
}


def ssv2(frames: int, rate: int, depth: int, stages: Sequence[int], base_lr: float) -> Values:
    return {
        **SHARED, **video(frames, rate), **multiscale(depth, stages, 0.4, CUBE, [1, 8, 8]),
        **second(depth, stages), **TIME, "TRAIN.DATASET": "ssv2", "TEST.DATASET": "ssv2",
        "TRAIN.BATCH_SIZE": 16, "TRAIN.EVAL_PERIOD": 2, "TRAIN.CHECKPOINT_PERIOD": 2,
        "TRAIN.CHECKPOINT_EPOCH_RESET": True, "DATA.INV_UNIFORM_SAMPLE": True,
        "DATA.RANDOM_FLIP": False, "DATA.REVERSE_INPUT_CHANNEL": True, "MODEL.NUM_CLASSES": 174,
        "SOLVER.OPTIMIZING_METHOD": "sgd", "SOLVER.BASE_LR": base_lr, "SOLVER.MAX_EPOCH": 100,
        "SOLVER.WARMUP_EPOCHS": 3.0, "SOLVER.WARMUP_START_LR": 0.0001,
        "TEST.NUM_ENSEMBLE_VIEWS": 1, "TEST.NUM_SPATIAL_CROPS": 3, "PREFETCH.NUM_LOADERS": 3,
    }


def imagenet(depth: int, stages: Sequence[int], drop_path: float) -> Values:
    return {
        **SHARED, **ADAMW, **IMAGENET_COLORS,
        **multiscale(depth, stages, drop_path, SQUARE, [1, 4, 4]),
        "TRAIN.DATASET": "imagenet", "TEST.DATASET": "imagenet", "TRAIN.BATCH_SIZE": 256,
        "TEST.BATCH_SIZE": 256, "DATA.NUM_FRAMES": 1, "AUG.AA_TYPE": "rand-m9-n6-mstd0.5-inc1",
        "MVIT.PATCH_2D": True, "MVIT.PATCH_KERNEL": [7, 7], "MVIT.PATCH_STRIDE": [4, 4],
        "MVIT.PATCH_PADDING": [3, 3], "MODEL.NUM_CLASSES": 1000, "MODEL.DROPOUT_RATE": 0.0,
        "SOLVER.BASE_LR": 0.00025, "SOLVER.MAX_EPOCH": 300, "SOLVER.WARMUP_EPOCHS": 70.0,
        "SOLVER.WARMUP_START_LR": "1e-8", "SOLVER.CLIP_GRAD_L2NORM": 1.0,
    }


def imagenet_second(depth: int, stages: Sequence[int], drop_path: float) -> Values:
    return {
        **imagenet(depth, stages, drop_path), **second(depth, stages), "MVIT.CLS_EMBED_ON": False,
        "TEST.NUM_ENSEMBLE_VIEWS": 1, "TEST.NUM_SPATIAL_CROPS": 1,
    }


def listed_strides(depth: int) -> Values:
    """The strides of keys and values block by block, instead of adaptive ones."""
    strides = [4, 2, 2] + [1] * (depth - 3)
    return {
        "MVIT.POOL_KV_STRIDE_ADAPTIVE": None,
        "MVIT.POOL_KV_STRIDE": [[block, 1, s, s] for block, s in enumerate(strides)],
    }


def rev_vit(width: int, heads: int, drop_path: float) -> Values:
    return {
        **imagenet(12, (), drop_path), "TRAIN.BATCH_SIZE": 512, "MVIT.EMBED_DIM": width,
        "MVIT.NUM_HEADS": heads, "MVIT.PATCH_KERNEL": [16, 16], "MVIT.PATCH_STRIDE": [16, 16],
        "MVIT.PATCH_PADDING": [0, 0], "MVIT.POOL_KVQ_KERNEL": None,
        "MVIT.POOL_KV_STRIDE_ADAPTIVE": None, "SOLVER.BASE_LR": 0.0005, **REVERSIBLE,
    }


REVERSIBLE = {
    "MVIT.REV.ENABLE": True, "MVIT.SEPARATE_QKV": True, "MVIT.CLS_EMBED_ON": False,
}
OTHERS: dict[str, Values] = {
    "ssv2/mvitv2_s_16x4": ssv2(16, 4, 16, SMALL, 0.0025),
    "ssv2/mvitv2_b_32x3": ssv2(32, 3, 24, BASE, 0.0015),
    "ssv2/mvitv2_l_40x3": {
        **ssv2(40, 3, 48, LARGE, 0.00125), **LARGE_FILE, "MVIT.DROPPATH_RATE": 0.75,
        "TRAIN.BATCH_SIZE": 8, "TRAIN.CHECKPOINT_PERIOD": 1, "TRAIN.CHECKPOINT_IN_INIT": True,
        "SOLVER.MAX_EPOCH": 40,
        "SOLVER.WARMUP_START_LR": "1e-6", "SOLVER.CLIP_GRAD_L2NORM": 2.0,
    },
    "imagenet/mvit_b_16_conv": imagenet(16, SMALL, 0.1),
    "imagenet/mvitv2_t": {**imagenet_second(10, TINY, 0.1), **listed_strides(10)},
    "imagenet/mvitv2_s": {**imagenet_second(16, SMALL, 0.1), **listed_strides(16)},
    "imagenet/mvitv2_b": imagenet_second(24, BASE, 0.3),
    "imagenet/rev_vit_s": {**rev_vit(384, 6, 0.1), "AUG.AA_TYPE": "rand-m7-mstd0.5-inc1"},
    "imagenet/rev_vit_b": {
        **rev_vit(768, 12, 0.2), "AUG.AA_TYPE": "rand-m6-n5-mstd0.5-inc1",
        "MVIT.REV.PRE_Q_FUSION": "concat", "SOLVER.WEIGHT_DECAY": 0.1,
        "SOLVER.CLIP_GRAD_L2NORM": 2.0,
    },
    "imagenet/rev_mvit_b_16_conv": {
        **imagenet(16, SMALL, 0.1), **REVERSIBLE, "MVIT.REV.BUFFER_LAYERS": [*SMALL],
        "MVIT.REV.PRE_Q_FUSION": "concat_linear_2",
    },
}
