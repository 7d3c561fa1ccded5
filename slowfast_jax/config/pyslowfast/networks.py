"""From the keys of PySlowFast to a network: its class, its keywords, and the zoo entry it is near.

NETWORKS has a row for every MODEL.MODEL_NAME of the original. A network that this program gains is
switched on by giving its row a class and a function.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from slowfast_jax.config.completion import default_keywords, fields_of
from slowfast_jax.config.pyslowfast.transformers import reversible, transformer
from slowfast_jax.config.recipe_files import ConfigError, closest
from slowfast_jax.models import zoo
from slowfast_jax.models.base import VideoNetwork
from slowfast_jax.models.blocks import blocks_per_stage
from slowfast_jax.models.factorized import FactorizedResNet3D
from slowfast_jax.models.mvit import MViT
from slowfast_jax.models.resnet3d import ARCHS, ResNet3D
from slowfast_jax.models.reversible import RevMViT
from slowfast_jax.models.slowfast import SlowFast
from slowfast_jax.models.x3d import X3D

Values = Mapping[str, Any]  # key of the original -> value
BLOCKS = {"bottleneck_transform": "bottleneck", "basic_transform": "basic"}
# Sections of the original that only some networks read.
OF_NETWORKS = ("RESNET", "NONLOCAL", "SLOWFAST", "X3D", "MVIT", "MASK", "CONTRASTIVE")


class Network(NamedTuple):
    """A network of the original.

    Attributes:
      make: its class here; None if this program lacks it.
      keywords: the original's values -> the keywords that only some networks have.
      sections: those of OF_NETWORKS that it reads.
      missing: what is missing, in words that complete "this program lacks ...".
    """

    make: type[VideoNetwork] | None = None
    keywords: Callable[[Values], dict[str, Any]] | None = None
    sections: tuple[str, ...] = ()
    missing: str = ""


def residual(values: Values) -> dict[str, Any]:
    """Keywords of ResNet."""
    return _used(_stages(values, 0)) | {
        "arch": _choice(values, "MODEL.ARCH", ARCHS),
        "stride_1x1": values["RESNET.STRIDE_1X1"],
        "strides": _pathway(values["RESNET.SPATIAL_STRIDES"], 0),
        "dilations": _pathway(values["RESNET.SPATIAL_DILATIONS"], 0),
    }


def residual_without_pool(values: Values) -> dict[str, Any]:
    """Keywords of ResNet_nopool, which the original names but lacks: a C2D that keeps all frames.
    """
    return residual(values) | {"arch": "slow_c2d"}


def pytorchvideo_residual(values: Values) -> dict[str, Any]:
    """Keywords of PTVResNet: all blocks of a stage have its temporal kernel; nothing non-local."""
    blocks = tuple(blocks_per_stage(values["RESNET.DEPTH"]))
    return residual(values) | {"num_block_temp_kernel": blocks, "nonlocal_blocks": ((),) * 4}


def two_pathways(values: Values) -> dict[str, Any]:
    """Keywords of SlowFast. It has no use for STRIDE_1X1, as in the original."""
    _choice(values, "MODEL.ARCH", ("slowfast",))
    slow, fast = _stages(values, 0), _stages(values, 1)
    pairs = "num_block_temp_kernel nonlocal_blocks nonlocal_pool nonlocal_group".split()
    return _used(slow | {key: (slow[key], fast[key]) for key in pairs}) | {
        "strides": _same(values, "RESNET.SPATIAL_STRIDES"),
        "dilations": _same(values, "RESNET.SPATIAL_DILATIONS"),
        "alpha": values["SLOWFAST.ALPHA"],
        "beta": values["SLOWFAST.BETA_INV"],
        "fusion_ratio": values["SLOWFAST.FUSION_CONV_CHANNEL_RATIO"],
        "fusion_kernel": values["SLOWFAST.FUSION_KERNEL_SZ"],
    }


def pytorchvideo_two_pathways(values: Values) -> dict[str, Any]:
    """Keywords of PTVSlowFast, which has no non-local blocks."""
    return two_pathways(values) | {"nonlocal_blocks": (((),) * 4,) * 2}


def expanded(values: Values) -> dict[str, Any]:
    """Keywords of X3D."""
    _choice(values, "MODEL.ARCH", ("x3d",))
    _choice(values, "RESNET.TRANS_FUNC", ("x3d_transform",))
    if has_number(values["NONLOCAL.LOCATION"]):
        raise ConfigError("NONLOCAL.LOCATION is set, but X3D has no non-local blocks here")
    return {
        "width_factor": values["X3D.WIDTH_FACTOR"],
        "depth_factor": values["X3D.DEPTH_FACTOR"],
        "bottleneck_factor": values["X3D.BOTTLENECK_FACTOR"],
        "stem_width": values["X3D.DIM_C1"],
        "head_width": values["X3D.DIM_C5"],
        "scale_res2": values["X3D.SCALE_RES2"],
        "norm_lin_5": values["X3D.BN_LIN5"],
        "stride_1x1": values["RESNET.STRIDE_1X1"],
    }


def factorized(values: Values, arch: str) -> dict[str, Any]:
    """Keywords of PTVCSN and PTVR2plus1D, which read no other keys."""
    if values["DETECTION.ENABLE"]:
        raise ConfigError(
            f"DETECTION.ENABLE is True, expected False: MODEL.MODEL_NAME "
            f"{values['MODEL.MODEL_NAME']} does not classify boxes in PySlowFast"
        )
    return {
        "arch": arch, "depth": values["RESNET.DEPTH"], "width": values["RESNET.WIDTH_PER_GROUP"],
    }


REVERSIBLE = "MViT with MVIT.REV.ENABLE"
RESIDUAL = ("RESNET", "NONLOCAL")
SELF_SUPERVISED = "self-supervised training"
NETWORKS: dict[str, Network] = {
    "ResNet": Network(ResNet3D, residual, RESIDUAL),
    "ResNet_nopool": Network(ResNet3D, residual_without_pool, RESIDUAL),
    "SlowFast": Network(SlowFast, two_pathways, (*RESIDUAL, "SLOWFAST")),
    "X3D": Network(X3D, expanded, ("RESNET", "NONLOCAL", "X3D")),
    "PTVResNet": Network(ResNet3D, pytorchvideo_residual, ("RESNET",)),
    "PTVSlowFast": Network(SlowFast, pytorchvideo_two_pathways, ("RESNET", "SLOWFAST")),
    "PTVX3D": Network(X3D, expanded, ("RESNET", "X3D")),
    "MViT": Network(MViT, transformer, ("MVIT",)),
    REVERSIBLE: Network(RevMViT, reversible, ("MVIT",)),
    "PTVMViT": Network(MViT, transformer, ("MVIT",)),
    "PTVCSN": Network(FactorizedResNet3D, partial(factorized, arch="csn"), ("RESNET",)),
    "PTVR2plus1D": Network(
        FactorizedResNet3D, partial(factorized, arch="r2plus1d"), ("RESNET",)
    ),
    "MaskMViT": Network(missing=f"{SELF_SUPERVISED} (MaskFeat and MAE)"),
    "ContrastiveModel": Network(missing=f"{SELF_SUPERVISED} (MoCo, BYOL, SimCLR, SwAV)"),
}


def find_network(values: Values) -> Network:
    """The row of the network that a config names; ConfigError if this program lacks it."""
    name = values["MODEL.MODEL_NAME"]
    if name == "MViT" and values["MVIT.REV.ENABLE"]:
        name = REVERSIBLE
    known = [name for name, network in NETWORKS.items() if network.make]
    if name not in NETWORKS:
        raise ConfigError(
            f"MODEL.MODEL_NAME is {name}, expected {', '.join(known)}{closest(str(name), known)}"
        )
    found = NETWORKS[name]
    if found.make is None:
        raise ConfigError(
            f"MODEL.MODEL_NAME is {name}, but this program lacks {found.missing}; it has "
            f"{', '.join(known)}"
        )
    return found


def common_keywords(values: Values, network: Network) -> dict[str, Any]:
    """The keywords that are computed in the same way for all networks that have them."""
    multigrid = values["MULTIGRID.LONG_CYCLE"] or values["MULTIGRID.SHORT_CYCLE"]
    split = values["BN.NORM_TYPE"] == "sub_batchnorm"
    boxes = values["DETECTION.ENABLE"]
    keywords = {
        "average": "probs",  # in PyTorchVideo's networks, too, unlike in its hub models
        "detection": boxes,
        "dtype": "bfloat16" if values["TRAIN.MIXED_PRECISION"] else "float32",
        "head_pool": "global" if multigrid else "window",
        "zero_init_final_bn": values["RESNET.ZERO_INIT_FINAL_BN"] and not split,
        "frozen_norm": values["MODEL.FROZEN_BN"],
    }
    if boxes:
        keywords |= {
            "roi_resolution": values["DETECTION.ROI_XFORM_RESOLUTION"],
            "roi_scale": 1 / values["DETECTION.SPATIAL_SCALE_FACTOR"],
            "roi_aligned": values["DETECTION.ALIGNED"],
        }
    return {key: value for key, value in keywords.items() if key in fields_of(network.make)}


def defaults_of(network: Network, name: str) -> dict[str, Any]:
    """The keywords of a network and their values in the zoo entry `name`."""
    make = network.make
    return fields_of(make) | default_keywords(make) | zoo.ZOO[name]["model"]


def nearest_entry(
    network: Network, keywords: Mapping[str, Any], protocol: Mapping[str, Any], classes: str
) -> str:
    """Name of the zoo entry of this class with the fewest other values.

    What the head averages does not count, since the original does not know PyTorchVideo's way.
    Entries that would give the same number of classes other names than `classes` are left out.
    """
    def differences(name: str) -> int:
        model, entry = defaults_of(network, name), zoo.ZOO[name]
        return sum(
            model[key] != value for key, value in keywords.items() if key != "average"
        ) + sum(entry["protocol"][key] != value for key, value in protocol.items())

    fitting = [
        name for name, entry in zoo.ZOO.items() if entry["make"] is network.make
        and (entry["class_names"] in ("", classes)
             or entry["model"].get("num_classes") != keywords["num_classes"])
    ]
    return min(fitting, key=differences)


def _stages(values: Values, pathway: int) -> dict[str, Any]:
    """Keywords of residual stages; those that differ between pathways are of one pathway."""
    return {
        "depth": values["RESNET.DEPTH"],
        "block": BLOCKS[_choice(values, "RESNET.TRANS_FUNC", BLOCKS)],
        "width": values["RESNET.WIDTH_PER_GROUP"],
        "groups": values["RESNET.NUM_GROUPS"],
        "num_block_temp_kernel": _pathway(values["RESNET.NUM_BLOCK_TEMP_KERNEL"], pathway),
        "nonlocal_blocks": _pathway(values["NONLOCAL.LOCATION"], pathway),
        "nonlocal_group": _pathway(values["NONLOCAL.GROUP"], pathway),
        "nonlocal_pool": _pathway(values["NONLOCAL.POOL"], pathway),
        "nonlocal_mode": _choice(values, "NONLOCAL.INSTANTIATION", ("softmax", "dot_product")),
    }


def _used(keywords: dict[str, Any]) -> dict[str, Any]:
    """The keywords; a network without non-local blocks has no use for those that describe them."""
    if has_number(keywords["nonlocal_blocks"]):
        return keywords
    unused = ("nonlocal_group", "nonlocal_pool", "nonlocal_mode")
    return {key: value for key, value in keywords.items() if key not in unused}


def has_number(nested: Any) -> bool:
    """Whether nested tuples have any element."""
    return any(map(has_number, nested)) if isinstance(nested, tuple) else True


def _pathway(stages: tuple[tuple[Any, ...], ...], pathway: int) -> tuple[Any, ...]:
    """The values of one pathway; of a list with a single pathway, its values."""
    return tuple(stage[pathway if len(stage) > pathway else 0] for stage in stages)


def _same(values: Values, key: str) -> tuple[int, ...]:
    """The values of both pathways, which must agree."""
    slow, fast = (_pathway(values[key], pathway) for pathway in (0, 1))
    if slow != fast:
        raise ConfigError(
            f"{key} is {values[key]}, expected the same for both pathways: a network here has one "
            "setting for both"
        )
    return slow


def _choice(values: Values, key: str, known: Any) -> Any:
    if values[key] not in known:
        raise ConfigError(
            f"{key} is {values[key]}, expected {' or '.join(known)} with MODEL.MODEL_NAME "
            f"{values['MODEL.MODEL_NAME']}"
        )
    return values[key]
