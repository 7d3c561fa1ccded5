"""Reads and writes safetensors files.

A file has the length of its header (8 bytes, little-endian), the header, and the bytes of the
tensors. The header is JSON,
{name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...},
and can have texts under the name "__metadata__".

Files can come from anyone. Therefore every number of the header is checked before memory is
allocated for it, and the tensors must cover the rest of the file without gap or overlap.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from convert.layouts import widen_bfloat16
from convert.unpickle import CheckpointError

TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?", "C64": "<c8",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}
LENGTH_BYTES = 8
LARGEST_HEADER = 4 << 20  # bytes: enough for some 30,000 tensors
MOST_DIMENSIONS = 16
LARGEST_DIMENSION = 2**40
METADATA = "__metadata__"
AGAIN = "the file is truncated or damaged. Get it again"


class Entry(NamedTuple):
    """A tensor in a header. start, end: its bytes, counted from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def is_safetensors(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a safetensors file.

    The last byte of the header's length is 0, which no text has at that place.
    """
    return head[LENGTH_BYTES - 1 : LENGTH_BYTES + 1] == b"\0{"


def read_safetensors(
    file: BinaryIO, size: int
) -> tuple[dict[str, np.ndarray], dict[str, str], list[str]]:
    """Reads a whole file.

    Args:
      file: the file, at its beginning.
      size: its size in bytes.

    Returns:
      {name: array}, with bfloat16 widened to float32, which is exact; the texts in the header; and
      the names of the bfloat16 tensors.

    Raises:
      CheckpointError: the file is damaged, or has a tensor of an unknown element type.
    """
    entries, texts = _read_header(file, size)
    tensors = {}
    for entry in entries:
        data = file.read(entry.end - entry.start)  # in the order of the file, without gaps
        flat = np.frombuffer(data, TYPES[entry.dtype]).reshape(entry.shape)
        native = flat.astype(flat.dtype.newbyteorder("="), copy=False)
        tensors[entry.name] = widen_bfloat16(native) if entry.dtype == "BF16" else native
    bfloat16 = [entry.name for entry in entries if entry.dtype == "BF16"]
    return tensors, texts, bfloat16


def _read_header(file: BinaryIO, size: int) -> tuple[list[Entry], dict[str, str]]:
    """The tensors in the order of their bytes, and the texts. `file` is then at the first byte."""
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if length > size - LENGTH_BYTES:
        raise CheckpointError(
            f"its header should have {length:,} bytes, but the file has {size:,}: {AGAIN}"
        )
    if length > LARGEST_HEADER:
        raise CheckpointError(
            f"its header has {length:,} bytes, expected at most {LARGEST_HEADER:,}"
        )
    header = _decoded(file.read(length))
    texts = header.pop(METADATA, {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise CheckpointError(f"the entry {METADATA} of its header is not a table of texts")
    if not header:
        raise CheckpointError("it holds no tensors")
    entries = sorted(
        (_entry(name, fields) for name, fields in header.items()), key=lambda e: (e.start, e.end)
    )
    end = 0
    for entry in entries:
        if entry.start != end:
            problem = "overlaps another" if entry.start < end else "does not follow another"
            raise CheckpointError(
                f"tensor {entry.name} begins at byte {entry.start:,} of the data, expected "
                f"{end:,}: it {problem}, so the header is damaged"
            )
        end = entry.end
    found = size - LENGTH_BYTES - length
    if end != found:
        raise CheckpointError(f"its tensors need {end:,} bytes, but {found:,} follow: {AGAIN}")
    return entries, texts


def _decoded(data: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            seen: set[str] = set()
            twice = next(name for name, _ in pairs if name in seen or seen.add(name))
            raise CheckpointError(f"its header has the name {twice[:100]!r} twice")
        return fields

    try:
        header = json.loads(data.decode("utf-8"), object_pairs_hook=unique)
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        reason = str(error).split("\n")[0][:100]
        raise CheckpointError(f"its header is not JSON ({reason}): {AGAIN}") from error
    if not isinstance(header, dict):
        raise CheckpointError("its header is not a table of tensors")
    return header


def _entry(name: str, fields: Any) -> Entry:
    short = name[:100]
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(
            f"tensor {short} has not the fields dtype, shape and data_offsets in the header"
        )
    kind, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(kind, str) or kind not in TYPES:
        raise CheckpointError(
            f"tensor {short} has the element type {str(kind)[:20]}, expected one of "
            f"{', '.join(TYPES)}"
        )
    if not _are_sizes(shape) or len(shape) > MOST_DIMENSIONS:
        raise CheckpointError(f"tensor {short} has the invalid shape {str(shape)[:100]}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise CheckpointError(f"tensor {short} has the invalid offsets {str(offsets)[:100]}")
    start, end = offsets
    needed = math.prod(shape) * np.dtype(TYPES[kind]).itemsize
    if end - start != needed:
        raise CheckpointError(
            f"tensor {short} of shape {tuple(shape)} and type {kind} needs {needed:,} bytes, its "
            f"offsets {start:,} and {end:,} leave {end - start:,}: the header is damaged"
        )
    return Entry(name, kind, tuple(shape), start, end)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(number) is int and 0 <= number < LARGEST_DIMENSION for number in value
    )


def write_safetensors(
    path: str | os.PathLike, tensors: Mapping[str, Any], texts: Mapping[str, str]
) -> None:
    """Writes tensors to a file; an existing file is replaced.

    Args:
      path: the file.
      tensors: name -> array.
      texts: what to store beside them in the header.
    """
    from safetensors.numpy import save_file  # not above: reading does not need it

    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    save_file(arrays, Path(path), dict(texts))
