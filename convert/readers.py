"""Reads checkpoint files of other programs as {name: NumPy array}.

The format is detected from the content, not from the file's name:

- PyTorch 1.6 and later: a zip file
- PyTorch before 1.6: a stream of pickles
- Paddle and the Caffe2 model zoo: a pickle
- MindSpore: protocol buffers

None of these programs needs to be installed, and no code in a file is run (see unpickle.py).
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from convert.entries import find_weights, is_tensor
from convert.layouts import widen_bfloat16
from convert.mindspore import is_mindspore, read_mindspore
from convert.paddle import is_paddle, plain_arrays
from convert.unpickle import (
    CheckpointError,
    LazyTensor,
    Storage,
    StorageType,
    load_pickle,
    opaque_name,
)

# A PyTorch file before 1.6 begins with these two integers (torch/serialization.py).
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
KEPT_METADATA = ("epoch", "cfg")
EXPECTED = (
    "expected a PyTorch checkpoint (.pyth, .pth), a Caffe2 model zoo file (.pkl), Paddle "
    "parameters (.pdparams) or a MindSpore checkpoint (.ckpt)"
)
# Exceptions that the zipfile module raises for damaged files.
ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError
)
# First bytes of files that are often mistaken for checkpoints, and what these files are.
LOOKALIKES = (
    (b"<", "a web page or XML: the download link probably led to a login or error page"),
    (b"{", "JSON: the download link probably led to an error message; open it in an editor"),
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull` to get the file itself"),
    *((start, f"{name} archive: unpack it first") for start, name in (
        (b"\x1f\x8b", "a gzip"), (b"BZh", "a bzip2"), (b"\xfd7zXZ", "an xz"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard"), (b"7z\xbc\xaf", "a 7-Zip"), (b"Rar!", "a RAR"),
    )),
    (b"\x89HDF", "an HDF5 file (Keras)"),
    (b"\x93NUMPY", "a single NumPy array"),
)
# The reader takes any pickled dict of arrays, which these programs can write.
REPICKLED = 'write it as a pickle that can be read: pickle.dump({}, open("w.pkl", "wb"))'


class ForeignCheckpoint(NamedTuple):
    """The content of a checkpoint.

    Attributes:
      kind: the file format: "torch zip", "torch legacy", "caffe2", "paddle", "pickle" or
        "mindspore"; or "orbax", a checkpoint of this project that the caller has read.
      tensors: name in the file -> array in the file's own layout; bfloat16 is widened to float32.
      metadata: "epoch" and "cfg" if the file has them; "container" (the entry that held the
        weights, see entries.py; "" if they were at the top level); "other" (entries that were not
        read); "also" (name -> number of tensors, of other entries with weights); "opaque" (names of
        classes in the file that this project does not know; their objects were not read) and
        "program_config" (text of MMAction2's config). For "orbax", the metadata saved with the
        arrays.
    """

    kind: str
    tensors: dict[str, np.ndarray]
    metadata: dict


class Wanted(NamedTuple):
    """What to read of a file: see `read_checkpoint`."""

    entry: str
    keep: tuple[str, ...]


def read_checkpoint(
    path: str | Path, entry: str = "", *, keep: Sequence[str] = ()
) -> ForeignCheckpoint:
    """Reads a checkpoint file of any supported program.

    Args:
      path: the file.
      entry: name of the entry that holds the weights, such as "ema" or "model.state_dict"; "" to
        look for it, see entries.py.
      keep: names of further entries ("optimizer_state") of a PyTorch file, which are then in the
        metadata, with arrays in place of tensors.

    Raises:
      FileNotFoundError: the file does not exist.
      CheckpointError: the file cannot be read. The message names the file and says what was found,
        what was expected and what to do.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"checkpoint {path} does not exist; check the path")
    try:
        if path.is_dir():
            raise CheckpointError(f"it is a folder, not a file; {EXPECTED}")
        with open(path, "rb") as file:
            return _read_file(file, path.stat().st_size, Wanted(entry, tuple(keep)))
    except CheckpointError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error}") from error


