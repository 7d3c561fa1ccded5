"""Files for MMAction2: its SlowFast and SlowOnly recognizers, and those of boxes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from convert import names
from convert.exports.exported import Exported, refuse_others, refuse_unnamed
from convert.exports.pyslowfast import pyslowfast_tensors
from convert.names.ports import IMAGENET
from convert.names.tables import MMACTION2
from convert.program_settings import box_head_settings

NETWORKS = "SlowFast and Slow (there: SlowOnly)"
# Keyword -> the values with which MMAction2 computes the same.
FIXED = {
    "arch": ("slow",), "slow_frames": ("stride",), "nonlocal_pool_first": (False,),
    "roi_variant": ("detectron2",),
}
MODES = {"softmax": "embedded_gaussian", "dot_product": "dot_product"}
NOT_POOLED = (1, 1, 1)


def mmaction2_tensors(variables: Mapping, network: Mapping[str, Any]) -> Exported:
    """Converts this project's variables to MMAction2's names and layout.

    Raises:
      ValueError: MMAction2 cannot build the network, or would compute something else.
    """
    tensors = pyslowfast_tensors(variables)
    family, total = names.foreign_family(tensors), len(tensors)
    nonlocal_blocks = any("_nonlocal" in name for name in tensors)
    fixed = dict(FIXED)
    if not nonlocal_blocks:
        del fixed["nonlocal_pool_first"]
    if family in MMACTION2:
        refuse_others("MMAction2", network, fixed)
    boxes, hidden = network.get("detection", False), "head.hidden.weight" in tensors
    changed = _remove_biases(tensors)
    written, unnamed = {}, []
    for name, array in tensors.items():
        theirs = family in MMACTION2 and names.to_mmaction2(name, family)
        if not theirs:
            unnamed.append(name)
            continue
        if name.startswith("head.projection."):
            leaf = name.rpartition(".")[2]
            if boxes:
                array = np.concatenate([np.zeros_like(array[:1]), array])  # class 0, background
                theirs = f"roi_head.bbox_head.fc_cls.{'2.' if hidden else ''}{leaf}"
            elif family == "SlowFast" and leaf == "weight":
                fast = tensors["s5.pathway1_res0.branch2.c_bn.weight"].size
                array = np.roll(array, fast, axis=1)  # the fast pathway comes first
        elif _is_pooled(name, network):
            theirs = theirs.replace(".conv.", ".0.conv.")
        written[theirs] = array
    refuse_unnamed("MMAction2", unnamed, total, NETWORKS)
    return Exported(dict(sorted(written.items())), changed, _settings(network, nonlocal_blocks))


def _remove_biases(tensors: dict[str, np.ndarray]) -> list[str]:
    """Removes the biases before the batch norms of non-local blocks, which MMAction2 lacks.

    Those that are not 0 are subtracted from the running mean.

    Returns:
      A sentence for each bias that is not 0.
    """
    changed = []
    for name in [n for n in tensors if n.endswith(".conv_out.bias")]:
        bias = tensors.pop(name)
        if bias.any():
            mean = name.replace(".conv_out.bias", ".bn.running_mean")
            tensors[mean] = tensors[mean] - bias
            changed.append(
                f"{name} is subtracted from {mean}, because MMAction2 has no bias there"
            )
    return changed


def _is_pooled(name: str, network: Mapping[str, Any]) -> bool:
    """Whether MMAction2 has a max pool after this convolution, and so a list of both."""
    if not name.rpartition(".")[0].endswith((".conv_phi", ".conv_g")):
        return False
    pools = network["nonlocal_pool"]
    if isinstance(pools[0][0], tuple | list):  # of each pathway
        pools = pools[0]
    return tuple(pools[int(name[1]) - 2]) != NOT_POOLED


def _settings(network: Mapping[str, Any], nonlocal_blocks: bool) -> list[str]:
    mean, std = (tuple(network[key]) for key in ("mean", "std"))
    scaled = [[round(255 * value, 3) for value in values] for values in (mean, std)]
    settings = []
    if (mean, std) != (IMAGENET["mean"], IMAGENET["std"]):
        settings.append(f"data_preprocessor: mean={scaled[0]}, std={scaled[1]}")
    for keyword, name, default in (
        ("strides", "spatial_strides", (1, 2, 2, 2)), ("dilations", "dilations", (1, 1, 1, 1))
    ):
        if tuple(network.get(keyword, default)) != default:
            settings.append(f"backbone: {name}={tuple(network[keyword])}")
    if network.get("detection"):
        settings += box_head_settings(network)
    if network.get("lateral_norm"):
        settings.append("backbone: norm_cfg of the lateral connections, which have batch norms")
    if nonlocal_blocks:
        settings.append(f"backbone: non_local_cfg with mode={MODES[network['nonlocal_mode']]!r}")
    if network.get("head_pool") == "window" and not network.get("detection"):
        settings.append(
            "its head averages over the whole map, so that crops larger than in training give "
            "other scores than here (head_pool='global' does the same)"
        )
    return settings
