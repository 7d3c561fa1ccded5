"""Writes files in PyTorch's formats without PyTorch, and checks what is read from them."""

import collections
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from convert import CheckpointError, read_checkpoint
from convert.formats.torch_files import LEGACY_MAGIC, LEGACY_VERSION

TENSORS = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "a.half": np.linspace(-1, 1, 5, dtype=np.float16),
    "a.double": np.array([[np.pi]]),
    "a.flags": np.array([True, False]),
    "a.bytes": np.array([0, 255], np.uint8),
    "a.empty": np.zeros((0, 3), np.float32),
    "a.num_batches_tracked": np.array(7, np.int64),
}


def assert_tensors(found: dict, expected: dict = TENSORS) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype), name
        assert found[name].tobytes() == array.tobytes(), name


def refused(path, *words) -> None:
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    for word in (str(path), *words):
        assert word in str(error.value), error.value


class Storage:
    """A storage, pickled as PyTorch did before 1.6."""

    def __init__(self, kind: str, key: str, array: np.ndarray, view=None):
        self.pid = ("storage", Global(f"torch {kind}"), key, "cuda:0", array.size, view)
        self.array = array


class Global:
    def __init__(self, name: str):
        self.name = name


class Call:
    def __init__(self, name: str, *arguments):
        self.name, self.arguments = name, arguments


class TorchPickler(pickle._Pickler):
    """Pickles references to PyTorch's classes without importing them."""

    def persistent_id(self, value):
        return value.pid if isinstance(value, Storage) else None

    def save(self, value, **kwargs):
        if isinstance(value, Global):
            module, name = value.name.split()
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        elif isinstance(value, Call):
            self.save(Global(value.name))
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, **kwargs)


def dumped(value) -> bytes:
    file = io.BytesIO()
    TorchPickler(file, protocol=2).dump(value)
    return file.getvalue()


def tensor(storage, offset, size, stride):
    hooks = collections.OrderedDict()
    return Call("torch._utils _rebuild_tensor_v2", storage, offset, size, stride, False, hooks)


def legacy_file(path, content, storages, order: str = "<") -> None:
    system = {"protocol_version": LEGACY_VERSION, "little_endian": order == "<", "type_sizes": {}}
    data = b"".join(dumped(v) for v in (LEGACY_MAGIC, LEGACY_VERSION, system, content))
    data += dumped([s.pid[2] for s in storages])
    for storage in storages:
        data += struct.pack(f"{order}q", storage.array.size)
        data += storage.array.astype(storage.array.dtype.newbyteorder(order)).tobytes()
    path.write_bytes(data)


def zip_file(path, content, storages, order: str = "little", root: str = "some_name") -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{root}/data.pkl", dumped(content))
        if order:
            archive.writestr(f"{root}/byteorder", order)
        sign = ">" if order == "big" else "<"
        for storage in storages:
            data = storage.array.astype(storage.array.dtype.newbyteorder(sign)).tobytes()
            archive.writestr(f"{root}/data/{storage.pid[2]}", data)


def views() -> tuple[dict, list[Storage], dict[str, np.ndarray]]:
    """Tensors that are views of two storages, the storages, and the expected arrays."""
    numbers = np.arange(12, dtype=np.float32)
    floats = Storage("FloatStorage", "0", numbers)
    bfloats = Storage("BFloat16Storage", "1", np.array([0x3F80, 0xC040], np.uint16))
    content = {
        "turned": tensor(floats, 0, (4, 3), (1, 4)),
        "part": tensor(floats, 5, (2, 2), (4, 1)),
        "same": Call(
            "torch._utils _rebuild_parameter", tensor(floats, 0, (3, 4), (4, 1)), True,
            collections.OrderedDict(),
        ),
        "scalar": tensor(floats, 11, (), ()),
        "repeated": tensor(floats, 2, (2, 3), (0, 1)),
        "brain": tensor(bfloats, 0, (2,), (1,)),
    }
    grid = numbers.reshape(3, 4)
    expected = {
        "turned": np.ascontiguousarray(grid.T),
        "part": np.array([[5, 6], [9, 10]], np.float32),
        "same": grid,
        "scalar": np.array(11, np.float32),
        "repeated": np.array([[2, 3, 4]] * 2, np.float32),
        "brain": np.array([1, -3], np.float32),
    }
    return content, [floats, bfloats], expected