def describe_source(checkpoint: ForeignCheckpoint) -> list[str]:
    """Sentences on where in the file the tensors were found, and on what was not read."""
    metadata = checkpoint.metadata
    entry, prefix = metadata.get("container"), metadata.get("stripped")
    inside = f" from the entry {entry!r}" if entry else ""
    removed = f", without the prefix {prefix!r} of all names" if prefix else ""
    unread = f"; not read: {', '.join(metadata['other'])}" if metadata.get("other") else ""
    lines = [f"{len(checkpoint.tensors)} tensors{inside}{removed}{unread}"]
    if metadata.get("also"):
        also = ", ".join(f"{name} ({count})" for name, count in metadata["also"].items())
        lines.append(f"more weights are in other entries, which can be named instead: {also}")
    if metadata.get("opaque"):
        kinds = ", ".join(metadata["opaque"])
        lines.append(f"objects of unknown classes were not read, and nothing was run: {kinds}")
    return lines


def _read_file(file: BinaryIO, size: int, wanted: Wanted) -> ForeignCheckpoint:
    head = file.read(64)
    file.seek(0)
    if size == 0:
        raise CheckpointError(f"the file is empty (0 bytes); {EXPECTED}. Download it again")
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(file, size, wanted)
    if head.startswith((b"\x80", b"(dp", b"}q")):  # pickle protocol 2 or later; 0; 1
        return _read_pickles(file, size, wanted)
    if is_mindspore(head):
        if wanted.entry:
            raise CheckpointError(
                f"a MindSpore file has no entries, so no entry {wanted.entry!r}"
            )
        tensors, other = read_mindspore(file.read())
        metadata = {"container": "", "other": other}
        return ForeignCheckpoint("mindspore", tensors, metadata)
    if head[8:10] == b'{"':
        how = REPICKLED.format("dict(safetensors.numpy.load_file(FILE))")
        raise CheckpointError(f"the file is in the format safetensors; {how}")
    for start, what in LOOKALIKES:
        if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(start):
            raise CheckpointError(f"the file is {what}; {EXPECTED}")
    raise CheckpointError(f"the file begins with {head[:16]!r}; {EXPECTED}")


# PyTorch 1.6 and later: a zip file with NAME/data.pkl and one entry NAME/data/KEY for each storage.


def _read_zip(file: BinaryIO, size: int, wanted: Wanted) -> ForeignCheckpoint:
    try:
        archive = zipfile.ZipFile(file)
    except ZIP_ERRORS as error:
        raise CheckpointError(
            f"a zip file of {size:,} bytes whose table of contents cannot be read ({error}): it is "
            "truncated or damaged. Download it again"
        ) from error
    with archive:
        names = set(archive.namelist())
        roots = [name[: -len("data.pkl")] for name in names if name.endswith("/data.pkl")]
        if names and all(name.endswith(".npy") for name in names):
            how = REPICKLED.format("dict(numpy.load(FILE))")
            raise CheckpointError(f"the file is a NumPy archive (.npz); {how}")
        if len(roots) != 1:
            raise CheckpointError(
                f"a zip file without NAME/data.pkl (it has {', '.join(sorted(names)[:4])}, ...); "
                f"if it is an archive with weights, unpack it; {EXPECTED}"
            )
        root = roots[0]
        if f"{root}constants.pkl" in names:
            raise CheckpointError(
                "it is a TorchScript program; save state_dict() of the original model and convert "
                "that"
            )
        order = "<"
        if f"{root}byteorder" in names:
            text = _zip_entry(archive, f"{root}byteorder").strip()
            if text not in (b"little", b"big"):
                raise CheckpointError(f"its byte order is {text!r}, expected little or big")
            order = "<" if text == b"little" else ">"
        storages = _ZipStorages(archive, root, order)
        data, opaque = io.BytesIO(_zip_entry(archive, f"{root}data.pkl")), set()
        content = load_pickle(data, storages.resolve, opaque)
        return _checkpoint("torch zip", content, wanted, opaque)


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
            f"{numel * dtype.itemsize:,}: the file is truncated or damaged. Download it again"
        )
    flat = np.frombuffer(data, dtype, count=numel).astype(dtype.newbyteorder("="), copy=False)
    return widen_bfloat16(flat) if kind.bfloat16 else flat


