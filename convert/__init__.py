"""Converts checkpoints of other programs to this project's variables, and back.

Written are files of PySlowFast, PyTorchVideo, MMAction2, Caffe2 and, for MViT, of torchvision.

The library needs only NumPy. Its command line is `python -m convert --help`.

In this package a *path* is a parameter's place in this project's variable tree
("res3/block0/shortcut/kernel"), and a *name* is what a checkpoint file calls a tensor. A *scheme*
is the program whose names a file has: "PySlowFast", "Caffe2", "MMAction2", and so on, or
"slowfast_jax" for this project.
"""

from convert.exports import (
    export,
    export_pyth,
    export_torchvision,
    pyslowfast_tensors,
    torchvision_tensors,
)
from convert.load import CheckpointMismatch, Report, fit, load_variables
from convert.readers import ForeignCheckpoint, read_checkpoint
from convert.torch_file import write_pyth
from convert.unpickle import CheckpointError

__all__ = [
    "CheckpointError", "CheckpointMismatch", "ForeignCheckpoint", "Report", "export", "export_pyth",
    "export_torchvision", "fit", "load_variables", "pyslowfast_tensors", "read_checkpoint",
    "torchvision_tensors", "write_pyth",
]
