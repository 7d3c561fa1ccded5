"""Reads tensors written by pickle.dump instead of torch.save.

PyTorch puts each of their storages into the pickle as a file of its own, in the format from before
PyTorch 1.6. No code in a file is run.
"""

import io
from typing import Any, BinaryIO

import numpy as np

from convert.formats.torch_files import LEGACY_MAGIC, read_legacy
from convert.unpickle import CheckpointError, LazyTensor, Storage, load_pickle


def read_pickled(file: BinaryIO) -> Any:
    """The content of a pickle. Tensors within lists and tuples, which become lists, are arrays.

    Raises:
      CheckpointError: the pickle is damaged. The message says how.
    """
    functions = {"torch.storage._load_from_bytes": _storage}
    return _with_arrays(load_pickle(file, functions=functions))


def _storage(data: bytes) -> Storage:
    file = io.BytesIO(data)
    if load_pickle(file) != LEGACY_MAGIC:
        raise CheckpointError("its pickle has a storage in an unknown format")
    content, _ = read_legacy(file, len(data))
    if not isinstance(content, Storage):
        raise CheckpointError("its pickle has something else where it should have a storage")
    return content


def _with_arrays(value: Any) -> Any:
    if isinstance(value, LazyTensor):
        return value.array()
    if type(value) in (list, tuple):
        return [_with_arrays(part) for part in value]
    return np.asarray(value) if isinstance(value, np.generic) else value
