"""Reads untrusted pickles without running any code in them.

A pickle can ask for any importable name. Here every name is looked up in ALLOWED, a table of plain
data types and of stand-ins for the functions with which PyTorch and NumPy rebuild tensors. Nothing
is imported: any other name, be it a harmless class such as argparse.Namespace or os.system, stands
for a new subclass of `Opaque`, whose objects take everything that a pickle does to them and do
nothing. Tensors are returned as `LazyTensor` and storages as `Storage`, so that the bytes of unused
tensors, such as optimizer state, are never read.
"""

import copyreg
import math
import pickle
import struct
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np


class CheckpointError(ValueError):
    """Raised for a file that cannot be read as a checkpoint; says why and what to do."""


class Opaque:
    """Stand-in for an object of a class that is not in ALLOWED; subclassed for each such class.

    It accepts every operation of a pickle: it can be called, with any arguments, and given a state
    and elements. Nothing is executed. Only its mapping items are kept, because subclasses of dict
    can hold weights.

    Attributes:
      full: name of the class, such as "argparse.Namespace".
      content: the items that the pickle has set.
    """

    full = ""

    def __new__(cls, *_: Any, **__: Any):
        self = super().__new__(cls)
        self.content = {}
        return self

    def __init__(self, *_: Any, **__: Any):
        pass

    def __call__(self, *_: Any, **__: Any) -> "Opaque":
        return type(self)()

    def __setstate__(*_: Any) -> None:  # without self: a pickle can also call it on the class
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        self.content[key] = value

    def _take(self, *_: Any) -> None:
        pass

    append = extend = add = _take


def opaque_name(value: Any) -> str:
    """Name of the class that an `Opaque` object, or subclass, stands for; "" for other values."""
    is_opaque = isinstance(value, Opaque) or isinstance(value, type) and issubclass(value, Opaque)
    return value.full if is_opaque else ""


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
    "QInt8Storage": StorageType("i1"),
    "QUInt8Storage": StorageType("u1"),
    "QInt32Storage": StorageType("i4"),
    "ComplexFloatStorage": StorageType("c8"),
    "ComplexDoubleStorage": StorageType("c16"),
    "UntypedStorage": StorageType("u1"),
}
BUILTINS = ("builtins", "__builtin__")  # the second is Python 2's name; protocol 2 still writes it
PLAIN_TYPES = (dict, list, tuple, set, frozenset, int, float, bool, str, complex, slice)
TORCH_DTYPES = (
    "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128"
).split()


class _Function:
    """A function that pickles may call. Unlike a Python function it has no attributes to change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable):
        self._function = function

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._function(*arguments, **keywords)

    def __setstate__(self, state: Any) -> None:
        raise CheckpointError("its pickle changes a function; weights do not need that")


def _rebuild_tensor(storage, offset, size, stride, *_):
    if opaque_name(storage):
        return storage
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Storage) or any(type(number) is not int for number in numbers):
        raise CheckpointError("its pickle has a tensor whose storage, size or stride is invalid")
    return LazyTensor(storage, offset, tuple(size), tuple(stride))


def _rebuild_parameter(data=None, *_):
    return data


def _rebuild_from_type(function, kind, arguments, *_):
    """A tensor with Python attributes, or of a subclass of torch.Tensor: other data, it may be."""
    if not opaque_name(kind) and isinstance(function, _Function):
        return function(*arguments)
    return kind() if opaque_name(kind) and isinstance(kind, type) else Opaque()


def _rebuild_object(kind, base=None, state=None):
    """An object as pickle protocols 0 and 1 store it."""
    if not isinstance(kind, type) or not opaque_name(kind):
        raise CheckpointError(f"its pickle rebuilds {kind!r} from parts; weights do not need that")
    rebuilt = kind()
    rebuilt.content.update(state if isinstance(state, dict) else {})
    return rebuilt


def _as_bytes(data) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


def _encode(text, encoding="latin1"):
    if encoding not in ("latin1", "latin-1", "utf-8", "utf8"):
        raise CheckpointError(f"its pickle encodes text as {encoding!r}, expected latin1 or utf8")
    return text.encode(encoding)


def _empty_array(*_):
    return np.ndarray((0,), "b")  # the pickle sets the content later, as the array's state


def _numpy_scalar(dtype, data=b""):
    if dtype.hasobject or not dtype.itemsize:
        return data
    return np.frombuffer(_as_bytes(data), dtype)[0]


def _array_of_buffer(buffer, dtype, shape, order):
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _bytes(data="", encoding="latin1"):
    return _encode(data, encoding) if isinstance(data, str) else bytes(data)


def _device(*place):
    return ":".join(str(part) for part in place)


FUNCTIONS = {
    "collections.Counter": Counter,
    "_codecs.encode": _encode,
    **{f"{module}.{name}": _bytes for name in ("bytes", "bytearray") for module in BUILTINS},
    **{f"{module}._reconstructor": _rebuild_object for module in ("copyreg", "copy_reg")},
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._utils._rebuild_device_tensor_from_numpy": _rebuild_parameter,  # XLA, MPS
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    "torch.Tensor": _rebuild_parameter,
    "torch.nn.parameter.Parameter": _rebuild_parameter,
    "torch.nn.parameter.Buffer": _rebuild_parameter,
    "torch.device": _device,
    **{f"numpy.{core}.multiarray._reconstruct": _empty_array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _numpy_scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _array_of_buffer for core in ("core", "_core")},
}
ALLOWED = {
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": defaultdict,
    **{f"{module}.{kind.__name__}": kind for kind in PLAIN_TYPES for module in BUILTINS},
    **{name: _Function(function) for name, function in FUNCTIONS.items()},
    "torch.Size": tuple,
    **{f"torch.{name}": name for name in TORCH_DTYPES},
    **{f"torch.{name}": kind for name, kind in STORAGE_TYPES.items()},
    **{f"torch.cuda.{name}": kind for name, kind in STORAGE_TYPES.items()},
    **{f"torch.storage.{name}": kind for name, kind in STORAGE_TYPES.items()},
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    **{f"numpy.{name}": getattr(np, name) for name in ("float32", "float64", "int32", "int64")},
}


class RestrictedUnpickler(pickle._Unpickler):
    """Unpickler that knows only the names in ALLOWED; all others stand for subclasses of `Opaque`.

    It is Python's own implementation of the unpickler. The one in C allocates memory for as many
    objects as the largest number in the file says that it remembers: 32 GB for a file of 8 bytes.

    Byte strings written by Python 2 become str with one character per byte, as NumPy expects.

    Args:
      file: the pickle stream.
      resolve: returns the storage for a persistent id (PyTorch files); None if the file may not
        have persistent ids.
      functions: further functions that the pickle may call, by their names in it.

    Attributes:
      opaque: name -> subclass of `Opaque`, for each other name that the pickle refers to.
    """

    def __init__(self, file: BinaryIO, resolve=None, functions: Mapping[str, Callable] = {}):
        super().__init__(file, encoding="latin1")
        self._resolve = resolve
        self._functions = {name: _Function(function) for name, function in functions.items()}
        self.opaque: dict[str, type[Opaque]] = {}

    def find_class(self, module: str, name: str):
        full = f"{module}.{name}"
        if full in ALLOWED:
            return ALLOWED[full]
        if full in self._functions:
            return self._functions[full]
        if full not in self.opaque:
            self.opaque[full] = type("Opaque", (Opaque,), {"full": full})
        return self.opaque[full]

    def persistent_load(self, pid):
        if isinstance(pid, tuple) and pid[:1] == ("module",) and len(pid) > 1:
            return pid[1]  # a class of the model, stored by PyTorch before 1.6 with its source
        if self._resolve is None:
            raise CheckpointError(f"its pickle refers to data outside the file: {pid!r}")
        return self._resolve(pid)


def load_pickle(
    file: BinaryIO, resolve=None, opaque: set[str] | None = None,
    functions: Mapping[str, Callable] = {},
):
    """Reads the next object of a pickle stream without running any code in it.

    Args:
      file: the pickle stream.
      resolve: returns the object for a persistent id; None if there may be none.
      opaque: receives the names of all classes and functions that are not in ALLOWED. Their objects
        are `Opaque`.
      functions: further functions that the pickle may call, by their names in it.

    Raises:
      CheckpointError: the pickle is damaged. The message says how.
    """
    # Python remembers the objects behind extension codes without asking find_class again. Cleared
    # before, so that nothing that another program remembered is used here, and after.
    copyreg.clear_extension_cache()
    unpickler = RestrictedUnpickler(file, resolve, functions)
    try:
        content = unpickler.load()
    except CheckpointError:
        raise
    except (EOFError, IndexError, struct.error, pickle.UnpicklingError) as error:
        reason = str(error) or "it ends too early"
        raise CheckpointError(
            f"its pickle is truncated or damaged ({reason}). Download the file again"
        ) from error
    except Exception as error:  # bytes that are not a pickle can fail in any way
        raise CheckpointError(
            f"its pickle cannot be decoded ({type(error).__name__}: {error})"
        ) from error
    finally:
        copyreg.clear_extension_cache()
    if opaque is not None:
        opaque |= set(unpickler.opaque)
    return content
