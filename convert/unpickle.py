"""Reads untrusted pickles without running any code in them.

A pickle can ask for any importable name. Here every name is looked up in ALLOWED, a table of plain
data types and of stand-ins for the functions with which PyTorch and NumPy rebuild tensors. Nothing
is imported, and any other name raises an error. Tensors are returned as `LazyTensor` and storages
as `Storage`, so that the bytes of unused tensors, such as optimizer state, are never read.
"""

import math
import pickle
from collections import Counter, OrderedDict, defaultdict
from typing import BinaryIO, NamedTuple

import numpy as np


class CheckpointError(ValueError):
    """Raised for a file that cannot be read as a checkpoint; says why and what to do."""


class StorageType(NamedTuple):
    """A PyTorch storage class: its NumPy element type, and whether the elements are bfloat16."""

    dtype: str
    bfloat16: bool = False


class Storage(NamedTuple):
    """A block of memory in a PyTorch file; `load()` returns its elements as a flat array."""

    key: str
    type: StorageType
    load: object


class LazyTensor(NamedTuple):
    """A strided view of a storage that is not read yet; offset and strides are in elements."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self) -> np.ndarray:
        """Reads the tensor as a C-contiguous array; bfloat16 is widened to float32, which is exact.

        Raises:
          CheckpointError: the view reaches outside its storage.
        """
        flat = self.storage.load()
        size, stride = tuple(self.size), tuple(self.stride)
        if len(size) != len(stride) or min((self.offset, *size, *stride)) < 0:
            raise CheckpointError(
                f"tensor with size {size}, stride {stride}, offset {self.offset} is invalid"
            )
        if math.prod(size) == 0:
            return np.zeros(size, flat.dtype)
        last = self.offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if last >= flat.size:
            raise CheckpointError(
                f"tensor with size {size}, stride {stride}, offset {self.offset} reaches element "
                f"{last} of storage {self.storage.key}, which has {flat.size}"
            )
        strides = tuple(step * flat.itemsize for step in stride)
        view = np.lib.stride_tricks.as_strided(flat[self.offset :], size, strides)
        return np.asarray(view, order="C")


# Element types of PyTorch's storage classes (torch/storage.py); UntypedStorage holds bytes.
STORAGE_TYPES = {
    "FloatStorage": StorageType("f4"),
    "DoubleStorage": StorageType("f8"),
    "HalfStorage": StorageType("f2"),
    "BFloat16Storage": StorageType("u2", bfloat16=True),
    "LongStorage": StorageType("i8"),
    "IntStorage": StorageType("i4"),
    "ShortStorage": StorageType("i2"),
    "CharStorage": StorageType("i1"),
    "ByteStorage": StorageType("u1"),
    "BoolStorage": StorageType("?"),
    "ComplexFloatStorage": StorageType("c8"),
    "ComplexDoubleStorage": StorageType("c16"),
    "UntypedStorage": StorageType("u1"),
}
BUILTINS = ("builtins", "__builtin__")  # the second is Python 2's name; protocol 2 still writes it
PLAIN_TYPES = (dict, list, tuple, set, frozenset, int, float, bool, str, complex, slice)
TORCH_DTYPES = (
    "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128"
).split()


def _rebuild_tensor(storage, offset, size, stride, *_):
    return LazyTensor(storage, offset, tuple(size), tuple(stride))


def _rebuild_parameter(data, *_):
    return data


def _as_bytes(data) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


def _encode(text, encoding="latin1"):
    if encoding not in ("latin1", "latin-1", "utf-8", "utf8"):
        raise CheckpointError(f"its pickle encodes text as {encoding!r}, expected latin1 or utf8")
    return text.encode(encoding)


def _empty_array(*_):
    return np.ndarray((0,), "b")  # the pickle sets the content later, as the array's state


def _numpy_scalar(dtype, data=b""):
    return np.frombuffer(_as_bytes(data), dtype)[0]


def _array_of_buffer(buffer, dtype, shape, order):
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _bytes(data="", encoding="latin1"):
    return _encode(data, encoding) if isinstance(data, str) else bytes(data)


def _namespace(*_, **fields):
    return fields


def _device(*place):
    return ":".join(str(part) for part in place)


class _Settings(dict):
    """Stand-in for the CfgNode of yacs and fvcore, a dict with attributes."""

    def __setstate__(self, state):
        self.update(state if isinstance(state, dict) else {})


ALLOWED = {
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": defaultdict,
    "collections.Counter": Counter,
    **{f"{module}.{kind.__name__}": kind for kind in PLAIN_TYPES for module in BUILTINS},
    **{f"{module}.{name}": _bytes for name in ("bytes", "bytearray") for module in BUILTINS},
    "_codecs.encode": _encode,
    "argparse.Namespace": _namespace,
    "yacs.config.CfgNode": _Settings,
    "fvcore.common.config.CfgNode": _Settings,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.nn.parameter.Parameter": _rebuild_parameter,
    "torch.Size": tuple,
    "torch.device": _device,
    **{f"torch.{name}": name for name in TORCH_DTYPES},
    **{f"torch.{name}": kind for name, kind in STORAGE_TYPES.items()},
    **{f"torch.cuda.{name}": kind for name, kind in STORAGE_TYPES.items()},
    **{f"torch.storage.{name}": kind for name, kind in STORAGE_TYPES.items()},
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    **{f"numpy.{core}.multiarray._reconstruct": _empty_array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _numpy_scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _array_of_buffer for core in ("core", "_core")},
    **{f"numpy.{name}": getattr(np, name) for name in ("float32", "float64", "int32", "int64")},
}


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickler that accepts only the names in ALLOWED.

    Byte strings written by Python 2 become str with one character per byte, as NumPy expects.

    Args:
      file: the pickle stream.
      resolve: returns the storage for a persistent id (PyTorch files); None if the file may not
        have persistent ids.
    """

    def __init__(self, file: BinaryIO, resolve=None):
        super().__init__(file, encoding="latin1")
        self._resolve = resolve

    def find_class(self, module: str, name: str):
        full = f"{module}.{name}"
        if full in ALLOWED:
            return ALLOWED[full]
        raise CheckpointError(
            f"its pickle refers to {full}, which weights do not need. Nothing was run. A file may "
            "contain only tensors, arrays and plain values: if this is a whole model object, save "
            "model.state_dict() with the program that wrote it and convert that file"
        )

    def persistent_load(self, pid):
        if self._resolve is None:
            raise CheckpointError(f"its pickle refers to data outside the file: {pid!r}")
        return self._resolve(pid)


def load_pickle(file: BinaryIO, resolve=None):
    """Reads the next object of a pickle stream without running any code in it.

    Args:
      file: the pickle stream.
      resolve: returns the object for a persistent id; None if there may be none.

    Raises:
      CheckpointError: the pickle is damaged, or refers to a name that is not allowed. The message
        says which.
    """
    try:
        return RestrictedUnpickler(file, resolve).load()
    except CheckpointError:
        raise
    except (EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"its pickle is truncated or damaged ({error}). Download the file again"
        ) from error
    except Exception as error:  # bytes that are not a pickle can fail in any way
        raise CheckpointError(
            f"its pickle cannot be decoded ({type(error).__name__}: {error})"
        ) from error
