"""Reference cases of ../shared/parity: the network, weights, input and recorded outputs of each."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np

from slowfast_jax.models.mvit import MViT
from slowfast_jax.models.resnet3d import ResNet3D
from slowfast_jax.models.reversible import RevMViT
from slowfast_jax.models.slowfast import SlowFast
from slowfast_jax.models.x3d import X3D
from tests.support.paths import PARITY


def load_rule():
    """The module ../shared/parity/weights.py, which generates a case's weights and inputs."""
    spec = importlib.util.spec_from_file_location("parity_weights", PARITY / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def manifest(folder: str, name: str) -> dict[str, Any]:
    return json.loads((PARITY / folder / f"{name}.json").read_text())


def outputs(folder: str, name: str) -> dict[str, np.ndarray]:
    return dict(np.load(PARITY / folder / f"{name}.npz"))


def clip_and_boxes(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """The clip `(N, T, H, W, 3)` and, for detection, boxes `(N, B, 4)` padded with zeros."""
    rule = load_rule()
    fast = rule.make_inputs(case)[-1]
    clip = np.moveaxis(fast, 1, -1)
    if clip.ndim == 4:  # an image is a clip of one frame
        clip = clip[:, None]
    rows = rule.make_boxes(case)
    if rows is None:
        return clip, None
    most = max(int((rows[:, 0] == n).sum()) for n in range(len(clip)))
    boxes = np.zeros((len(clip), most, 4), np.float32)
    for n in range(len(clip)):
        mine = rows[rows[:, 0] == n, 1:]
        boxes[n, : len(mine)] = mine
    return clip, boxes


def rows_of(case: dict[str, Any], per_box: np.ndarray) -> np.ndarray:
    """`(N, B, ...)` -> one row per box of the case, in the case's order."""
    image = load_rule().make_boxes(case)[:, 0].astype(int)
    seen = {n: 0 for n in set(image)}
    rows = []
    for n in image:
        rows.append(per_box[n, seen[n]])
        seen[n] += 1
    return np.stack(rows)


def network(cfg: dict[str, Any]):
    """Our network for the original's configuration."""
    if cfg["MODEL"]["MODEL_NAME"] == "MViT":
        return transformer(cfg)
    model, resnet, data = cfg["MODEL"], cfg["RESNET"], cfg["DATA"]
    shared = dict(
        num_classes=model["NUM_CLASSES"],
        dropout=model["DROPOUT_RATE"],
        activation=model["HEAD_ACT"],
        num_frames=data["NUM_FRAMES"],
        crop_size=data["TRAIN_CROP_SIZE"],
        head_pool="global" if cfg["MULTIGRID"]["SHORT_CYCLE"] else "window",
        mean=tuple(data["MEAN"]),
        std=tuple(data["STD"]),
    )
    if model["MODEL_NAME"] == "X3D":
        x3d = cfg["X3D"]
        return X3D(
            width_factor=x3d["WIDTH_FACTOR"],
            depth_factor=x3d["DEPTH_FACTOR"],
            bottleneck_factor=x3d["BOTTLENECK_FACTOR"],
            stem_width=x3d["DIM_C1"],
            head_width=x3d["DIM_C5"],
            scale_res2=x3d["SCALE_RES2"],
            norm_lin_5=x3d["BN_LIN5"],
            stride_1x1=resnet["STRIDE_1X1"],
            **shared,
        )

    def stages(key: str, section: dict = resnet) -> tuple:
        """Per pathway, then per stage."""
        by_stage = section[key]
        return tuple(
            tuple(_tuple(stage[p]) for stage in by_stage) for p in range(len(by_stage[0]))
        )

    pathway = dict(
        num_block_temp_kernel=stages("NUM_BLOCK_TEMP_KERNEL"),
        nonlocal_blocks=stages("LOCATION", cfg["NONLOCAL"]),
        nonlocal_pool=stages("POOL", cfg["NONLOCAL"]),
        nonlocal_group=stages("GROUP", cfg["NONLOCAL"]),
    )
    shared |= dict(
        depth=resnet["DEPTH"],
        block=resnet["TRANS_FUNC"].removesuffix("_transform"),
        width=resnet["WIDTH_PER_GROUP"],
        groups=resnet["NUM_GROUPS"],
        strides=stages("SPATIAL_STRIDES")[0],
        dilations=stages("SPATIAL_DILATIONS")[0],
        nonlocal_mode=cfg["NONLOCAL"]["INSTANTIATION"],
        detection=cfg["DETECTION"]["ENABLE"],
        roi_resolution=cfg["DETECTION"]["ROI_XFORM_RESOLUTION"],
        roi_scale=1 / cfg["DETECTION"]["SPATIAL_SCALE_FACTOR"],
        roi_aligned=cfg["DETECTION"]["ALIGNED"],
    )
    if model["MODEL_NAME"] == "SlowFast":
        slowfast = cfg["SLOWFAST"]
        return SlowFast(
            alpha=slowfast["ALPHA"],
            beta=slowfast["BETA_INV"],
            fusion_ratio=slowfast["FUSION_CONV_CHANNEL_RATIO"],
            fusion_kernel=slowfast["FUSION_KERNEL_SZ"],
            **shared,
            **pathway,
        )
    return ResNet3D(
        arch=model["ARCH"],
        stride_1x1=resnet["STRIDE_1X1"],
        **shared,
        **{key: value[0] for key, value in pathway.items()},
    )


def transformer(cfg: dict[str, Any]):
    """Our MViT or RevMViT for the original's configuration."""
    model, data, mvit, boxes = cfg["MODEL"], cfg["DATA"], cfg["MVIT"], cfg["DETECTION"]
    flat = len(mvit["PATCH_KERNEL"]) == 2
    positions = "separate" if mvit["SEP_POS_EMBED"] else "joint"
    if mvit["USE_FIXED_SINCOS_POS"]:
        positions = "sincos"
    adaptive, kernel = mvit.get("POOL_KV_STRIDE_ADAPTIVE"), mvit.get("POOL_KVQ_KERNEL")
    reversible, make = mvit["REV"], MViT
    options = dict(class_token=mvit["CLS_EMBED_ON"], dim_mul_in_att=mvit["DIM_MUL_IN_ATT"])
    if reversible["ENABLE"]:
        make = RevMViT
        options = dict(
            transitions=tuple(reversible["BUFFER_LAYERS"]),
            stage_fusion=reversible["PRE_Q_FUSION"],
            final_fusion=reversible["RESPATH_FUSE"],
        )
    return make(
        num_classes=model["NUM_CLASSES"],
        dropout=model["DROPOUT_RATE"],
        activation=model["HEAD_ACT"],
        num_frames=data["NUM_FRAMES"],
        crop_size=data["TRAIN_CROP_SIZE"],
        mean=tuple(data["MEAN"]),
        std=tuple(data["STD"]),
        detection=boxes["ENABLE"],
        roi_resolution=boxes["ROI_XFORM_RESOLUTION"],
        roi_scale=1 / boxes["SPATIAL_SCALE_FACTOR"],
        roi_aligned=boxes["ALIGNED"],
        depth=mvit["DEPTH"],
        width=mvit["EMBED_DIM"],
        heads=mvit["NUM_HEADS"],
        mlp_ratio=mvit["MLP_RATIO"],
        patch_kernel=((1,) if flat else ()) + tuple(mvit["PATCH_KERNEL"]),
        patch_stride=((1,) if flat else ()) + tuple(mvit["PATCH_STRIDE"]),
        patch_padding=((0,) if flat else ()) + tuple(mvit["PATCH_PADDING"]),
        dim_mul=_tuple(mvit["DIM_MUL"]),
        head_mul=_tuple(mvit["HEAD_MUL"]),
        pool_mode=mvit["MODE"],
        pool_first=mvit["POOL_FIRST"],
        pool_kernel=_tuple(kernel or ()),
        q_strides=_tuple(mvit["POOL_Q_STRIDE"]),
        kv_strides=_tuple(mvit["POOL_KV_STRIDE"]),
        adaptive_kv_stride=_tuple(adaptive or ()),
        residual_pooling=mvit["RESIDUAL_POOLING"],
        separate_qkv=mvit["SEPARATE_QKV"],
        qkv_bias=mvit["QKV_BIAS"],
        abs_pos=positions if mvit["USE_ABS_POS"] else "none",
        rel_pos_space=mvit["REL_POS_SPATIAL"],
        rel_pos_time=mvit["REL_POS_TEMPORAL"],
        decay_positions=not mvit["ZERO_DECAY_POS_CLS"],
        mean_pooling=mvit["USE_MEAN_POOLING"],
        norm_stem=mvit["NORM_STEM"],
        drop_path=mvit["DROPPATH_RATE"],
        **options,
    )


def convolutional(folder: str = "models") -> list[str]:
    """Names of the cases with convolutional networks; empty if the reference data is absent."""
    return [name for name in _names(folder) if "VIT" not in name.upper()]


def transformers(folder: str = "models") -> list[str]:
    """Names of the cases with vision transformers; empty if the reference data is absent."""
    return [name for name in _names(folder) if "VIT" in name.upper()]


def _names(folder: str) -> list[str]:
    index = Path(PARITY / folder / "index.json")
    if not index.exists():
        return []
    return [case["name"] for case in json.loads(index.read_text())["cases"]]


def _tuple(value):
    return tuple(_tuple(v) for v in value) if isinstance(value, list) else value
