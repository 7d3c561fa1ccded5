"""The optimizer state of a PySlowFast checkpoint, by parameter.

PyTorch numbers the parameters of an optimizer, group by group. PySlowFast makes up to three groups
(slowfast/models/optimizer.py), each in the order of the network's modules, which is also that of
the tensors in the file: parameters of batch norms; others; those without weight decay.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from convert.readers import ForeignCheckpoint, read_checkpoint
from convert.unpickle import CheckpointError

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
OPTIMIZER = "optimizer_state"


class Progress(NamedTuple):
    """How far the training that wrote a checkpoint had come.

    Attributes:
      epochs: number of completed epochs.
      checkpoint: the weights in the file.
      moments: PyTorch's name of a state ("momentum_buffer", "exp_avg", "exp_avg_sq") -> name of the
        parameter in the file -> array in PyTorch's layout. Parameters that were never updated have
        none.
    """

    epochs: int
    checkpoint: ForeignCheckpoint
    moments: dict[str, dict[str, np.ndarray]]


def read_progress(path: str | Path, entry: str = "") -> Progress | None:
    """Reads epoch and optimizer state of a PySlowFast checkpoint; None if it lacks one of them.

    Args:
      path: a .pyth file.
      entry: see `read_checkpoint`.

    Raises:
      FileNotFoundError, CheckpointError: see `read_checkpoint`.
      CheckpointError: the optimizer state does not belong to the weights in the file.
    """
    checkpoint = read_checkpoint(path, entry, keep=[OPTIMIZER])
    metadata = checkpoint.metadata
    if "epoch" not in metadata or OPTIMIZER not in metadata:
        return None
    try:
        moments = _moments(checkpoint.tensors, metadata[OPTIMIZER], _settings(metadata))
    except CheckpointError as error:
        raise CheckpointError(f"cannot resume from {path}: {error}") from error
    return Progress(int(metadata["epoch"]) + 1, checkpoint, moments)


def _settings(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of the training, which the file has as a YAML text."""
    try:
        settings = yaml.safe_load(str(metadata.get("cfg", "")))
    except yaml.YAMLError as error:
        raise CheckpointError(f"its config is not YAML ({error})") from error
    return settings if isinstance(settings, dict) else {}


def _moments(
    tensors: Mapping[str, np.ndarray], optimizer: Any, settings: Mapping[str, Any]
) -> dict[str, dict[str, np.ndarray]]:
    try:
        numbers = [list(group["params"]) for group in optimizer["param_groups"]]
        states = dict(optimizer["state"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError("its optimizer_state is not that of an optimizer of PyTorch") from (
            error
        )
    groups = [group for group in _groups(tensors, settings) if group]
    if [len(group) for group in groups] != [len(group) for group in numbers]:
        raise CheckpointError(
            f"its optimizer has groups of {_counts(numbers)} parameters, expected "
            f"{_counts(groups)} for its weights. Set config.train.init_from.resume=False to start "
            "from the weights alone"
        )
    moments: dict[str, dict[str, np.ndarray]] = {}
    for names, keys in zip(groups, numbers, strict=True):
        for name, key in zip(names, keys, strict=True):
            for kind, value in states.get(key, {}).items():
                array = np.asarray(value) if value is not None else None
                if kind == "step" or array is None:
                    continue
                # Split batch norms have scales (C, 1, 1, 1), which the weights are saved without.
                if array.size != tensors[name].size:
                    raise CheckpointError(
                        f"its {kind} of parameter {key} has shape {array.shape}, expected "
                        f"{tensors[name].shape}, that of {name}"
                    )
                moments.setdefault(kind, {})[name] = array.reshape(tensors[name].shape)
    return moments


def _groups(
    tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> tuple[list[str], list[str], list[str]]:
    """Names of the parameters of batch norms, of the others, and of those without weight decay."""
    solver = settings.get("SOLVER", {})
    if solver.get("LAYER_DECAY", 1.0) != 1.0:
        raise CheckpointError(
            "it was trained with SOLVER.LAYER_DECAY, whose groups of parameters this program does "
            "not read. Set config.train.init_from.resume=False to start from the weights alone"
        )
    # The original's optimizer does not know split batch norms as batch norms.
    split = settings.get("BN", {}).get("NORM_TYPE") == "sub_batchnorm"
    norms, others, undecayed = [], [], []
    for name in tensors:
        module, _, leaf = name.rpartition(".")
        if leaf in STATISTICS:
            continue
        flat = tensors[name].ndim == 1 or leaf == "bias"
        if f"{module}.running_mean" in tensors and not split:
            norms.append(name)
        elif solver.get("ZERO_WD_1D_PARAM", False) and flat:
            undecayed.append(name)
        else:
            others.append(name)
    return norms, others, undecayed


def _counts(groups: Iterable[list]) -> str:
    return " + ".join(str(len(group)) for group in groups)
