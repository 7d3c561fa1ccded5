"""Reads MindSpore's .ckpt files, which are protocol buffers, without MindSpore or protoc.

    message Checkpoint { repeated Value value = 1; }
    message Value { required string tag = 1; optional Tensor tensor = 2; }
    message Tensor { repeated int64 dims = 1; required string type = 2;
                     required bytes content = 3; }

A tensor larger than 512 MiB is split into consecutive values with the same tag; each has the dims
of the whole tensor. The file may end in "crc_num" and ten bytes: the checksum of everything before.
"""

import math
import zlib
from collections.abc import Iterator

import numpy as np

from convert.layouts import widen_bfloat16
from convert.unpickle import CheckpointError

CHECKSUM_MARK = b"crc_num"
CHECKSUM_BYTES = 10
TYPES = {
    "Float64": "<f8", "Float32": "<f4", "Float16": "<f2", "BFloat16": "<u2", "Bool": "?",
    "Int64": "<i8", "Int32": "<i4", "Int16": "<i2", "Int8": "i1",
    "UInt64": "<u8", "UInt32": "<u4", "UInt16": "<u2", "UInt8": "u1",
}
DAMAGED = "the file is truncated or damaged. Get it again"


def is_mindspore(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a MindSpore checkpoint: value, tag, name."""
    try:
        if head[:1] != b"\n":
            return False
        _, start = _varint(head, 1)
        length, tag = _varint(head, start + 1)
    except CheckpointError:
        return False
    name = head[tag : tag + length]
    return head[start : start + 1] == b"\n" and 0 < length < 1000 and name.isascii() and (
        name.decode().isprintable()
    )


def read_mindspore(data: bytes) -> tuple[dict[str, np.ndarray], list[str]]:
    """Decodes the content of a MindSpore checkpoint.

    Args:
      data: the bytes of the whole file.

    Returns:
      {name: array}, with bfloat16 widened to float32, and the names of values that are not arrays.

    Raises:
      CheckpointError: the checksum is wrong or a message is malformed.
    """
    mark = len(data) - CHECKSUM_BYTES - len(CHECKSUM_MARK)
    if mark >= 0 and data[mark : -CHECKSUM_BYTES] == CHECKSUM_MARK:
        if zlib.crc32(data[:mark]) != int.from_bytes(data[-CHECKSUM_BYTES:], "big"):
            raise CheckpointError(f"the checksum of the MindSpore file is wrong: {DAMAGED}")
        data = data[:mark]
    pieces: dict[str, list[tuple]] = {}
    for number, value in _fields(memoryview(data)):
        if number == 1 and isinstance(value, memoryview):
            name, *tensor = _value(value)
            pieces.setdefault(name, []).append(tensor)
    tensors, others = {}, []
    for name, parts in pieces.items():
        dims, kind, _ = parts[0]
        if kind not in TYPES:
            others.append(name)
            continue
        tensors[name] = _array(name, dims, kind, b"".join(content for _, _, content in parts))
    return tensors, others


def _value(message: memoryview) -> tuple[str, tuple[int, ...], str, memoryview]:
    """(name, dims, type, content) of a Value message; type is "" if it holds no tensor."""
    fields = dict(_fields(message))
    dims, kind, content = [], "", memoryview(b"")
    for number, value in _fields(fields.get(2, memoryview(b""))):
        if number == 1:
            dims.append(value)
        elif number == 2:
            kind = _text(value)
        elif number == 3:
            content = value
    return _text(fields.get(1)), tuple(dims), kind, content


def _text(value) -> str:
    try:
        return bytes(value).decode()
    except (TypeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"a name in the MindSpore file is not text: {DAMAGED}") from error


def _array(name: str, dims: tuple[int, ...], kind: str, content: bytes) -> np.ndarray:
    dims = () if dims == (0,) and content else dims  # some versions write scalars like this
    dtype = np.dtype(TYPES[kind])
    if len(content) != math.prod(dims) * dtype.itemsize:
        raise CheckpointError(
            f"tensor {name} of the MindSpore file, shape {dims} and type {kind}, has "
            f"{len(content):,} bytes, expected {math.prod(dims) * dtype.itemsize:,}: {DAMAGED}"
        )
    array = np.frombuffer(content, dtype).reshape(dims)
    if kind == "BFloat16":
        return widen_bfloat16(array)
    return array.astype(dtype.newbyteorder("="))


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields (field number, integer or bytes) for each field of a message."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
        elif wire == 2:
            length, position = _varint(data, position)
            if length > len(data) - position:
                raise CheckpointError(
                    f"a field of the MindSpore file needs {length:,} bytes, only "
                    f"{len(data) - position:,} are left: {DAMAGED}"
                )
            value, position = data[position : position + length], position + length
        else:
            raise CheckpointError(f"a MindSpore file with a field of wire type {wire}: {DAMAGED}")
        yield number, value


def _varint(data, position: int) -> tuple[int, int]:
    """Decodes a variable-length integer, seven bits per byte; returns it and the next position."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise CheckpointError(f"the MindSpore file ends in the middle of a number: {DAMAGED}")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise CheckpointError(f"a number in the MindSpore file has more than 64 bits: {DAMAGED}")
