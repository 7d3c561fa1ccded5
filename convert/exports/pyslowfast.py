"""Files for PySlowFast, and the names and layout from which those for other programs are made."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from convert import names
from convert.layouts import to_torch
from convert.names.tables import TRANSFORMERS
from convert.torch_file import write_pyth
from convert.trees import flatten


def export_pyth(path: str | Path, variables: Mapping, *, cfg: str = "") -> dict[str, np.ndarray]:
    """Writes this project's variables as a PySlowFast checkpoint.

    Args:
      path: the file to write; it is replaced if it exists.
      variables: {"params": ..., "batch_stats": ...}.
      cfg: see `write_pyth`.

    Returns:
      The tensors that were written, by name.

    Raises:
      ValueError: PySlowFast has no name for a parameter, or cannot build the network.
    """
    tensors = pyslowfast_tensors(variables)
    check_pyslowfast(tensors)
    write_pyth(path, tensors, cfg=cfg)
    return tensors


def check_pyslowfast(tensors: Mapping[str, np.ndarray]) -> None:
    """ValueError if PySlowFast has no network with these tensors, which `pyslowfast_tensors` made.
    """
    if "s1_fuse.conv_f2s.weight" in tensors and "s1_fuse.bn.weight" not in tensors:
        raise ValueError(
            "the lateral connections of this network have no batch norm (lateral_norm=False), but "
            "PySlowFast's always have batch norm and ReLU: its results would differ. Networks with "
            "lateral_norm=True can be exported"
        )
    if "head.hidden.weight" in tensors:
        raise ValueError(
            "the head of this network has a hidden layer (roi_hidden=True), which PySlowFast's "
            "heads do not have, so it cannot be exported"
        )
    kernel = tensors.get("s2.pathway0_res0.branch2.b.weight")
    one_pathway = names.foreign_family(tensors) == "one pathway"
    if one_pathway and (
        "s2.pathway0_res0.branch2.b_t.weight" in tensors
        or kernel is not None and kernel.shape[2] > 1
    ):
        raise ValueError(
            "PySlowFast builds CSN and R(2+1)D from PyTorchVideo's modules: export them to "
            "PyTorchVideo (--to pytorchvideo)"
        )


def pyslowfast_tensors(variables: Mapping) -> dict[str, np.ndarray]:
    """Converts this project's variables to PySlowFast's names and layout.

    Every batch norm also gets PyTorch's step counter, num_batches_tracked, with the value 0.

    Returns:
      {PySlowFast name: array in PyTorch's layout}, sorted by name.

    Raises:
      ValueError: PySlowFast has no name for a parameter, or batch norms have been folded.
    """
    leaves = {path: leaf for (_, path), leaf in flatten(variables).items()}
    family = names.family_of(leaves)
    if not variables.get("batch_stats") and family not in TRANSFORMERS:
        raise ValueError(
            "the variables have no batch norms (batch_stats is empty): they were folded into the "
            "convolutions, and PySlowFast cannot load that. Export the variables before folding"
        )
    tensors, unknown = {}, []
    for path, leaf in leaves.items():
        name = names.to_pyslowfast(path, family)
        if name is None:
            unknown.append(path)
            continue
        array = to_torch(np.asarray(leaf), path.rpartition("/")[2])
        if path == "patch_embed/kernel" and array.shape[2] == 1:
            array = array[:, :, 0]  # patches of images are of a 2-D convolution there
        tensors[name] = array
        if name.endswith(".running_var"):
            counter = name.removesuffix("running_var") + "num_batches_tracked"
            tensors[counter] = np.zeros((), np.int64)
    if unknown:
        raise ValueError(
            f"PySlowFast has no names for {len(unknown)} of the {len(leaves)} parameters of this "
            f"model ({family}): {', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}"
        )
    return dict(sorted(tensors.items()))
