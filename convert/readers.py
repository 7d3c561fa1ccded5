"""Reads checkpoint files of other programs as {name: NumPy array}.

The format is detected from the content, not from the file's name:

- PyTorch 1.6 and later: a zip file
- PyTorch before 1.6: a stream of pickles
- Paddle and the Caffe2 model zoo: a pickle
- MindSpore: protocol buffers
- safetensors: a header of JSON and the bytes of the tensors

Weights in several files are read through their index, NAME.index.json.

None of these programs needs to be installed, and no code in a file is run (see unpickle.py).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from convert.entries import find_weights, is_optimizer, is_tensor
from convert.formats.mindspore import is_mindspore, read_mindspore
from convert.formats.paddle import is_paddle, plain_arrays
from convert.formats.safetensors_file import is_safetensors, read_safetensors
from convert.formats.sharded import is_index, read_index
from convert.formats.torch_files import LARGEST_RATIO, LEGACY_MAGIC, read_legacy, read_zip
from convert.unpickle import CheckpointError, LazyTensor, load_pickle, opaque_name

SMALL = 64 << 20  # bytes that tensors may need, however small the file is
KEPT_METADATA = ("epoch", "cfg")
EXPECTED = (
    "expected a PyTorch checkpoint (.pyth, .pth), a Caffe2 model zoo file (.pkl), Paddle "
    "parameters (.pdparams), a MindSpore checkpoint (.ckpt) or a safetensors file"
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
OWN_KINDS = ("orbax", "safetensors folder")


class ForeignCheckpoint(NamedTuple):
    """The content of a checkpoint.

    Attributes:
      kind: the file format: "torch zip", "torch legacy", "caffe2", "paddle", "pickle", "mindspore"
        or "safetensors"; or one of OWN_KINDS, a checkpoint of this project that the caller has
        read.
      tensors: name in the file -> array in the file's own layout; bfloat16 is widened to float32.
      metadata: "epoch" and "cfg" if the file has them; "container" (the entry that held the
        weights, see entries.py; "" if they were at the top level); "other" (entries that were not
        read), "optimizers" (those of them that are the states of optimizers); "also" (name ->
        number of tensors, of other entries with weights); "opaque" (names of classes in the file
        that this project does not know; their objects were not read) and "program_config" (text of
        MMAction2's config); "bfloat16" (names of the tensors that the file stores as such);
        "header" (the texts in a safetensors file). For OWN_KINDS, the metadata saved with the
        arrays.
    """

    kind: str
    tensors: dict[str, np.ndarray]
    metadata: dict

    @property
    def own(self) -> bool:
        """Whether this project wrote it, so that the names are paths."""
        return self.kind in OWN_KINDS


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
        if is_index(path):
            return _read_shards(path, entry)
        with open(path, "rb") as file:
            return _read_file(file, path.stat().st_size, Wanted(entry, tuple(keep)))
    except CheckpointError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error}") from error


def _read_shards(index: Path, entry: str) -> ForeignCheckpoint:
    """Reads the files that an index names; see formats/sharded.py."""
    _without_entries("sharded", entry)
    tensors, kinds, bfloat16 = {}, set(), []
    for name, expected in read_index(index).items():
        if not (index.parent / name).is_file():
            raise CheckpointError(f"its file {name} is missing beside it")
        shard = read_checkpoint(index.parent / name)
        if shard.tensors.keys() != expected:
            first = min(shard.tensors.keys() ^ expected)
            raise CheckpointError(
                f"its file {name} has other tensors than the index says, such as {first}; index "
                "and files do not belong together"
            )
        tensors |= shard.tensors
        kinds.add(shard.kind)
        bfloat16 += shard.metadata.get("bfloat16", [])
    metadata = {"container": "", "other": []} | ({"bfloat16": bfloat16} if bfloat16 else {})
    return ForeignCheckpoint(f"sharded {', '.join(sorted(kinds))}", tensors, metadata)


def describe_source(checkpoint: ForeignCheckpoint) -> list[str]:
    """Sentences on where in the file the tensors were found, and on what was not read."""
    metadata = checkpoint.metadata
    entry, prefix = metadata.get("container"), metadata.get("stripped")
    inside = f" from the entry {entry!r}" if entry else ""
    removed = f", without the prefix {prefix!r} of all names" if prefix else ""
    optimizers = metadata.get("optimizers", ())
    other = [f"{n} (state of the optimizer)" if n in optimizers else n
             for n in metadata.get("other", ())]
    unread = f"; not read: {', '.join(other)}" if other else ""
    lines = [f"{len(checkpoint.tensors)} tensors{inside}{removed}{unread}"]
    lines += metadata.get("wrappers", ())
    bfloat16 = set(metadata.get("bfloat16", ()))
    halves = Counter(
        "bfloat16" if name in bfloat16 else array.dtype.name
        for name, array in checkpoint.tensors.items()
    )
    for kind in ("float16", "bfloat16"):
        if halves[kind]:
            lines.append(f"{halves[kind]} tensors are {kind}; they are widened exactly")
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
        raise CheckpointError(f"the file is empty (0 bytes); {EXPECTED}. Get it again")
    if head.startswith(b"PK\x03\x04"):
        content, opaque = read_zip(file, size, EXPECTED)
        return _checkpoint("torch zip", content, opaque, wanted, size)
    if head.startswith((b"\x80", b"(dp", b"}q")):  # pickle protocol 2 or later; 0; 1
        return _read_pickles(file, size, wanted)
    if is_mindspore(head):
        _without_entries("MindSpore", wanted.entry)
        tensors, other = read_mindspore(file.read())
        metadata = {"container": "", "other": other}
        return ForeignCheckpoint("mindspore", tensors, metadata)
    if is_safetensors(head):
        _without_entries("safetensors", wanted.entry)
        tensors, texts, bfloat16 = read_safetensors(file, size)
        metadata = {"container": "", "other": [], "header": texts}
        metadata |= {"bfloat16": bfloat16} if bfloat16 else {}
        return ForeignCheckpoint("safetensors", tensors, metadata)
    for start, what in LOOKALIKES:
        if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(start):
            raise CheckpointError(f"the file is {what}; {EXPECTED}")
    raise CheckpointError(f"the file begins with {head[:16]!r}; {EXPECTED}")


def _without_entries(kind: str, entry: str) -> None:
    if entry:
        raise CheckpointError(f"a {kind} file has no entries, so no entry {entry!r}")


def _read_pickles(file: BinaryIO, size: int, wanted: Wanted) -> ForeignCheckpoint:
    """A stream of pickles of PyTorch before 1.6, or a single pickle (Caffe2, Paddle)."""
    opaque: set[str] = set()
    first = load_pickle(file, opaque=opaque)
    if isinstance(first, int) and first == LEGACY_MAGIC:
        content, opaque = read_legacy(file, size)
        return _checkpoint("torch legacy", content, opaque, wanted, size)
    if isinstance(first, dict) and isinstance(first.get("blobs"), dict):
        named = wanted._replace(entry=wanted.entry or "blobs")
        return _checkpoint("caffe2", first, opaque, named, size)
    if isinstance(first, dict) and is_paddle(first):
        return _checkpoint("paddle", plain_arrays(first), opaque, wanted, size)
    return _checkpoint("pickle", first, opaque, wanted, size)


def _checkpoint(
    kind: str, content, opaque: set[str], wanted: Wanted, size: int
) -> ForeignCheckpoint:
    """Finds the weights in the unpickled content of a file and reads them.

    Args:
      kind: the file format.
      content: what was unpickled.
      opaque: names of the unknown classes in the file.
      wanted: the entry to read, and those to keep.
      size: bytes of the file.
    """
    if not isinstance(content, dict) and not opaque_name(content):
        raise CheckpointError(
            f"it holds a {type(content).__name__} instead of a dict of tensors; {EXPECTED}"
        )
    container, weights, also = find_weights(content, wanted.entry)
    _check_size(weights, size)
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
    optimizers = [str(name) for name, value in whole.items() if is_optimizer(value)]
    metadata |= {"optimizers": optimizers} if optimizers else {}
    metadata |= {"also": also} if also else {}
    metadata |= {"opaque": sorted(opaque)} if opaque else {}
    bfloat16 = [name for name in tensors if _is_bfloat16(weights[name])]
    metadata |= {"bfloat16": bfloat16} if bfloat16 else {}
    meta = whole.get("meta")
    for name in ("cfg", "config"):
        if isinstance(meta, dict) and isinstance(meta.get(name), str):
            metadata.setdefault("program_config", meta[name])
    return ForeignCheckpoint(kind, tensors, metadata)


def _check_size(weights: Mapping, size: int) -> None:
    """Refuses tensors that repeat the numbers of their storages so often that they fill the memory.
    """
    needed = sum(
        math.prod(value.size) * np.dtype(value.storage.type.dtype).itemsize
        for value in weights.values()
        if isinstance(value, LazyTensor) and not opaque_name(value.storage.type)
    )
    if needed > LARGEST_RATIO * size + SMALL:
        raise CheckpointError(
            f"its tensors need {needed:,} bytes, but the file has only {size:,}, so it is not read"
        )


def _is_bfloat16(value) -> bool:
    return isinstance(value, LazyTensor) and value.storage.type.bfloat16


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
