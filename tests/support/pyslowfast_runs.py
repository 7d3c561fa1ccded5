"""Checkpoints as PySlowFast's training writes them: weights, epoch, optimizer state, config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.convert.torch_pickles import Storage, tensor, zip_file

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
DTYPES = {"float32": "FloatStorage", "int64": "LongStorage"}


def groups(tensors: Mapping[str, np.ndarray]) -> list[list[str]]:
    """The parameters of batch norms, and the others."""
    names = [name for name in tensors if name.rpartition(".")[2] not in STATISTICS]
    norms = [n for n in names if f"{n.rpartition('.')[0]}.running_mean" in tensors]
    return [norms, [name for name in names if name not in norms]]


def write_run(
    path: Path, tensors: Mapping[str, np.ndarray], moments: Mapping[str, Mapping[str, np.ndarray]],
    *, epoch: int = 4, cfg: str = "SOLVER: {OPTIMIZING_METHOD: sgd}",
    split: list[list[str]] | None = None,
) -> Path:
    """Writes a checkpoint.

    Args:
      tensors: the weights, in the order of the network's modules.
      moments: "momentum_buffer" -> name of the parameter -> array.
      epoch: the last completed one, counted from 0.
      split: the groups of the optimizer; by default those of `groups`.
    """
    storages: list[Storage] = []

    def stored(array: np.ndarray) -> Any:
        array = np.ascontiguousarray(array)
        storages.append(Storage(DTYPES[array.dtype.name], str(len(storages)), array.ravel()))
        strides = tuple(step // array.itemsize for step in array.strides)
        return tensor(storages[-1], 0, array.shape, strides)

    split = groups(tensors) if split is None else split
    numbers = iter(range(len(tensors)))
    keys = {name: next(numbers) for group in split for name in group}
    state: dict[int, dict[str, Any]] = {}
    for kind, arrays in moments.items():
        for name, array in arrays.items():
            state.setdefault(keys[name], {})[kind] = stored(array)
    content = {
        "epoch": epoch,
        "model_state": {name: stored(array) for name, array in tensors.items()},
        "optimizer_state": {
            "state": state,
            "param_groups": [
                {"lr": 0.1, "params": [keys[name] for name in group]} for group in split
            ],
        },
        "cfg": cfg,
    }
    zip_file(path, content, storages)
    return path
