"""Files for PyTorchVideo: its hub models, CSN and R(2+1)D among them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from convert import names
from convert.exports.exported import Exported, refuse_others, refuse_unnamed
from convert.exports.pyslowfast import pyslowfast_tensors
from convert.load import BATCH_NORM_EPSILON
from convert.names.tables import PYTORCHVIDEO, PYTORCHVIDEO_ROLES

NETWORKS = (
    "SlowFast, Slow, C2D, I3D, CSN, R(2+1)D and X3D without non-local blocks, MViT with separate "
    "positions, and boxes"
)
# Keyword -> the values with which PyTorchVideo computes the same.
FIXED = {
    "block": ("bottleneck",), "lateral_norm": (True,), "slow_frames": ("linspace",),
    "roi_variant": ("detectron2",), "roi_context": (False,), "roi_time_pool": ("mean",),
    "residual_pooling": (False,), "dim_mul_in_att": (False,), "norm_stem": (False,),
    "class_token": (True,),
}
# Architectures with a pool after the first stage, which is a block without tensors.
POOLED = ("c2d", "i3d")


def pytorchvideo_tensors(variables: Mapping, network: Mapping[str, Any]) -> Exported:
    """Converts this project's variables to PyTorchVideo's names and layout.

    Raises:
      ValueError: PyTorchVideo cannot build the network, or would compute something else.
    """
    refuse_others("PyTorchVideo", network, FIXED)
    tensors, changed = pyslowfast_tensors(variables), []
    family = names.foreign_family(tensors)
    if any(".branch2.b_t." in name for name in tensors):
        family = "R(2+1)D"
    if family == "X3D":
        changed = _fold_shortcut(tensors)
    if family == "MViT":
        _split_projections(tensors)
    blocks = _blocks(family, network)
    boxes = network.get("detection", False)
    written, unnamed = {}, []
    for name, array in tensors.items():
        theirs = family in PYTORCHVIDEO and names.to_pytorchvideo(name, family, blocks)
        if not theirs or ".rel_pos_" in theirs:
            unnamed.append(name)
        elif boxes and name.startswith("head.projection."):
            written[f"detection_head.proj.{name.rpartition('.')[2]}"] = array
        else:
            written[f"model.{theirs}" if boxes else theirs] = array
    refuse_unnamed("PyTorchVideo", unnamed, len(tensors), NETWORKS)
    settings = []
    if boxes and network.get("roi_aligned"):
        settings.append("its RoIAlign needs aligned=True, which is not torchvision's default")
    return Exported(dict(sorted(written.items())), changed, settings)


def _blocks(family: str, network: Mapping[str, Any]) -> dict[str, int]:
    """The number of the block of each role; none for MViT, whose blocks are alike."""
    if family == "MViT":
        return {}
    numbers = list(range(len(PYTORCHVIDEO_ROLES)))
    if network.get("arch") in POOLED:
        numbers[2:] = [number + 1 for number in numbers[2:]]
    if family == "SlowFast":
        numbers[-1] += 1  # after the block that pools and concatenates
    return dict(zip(PYTORCHVIDEO_ROLES, numbers, strict=True))


def _fold_shortcut(tensors: dict[str, np.ndarray]) -> list[str]:
    """Removes the batch norm of X3D's shortcut of equal width, which PyTorchVideo lacks.

    Unless it is the identity, its factor goes into the kernel and its summand into the bias of the
    block's last batch norm, whose output is added to the shortcut.

    Returns:
      A sentence for each batch norm that was not the identity.
    """
    changed = []
    for name in [n for n in tensors if n.endswith(".branch1.weight")]:
        kernel = tensors[name]
        if kernel.shape[0] != kernel.shape[1]:
            continue
        block = name.removesuffix(".branch1.weight")
        scale, bias, mean, var = (
            tensors.pop(f"{block}.branch1_bn.{leaf}")
            for leaf in ("weight", "bias", "running_mean", "running_var")
        )
        tensors.pop(f"{block}.branch1_bn.num_batches_tracked")
        identity = np.full_like(scale, np.sqrt(1 + BATCH_NORM_EPSILON))
        if np.array_equal(scale, identity) and np.all(var == 1) and not bias.any() | mean.any():
            continue
        factor = scale / np.sqrt(var + BATCH_NORM_EPSILON)
        tensors[name] = kernel * factor.reshape(-1, 1, 1, 1, 1)
        tensors[f"{block}.branch2.c_bn.bias"] = (
            tensors[f"{block}.branch2.c_bn.bias"] + bias - mean * factor
        )
        changed.append(
            f"{block}.branch1_bn is folded into the kernel before it and into the bias of "
            f"{block}.branch2.c_bn, because PyTorchVideo has no batch norm there"
        )
    return changed


def _split_projections(tensors: dict[str, np.ndarray]) -> None:
    """Replaces projections to queries, keys and values by one for each of them."""
    for name in [n for n in tensors if ".attn.qkv." in n]:
        for part, rows in zip("qkv", np.split(tensors.pop(name), 3), strict=True):
            tensors[name.replace(".qkv.", f".{part}.")] = rows
