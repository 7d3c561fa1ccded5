"""From the keys MVIT.* of PySlowFast to the keywords of MViT and of the reversible networks."""

from collections.abc import Mapping
from typing import Any

# Key of section MVIT -> keyword with the same value; None becomes ().
SAME = {
    "DEPTH": "depth", "EMBED_DIM": "width", "NUM_HEADS": "heads", "MLP_RATIO": "mlp_ratio",
    "DIM_MUL": "dim_mul", "HEAD_MUL": "head_mul", "MODE": "pool_mode",
    "POOL_FIRST": "pool_first", "POOL_KVQ_KERNEL": "pool_kernel", "POOL_Q_STRIDE": "q_strides",
    "POOL_KV_STRIDE": "kv_strides", "POOL_KV_STRIDE_ADAPTIVE": "adaptive_kv_stride",
    "RESIDUAL_POOLING": "residual_pooling", "SEPARATE_QKV": "separate_qkv",
    "QKV_BIAS": "qkv_bias", "REL_POS_SPATIAL": "rel_pos_space",
    "REL_POS_TEMPORAL": "rel_pos_time", "REL_POS_ZERO_INIT": "rel_pos_zero_init",
    "USE_MEAN_POOLING": "mean_pooling", "NORM_STEM": "norm_stem", "DROPPATH_RATE": "drop_path",
    "HEAD_INIT_SCALE": "head_init_scale", "CLS_EMBED_ON": "class_token",
    "DIM_MUL_IN_ATT": "dim_mul_in_att",
}
# Key of section MVIT -> keyword, and its value in time where patches are those of images.
PATCHES = {
    "PATCH_KERNEL": ("patch_kernel", 1), "PATCH_STRIDE": ("patch_stride", 1),
    "PATCH_PADDING": ("patch_padding", 0),
}
INIT_STD = 0.02  # of all layers in the original, whatever MODEL.FC_INIT_STD says


def transformer(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of MViT."""
    keywords = {
        keyword: () if values[f"MVIT.{key}"] is None else values[f"MVIT.{key}"]
        for key, keyword in SAME.items()
    }
    for key, (keyword, in_time) in PATCHES.items():
        value = values[f"MVIT.{key}"]
        keywords[keyword] = (in_time, *value) if values["MVIT.PATCH_2D"] else value
    if keywords["adaptive_kv_stride"]:
        keywords["kv_strides"] = ()
    return keywords | {
        "abs_pos": _positions(values),
        "decay_positions": not values["MVIT.ZERO_DECAY_POS_CLS"],
        "fc_init_std": INIT_STD,
    }


def reversible(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of a reversible network, which has no class token, whatever CLS_EMBED_ON says."""
    keywords = transformer(values)
    del keywords["class_token"], keywords["dim_mul_in_att"]
    return keywords | {
        "transitions": values["MVIT.REV.BUFFER_LAYERS"],
        "stage_fusion": values["MVIT.REV.PRE_Q_FUSION"],
        "final_fusion": values["MVIT.REV.RESPATH_FUSE"],
    }


def _positions(values: Mapping[str, Any]) -> str:
    """The kind of absolute positions."""
    if not values["MVIT.USE_ABS_POS"]:
        return "none"
    if values["MVIT.USE_FIXED_SINCOS_POS"]:
        return "sincos"
    return "separate" if values["MVIT.SEP_POS_EMBED"] else "joint"
