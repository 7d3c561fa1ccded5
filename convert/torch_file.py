"""Writes files that torch.load(weights_only=True) reads.

PyTorch is not needed.

The file is a zip as PyTorch 1.6 and later write it (torch/serialization.py). NAME/data.pkl is a
pickle in which each tensor is a call of torch._utils._rebuild_tensor_v2 on a storage named by a
persistent id. NAME/data/KEY has the bytes of that storage.
"""

import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

STORAGE_NAMES = {
    "float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage", "int64": "LongStorage", "int32": "IntStorage",
    "int16": "ShortStorage", "int8": "CharStorage", "uint8": "ByteStorage", "bool": "BoolStorage",
}
FORMAT_VERSION = b"3\n"  # version of the zip's records, as PyTorch 1.6 to 2.x write it


def write_pyth(path: str | Path, tensors: Mapping[str, np.ndarray], *, cfg: str = "") -> None:
    """Writes {"model_state": tensors, "cfg": cfg} to `path`, atomically; arrays keep their bytes.

    There is no "epoch" entry, because PySlowFast then expects an optimizer state to resume from.

    Args:
      path: the file to write; it is replaced if it exists.
      tensors: name -> array in PyTorch's layout.
      cfg: the config as a YAML text, which is how PySlowFast stores it.

    Raises:
      ValueError: PyTorch has no storage for an array's element type.
    """
    state, arrays = _state_dict(tensors)
    content = _dict(_text("model_state") + state + _text("cfg") + _text(cfg))
    _write_zip(Path(path), content, arrays)


def write_state_dict(path: str | Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes `tensors` to `path` as torch.save(model.state_dict()) does; see `write_pyth`."""
    _write_zip(Path(path), *_state_dict(tensors))


def _state_dict(tensors: Mapping[str, np.ndarray]) -> tuple[bytes, list[np.ndarray]]:
    """The pickled dict of tensors, and the content of their storages 0, 1, ..."""
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    for name, array in arrays.items():
        if array.dtype.name not in STORAGE_NAMES:
            raise ValueError(
                f"tensor {name} has element type {array.dtype}, expected one that PyTorch can "
                f"store: {', '.join(STORAGE_NAMES)}"
            )
    state = b"".join(
        _text(name) + _tensor(array, str(key)) for key, (name, array) in enumerate(arrays.items())
    )
    return _ordered_dict(state), list(arrays.values())


def _write_zip(path: Path, content: bytes, arrays: Sequence[np.ndarray]) -> None:
    """Writes the pickle `content` and the storages it refers to, atomically."""
    records = {
        "data.pkl": pickle.PROTO + b"\x02" + content + pickle.STOP,
        "byteorder": sys.byteorder.encode(),
        "version": FORMAT_VERSION,
    }
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, data in records.items():
                archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)
            for key, array in enumerate(arrays):
                archive.writestr(zipfile.ZipInfo(f"archive/data/{key}"), array.tobytes())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# Fragments of a protocol 2 pickle; each pushes one value onto the unpickler's stack.


def _text(value: str) -> bytes:
    data = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return pickle.BININT + struct.pack("<i", value)
    data = pickle.encode_long(value)
    return pickle.LONG1 + bytes([len(data)]) + data


def _tuple(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _dict(items: bytes) -> bytes:
    return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS


def _ordered_dict(items: bytes) -> bytes:
    empty = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    return empty + pickle.MARK + items + pickle.SETITEMS


def _tensor(array: np.ndarray, key: str) -> bytes:
    strides = [step // array.itemsize for step in np.empty(array.shape, array.dtype).strides]
    storage = _tuple(
        _text("storage"),
        _global("torch", STORAGE_NAMES[array.dtype.name]),
        _text(key),
        _text("cpu"),
        _integer(array.size),
    )
    arguments = _tuple(
        storage + pickle.BINPERSID,
        _integer(0),
        _tuple(*map(_integer, array.shape)),
        _tuple(*map(_integer, strides)),
        pickle.NEWFALSE,  # requires_grad
        _ordered_dict(b""),  # backward hooks
    )
    return _global("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE
