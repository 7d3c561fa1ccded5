"""Reads PyTorch's files: the zip of PyTorch 1.6 and later, and the stream of pickles before it.

Tensors are `LazyTensor`s, whose bytes are read when they are needed. No code in a file is run.
"""

import io
import struct
import zipfile
import zlib
from typing import Any, BinaryIO

import numpy as np

from convert.layouts import widen_bfloat16
from convert.unpickle import (
    CheckpointError,
    Storage,
    StorageType,
    load_pickle,
    opaque_name,
)

# A PyTorch file before 1.6 begins with these two integers (torch/serialization.py).
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
# Exceptions that the zipfile module raises for damaged files.
ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError
)
# The numbers of a network hardly compress. A file that unpacks to more than this many times its
# size is made to fill the memory.
LARGEST_RATIO = 20
# The reader takes any pickled dict of arrays, which these programs can write.
REPICKLED = 'write it as a pickle that can be read: pickle.dump({}, open("w.pkl", "wb"))'


# The zip file has NAME/data.pkl, and one entry NAME/data/KEY for each storage.


def read_zip(file: BinaryIO, size: int, expected: str) -> tuple[Any, set[str]]:
    """Reads a file of PyTorch 1.6 or later, which has `size` bytes.

    The file must stay open for as long as tensors are read.

    Args:
      expected: what is expected instead, for the error about a zip file of another kind.

    Returns:
      Its content, with a `LazyTensor` for each tensor, and the names of the unknown classes in it.

    Raises:
      CheckpointError: it is another kind of zip file, or damaged.
    """
    try:
        archive = zipfile.ZipFile(file)
    except ZIP_ERRORS as error:
        raise CheckpointError(
            f"a zip file of {size:,} bytes whose table of contents cannot be read ({error}): it is "
            "truncated or damaged. Get it again"
        ) from error
    names = set(archive.namelist())
    roots = [name[: -len("data.pkl")] for name in names if name.endswith("/data.pkl")]
    if names and all(name.endswith(".npy") for name in names):
        how = REPICKLED.format("dict(numpy.load(FILE))")
        raise CheckpointError(f"the file is a NumPy archive (.npz); {how}")
    if len(roots) != 1:
        raise CheckpointError(
            f"a zip file without NAME/data.pkl (it has {', '.join(sorted(names)[:4])}, ...); "
            f"if it is an archive with weights, unpack it; {expected}"
        )
    root = roots[0]
    if f"{root}constants.pkl" in names:
        raise CheckpointError(
            "it is a TorchScript program; save state_dict() of the original model and convert "
            "that"
        )
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > LARGEST_RATIO * size:
        raise CheckpointError(
            f"a zip file of {size:,} bytes that unpacks to {unpacked:,}; weights do not compress "
            "that well, so it is not read"
        )
    order = "<"
    if f"{root}byteorder" in names:
        text = _zip_entry(archive, f"{root}byteorder").strip()
        if text not in (b"little", b"big"):
            raise CheckpointError(f"its byte order is {text!r}, expected little or big")
        order = "<" if text == b"little" else ">"
    storages = _ZipStorages(archive, root, order)
    data, opaque = io.BytesIO(_zip_entry(archive, f"{root}data.pkl")), set()
    return load_pickle(data, storages.resolve, opaque), opaque


def _zip_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except KeyError as error:
        raise CheckpointError(f"its entry {name} is missing; the file is damaged") from error
    except ZIP_ERRORS as error:
        raise CheckpointError(
            f"its entry {name} is damaged ({error}). Download the file again"
        ) from error


class _ZipStorages:
    """The storages of an open zip file; each is read once, when a tensor first needs it."""

    def __init__(self, archive: zipfile.ZipFile, root: str, order: str):
        self.archive, self.root, self.order = archive, root, order
        self.loaded: dict[str, np.ndarray] = {}

    def resolve(self, pid) -> Storage:
        kind, key, _, numel = _storage_id(pid)
        return Storage(key, kind, lambda: self.load(key, kind, numel))

    def load(self, key: str, kind: StorageType, numel: int) -> np.ndarray:
        if key not in self.loaded:
            data = _zip_entry(self.archive, f"{self.root}data/{key}")
            self.loaded[key] = _elements(data, kind, self.order, numel, key)
        return self.loaded[key]


def _storage_id(pid) -> tuple[StorageType, str, str, int]:
    """Checks PyTorch's persistent id of a storage: (type, key, device, number of elements).

    The type is a subclass of `Opaque` if it is not known; such storages cannot be read.
    """
    if (
        not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage"
        or not isinstance(pid[4], int)
        or not isinstance(pid[1], StorageType) and not opaque_name(pid[1])
    ):
        raise CheckpointError(
            f"its pickle refers to {str(pid)[:80]}, which is not a storage. If the file holds a "
            "whole model object, save model.state_dict() instead and convert that"
        )
    return pid[1], str(pid[2]), str(pid[3]), pid[4]


def _elements(data: bytes, kind: StorageType, order: str, numel: int, key: str) -> np.ndarray:
    """Decodes a storage to a flat array in this machine's byte order; bfloat16 is widened."""
    dtype = np.dtype(_known(kind).dtype).newbyteorder(order)
    if len(data) < numel * dtype.itemsize:
        raise CheckpointError(
            f"its storage {key} has {len(data):,} bytes, {numel} elements need "
            f"{numel * dtype.itemsize:,}: the file is truncated or damaged. Get it again"
        )
    flat = np.frombuffer(data, dtype, count=numel).astype(dtype.newbyteorder("="), copy=False)
    return widen_bfloat16(flat) if kind.bfloat16 else flat


def _known(kind: StorageType) -> StorageType:
    if opaque_name(kind):
        raise CheckpointError(f"its numbers are of the unknown type {opaque_name(kind)}")
    return kind


# The stream has pickles (magic number, version, system, object, keys) and then the bytes of the
# storages.


def read_legacy(file: BinaryIO, size: int) -> tuple[Any, set[str]]:
    """Reads a file of PyTorch before 1.6, which has `size` bytes, from after the magic number.

    Returns:
      See `read_zip`.

    Raises:
      CheckpointError: the file is damaged.
    """
    version = load_pickle(file)
    if version != LEGACY_VERSION:
        raise CheckpointError(
            f"it is an old PyTorch file of format {version}, expected {LEGACY_VERSION}. Save it "
            "again with PyTorch 1.6 or later"
        )
    system = load_pickle(file)
    little = system.get("little_endian", True) if isinstance(system, dict) else True
    kinds: dict[str, StorageType] = {}
    loaded: dict[str, np.ndarray] = {}

    def load(key: str, view) -> np.ndarray:
        if key not in loaded:
            raise CheckpointError(f"its storage {key} is missing; the file is damaged")
        if view is None:
            return loaded[key]
        _, start, count = view
        return loaded[key][start : start + count]

    def resolve(pid) -> Storage:
        kind, key, _, _ = _storage_id(pid)
        kinds[key] = kind
        view = pid[5] if len(pid) > 5 else None
        return Storage(key, kind, lambda: load(key, view))

    opaque: set[str] = set()
    content = load_pickle(file, resolve, opaque)
    keys = load_pickle(file)
    if not isinstance(keys, list) or not set(map(str, keys)) <= set(kinds):
        raise CheckpointError("its list of storages does not match its tensors: it is damaged")
    order = "<" if little else ">"
    for key in map(str, keys):
        count = file.read(8)
        if len(count) < 8:
            raise CheckpointError(f"it is truncated at storage {key}. Download the file again")
        numel = struct.unpack(f"{order}q", count)[0]
        nbytes = numel * np.dtype(_known(kinds[key]).dtype).itemsize
        if not 0 <= nbytes <= size - file.tell():
            raise CheckpointError(
                f"its storage {key} needs {nbytes:,} bytes, only {size - file.tell():,} are left: "
                "the file is truncated or damaged. Get it again"
            )
        loaded[key] = _elements(file.read(nbytes), kinds[key], order, numel, key)
    return content, opaque
