"""Foreign checkpoints to variables of this project and back; `python -m convert --help`."""

from convert.load import CheckpointMismatch, Report, fit, load_variables
from convert.readers import ForeignCheckpoint, read_checkpoint
from convert.torch_file import export_pyth, pyslowfast_tensors, write_pyth
from convert.unpickle import CheckpointError

__all__ = [
    "CheckpointError", "CheckpointMismatch", "ForeignCheckpoint", "Report", "export_pyth", "fit",
    "load_variables", "pyslowfast_tensors", "read_checkpoint", "write_pyth",
]
