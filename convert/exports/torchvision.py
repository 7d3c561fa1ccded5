"""Files for torchvision, whose video networks that this project has are MViT and MViTv2."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from convert import names
from convert.exports.pyslowfast import pyslowfast_tensors
from convert.torch_file import write_state_dict


def export_torchvision(path: str | Path, variables: Mapping) -> dict[str, np.ndarray]:
    """Writes this project's variables of an MViT as a state dict of torchvision.

    Args:
      path: the file to write; it is replaced if it exists.
      variables: {"params": ...}.

    Returns:
      The tensors that were written, by name.

    Raises:
      ValueError: torchvision cannot build the network.
    """
    tensors = torchvision_tensors(variables)
    write_state_dict(path, tensors)
    return tensors


def torchvision_tensors(variables: Mapping) -> dict[str, np.ndarray]:
    """Converts this project's variables of an MViT to torchvision's names and layout.

    Returns:
      {torchvision name: array in PyTorch's layout}, sorted by name.

    Raises:
      ValueError: torchvision has no name for a parameter, or cannot build the network.
    """
    tensors, unknown = {}, []
    for name, array in pyslowfast_tensors(variables).items():
        theirs = names.to_torchvision(name)
        if theirs is None:
            unknown.append(name)
        elif theirs.startswith("pos_encoding."):
            rank = 1 if theirs.partition(".")[2].startswith("class_") else 2
            tensors[theirs] = array.reshape(array.shape[-rank:])
        elif theirs == "conv_proj.weight" and array.ndim == 4:  # patches of images
            tensors[theirs] = array[:, :, None]
        else:
            tensors[theirs] = array
    if unknown:
        raise ValueError(
            f"torchvision has no names for {len(unknown)} parameters of this model: "
            f"{', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}. Its video networks "
            "that are written here are MViT and MViTv2"
        )
    absolute = "pos_encoding.spatial_pos" in tensors
    relative = {f"blocks.0.attn.rel_pos_{axis}" in tensors for axis in "thw"}
    if "pos_encoding.class_token" not in tensors or relative != {not absolute}:
        raise ValueError(
            "torchvision's MViT has a class token, and either separate absolute positions or "
            "relative positions in space and time; this network does not, so it cannot be exported"
        )
    return dict(sorted(tensors.items()))