def _known(kind: StorageType) -> StorageType:
    if opaque_name(kind):
        raise CheckpointError(f"its numbers are of the unknown type {opaque_name(kind)}")
    return kind


# Streams of pickles: either PyTorch before 1.6 (magic number, version, system, object, keys, then
# the bytes of the storages) or a single pickle (Caffe2, Paddle).


def _read_pickles(file: BinaryIO, size: int, wanted: Wanted) -> ForeignCheckpoint:
    opaque: set[str] = set()
    first = load_pickle(file, opaque=opaque)
    if isinstance(first, int) and first == LEGACY_MAGIC:
        return _read_legacy_torch(file, size, wanted)
    if isinstance(first, dict) and isinstance(first.get("blobs"), dict):
        return _checkpoint("caffe2", first, wanted._replace(entry=wanted.entry or "blobs"), opaque)
    if isinstance(first, dict) and is_paddle(first):
        return _checkpoint("paddle", plain_arrays(first), wanted, opaque)
    return _checkpoint("pickle", first, wanted, opaque)


def _read_legacy_torch(file: BinaryIO, size: int, wanted: Wanted) -> ForeignCheckpoint:
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
                "the file is truncated or damaged. Download it again"
            )
        loaded[key] = _elements(file.read(nbytes), kinds[key], order, numel, key)
    return _checkpoint("torch legacy", content, wanted, opaque)


def _checkpoint(kind: str, content, wanted: Wanted, opaque: set[str]) -> ForeignCheckpoint:
    """Finds the weights in the unpickled content of a file and reads them.

    Args:
      kind: the file format.
      content: what was unpickled.
      wanted: the entry to read, and those to keep.
      opaque: names of the unknown classes in the file.
    """
    if not isinstance(content, dict) and not opaque_name(content):
        raise CheckpointError(
            f"it holds a {type(content).__name__} instead of a dict of tensors; {EXPECTED}"
        )
    container, weights, also = find_weights(content, wanted.entry)
    tensors, other = {}, []
    for name, value in weights.items():
        if is_tensor(value) and isinstance(name, str):
            tensors[name] = _array(value, name)
            continue
        # At the top level there can be other objects beside the weights.
        if opaque_name(value) and not str(name).endswith("_extra_state") and (
            container or "." in str(name)
        ):
            raise CheckpointError(
                f"tensor {name} is stored as an object of {opaque_name(value)}, which this project "
                "does not know. Save the weights as plain tensors (state_dict()) with the program "
                "that wrote the file, and convert that"
            )
        other.append(str(name))
    whole = content if isinstance(content, dict) else {}
    metadata = {n: whole[n] for n in KEPT_METADATA if container and n in whole}
    kept = {name: _arrays(whole[name], name) for name in wanted.keep if name in whole}
    if container:
        top = container.split(".")[0]
        read = {container, top, *KEPT_METADATA, *kept}
        other += [str(name) for name in whole if name not in read]
    metadata |= kept
    metadata |= {"container": container, "other": other}
    metadata |= {"also": also} if also else {}
    metadata |= {"opaque": sorted(opaque)} if opaque else {}
    meta = whole.get("meta")
    for name in ("cfg", "config"):
        if isinstance(meta, dict) and isinstance(meta.get(name), str):
            metadata.setdefault("program_config", meta[name])
    return ForeignCheckpoint(kind, tensors, metadata)


def _arrays(value, name: str):
    """Nested dicts and lists with arrays in place of their tensors."""
    if is_tensor(value):
        return _array(value, name)
    if isinstance(value, dict):
        return {key: _arrays(item, f"{name}.{key}") for key, item in value.items()}
    return [_arrays(item, name) for item in value] if isinstance(value, list | tuple) else value


def _array(value, name: str) -> np.ndarray:
    try:
        array = value.array() if isinstance(value, LazyTensor) else np.asarray(value)
    except CheckpointError as error:
        raise CheckpointError(f"tensor {name}: {error}") from error
    if array.dtype.kind not in "fiubc":
        raise CheckpointError(f"tensor {name} holds {array.dtype} values, expected numbers")
    return array
