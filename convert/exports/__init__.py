"""Files for other programs, made from this project's variables.

`PROGRAMS` has what `--to` of `python -m convert` can write as a file. All names and arrays are made
from those of PySlowFast (pyslowfast.py).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convert.exports.caffe2 import caffe2_blobs, write_blobs
from convert.exports.exported import Exported, refuse_others
from convert.exports.mmaction2 import mmaction2_tensors
from convert.exports.pyslowfast import check_pyslowfast, export_pyth, pyslowfast_tensors
from convert.exports.pytorchvideo import pytorchvideo_tensors
from convert.exports.torchvision import export_torchvision, torchvision_tensors
from convert.torch_file import write_pyth, write_state_dict

__all__ = [
    "PROGRAMS", "Exported", "caffe2_blobs", "export", "export_pyth", "export_torchvision",
    "mmaction2_tensors", "pyslowfast_tensors", "pytorchvideo_tensors", "torchvision_tensors",
]


class Program(NamedTuple):
    """How files for a program are made.

    tensors: (variables, keywords of the network) -> `Exported`. write: (path, tensors), atomically.
    """

    title: str
    tensors: Callable[[Mapping, Mapping[str, Any]], Exported]
    write: Callable[[str | Path, Mapping[str, np.ndarray]], None]


def _pyslowfast(variables: Mapping, network: Mapping[str, Any]) -> Exported:
    refuse_others("PySlowFast", network, {"roi_variant": ("detectron2",)})
    tensors = pyslowfast_tensors(variables)
    check_pyslowfast(tensors)
    return Exported(tensors)


def _torchvision(variables: Mapping, network: Mapping[str, Any]) -> Exported:
    return Exported(torchvision_tensors(variables))


PROGRAMS = {
    "pyth": Program("PySlowFast", _pyslowfast, write_pyth),
    "torchvision": Program("torchvision", _torchvision, write_state_dict),
    "pytorchvideo": Program("PyTorchVideo", pytorchvideo_tensors, write_pyth),
    "mmaction2": Program("MMAction2", mmaction2_tensors, write_state_dict),
    "caffe2": Program("Caffe2", caffe2_blobs, write_blobs),
}


def export(
    program: str, path: str | Path, variables: Mapping, network: Mapping[str, Any]
) -> Exported:
    """Writes this project's variables as a file for a program of `PROGRAMS`.

    Args:
      path: the file to write; it is replaced if it exists.
      variables: {"params": ..., "batch_stats": ...}.
      network: keywords of the network, such as `arch` and `detection`; those that its class lacks
        are absent.

    Returns:
      What was written, and what to know about it.

    Raises:
      ValueError: the program cannot build the network, or would compute something else.
    """
    exported = PROGRAMS[program].tensors(variables, network)
    PROGRAMS[program].write(path, exported.tensors)
    return exported
