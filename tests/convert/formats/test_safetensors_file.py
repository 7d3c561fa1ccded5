"""safetensors files: read and written like the library does, and damaged ones refused."""

import json
import struct

import numpy as np
import pytest

from convert import read_checkpoint
from convert.formats.safetensors_file import LARGEST_HEADER, write_safetensors
from convert.readers import describe_source
from tests.convert.torch_pickles import TENSORS, assert_tensors, refused

ONE = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


def write(path, header, data=bytes(8), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def test_files_of_the_library(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file(TENSORS, tmp_path / "theirs.safetensors", {"format": "np"})
    found = read_checkpoint(tmp_path / "theirs.safetensors")
    assert (found.kind, found.metadata["header"]) == ("safetensors", {"format": "np"})
    assert_tensors(dict(sorted(found.tensors.items())), dict(sorted(TENSORS.items())))
    turned = {"turned": np.arange(6.0).reshape(2, 3).T}
    write_safetensors(tmp_path / "ours.safetensors", turned | TENSORS, {"a": "b"})
    loaded = numpy.load_file(tmp_path / "ours.safetensors")
    assert_tensors(dict(sorted(loaded.items())), dict(sorted((turned | TENSORS).items())))


def test_half_precision_is_widened(tmp_path):
    header = {
        "a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
        "b": {"dtype": "F16", "shape": [2], "data_offsets": [4, 8]},
    }
    halves = np.array([1.5, -2], np.float16)
    write(tmp_path / "w", header, struct.pack("<2H", 0x3F80, 0xC040) + halves.tobytes())
    found = read_checkpoint(tmp_path / "w")
    assert_tensors(found.tensors, {"a": np.array([1, -3], np.float32), "b": halves})
    assert describe_source(found)[1:] == [
        "1 tensors are float16; they are widened exactly",
        "1 tensors are bfloat16; they are widened exactly",
    ]


def test_it_has_no_entries(tmp_path):
    write(tmp_path / "w", ONE)
    assert list(read_checkpoint(tmp_path / "w").tensors) == ["w"]
    with pytest.raises(ValueError, match="a safetensors file has no entries, so no entry 'ema'"):
        read_checkpoint(tmp_path / "w", "ema")


def entry(**changes):
    return {"w": ONE["w"] | changes}


TWO = {"v": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}


@pytest.mark.parametrize("header, word", [
    (b"{", "is not JSON"),
    (b"{" + b"[" * 100_000, "is not JSON"),
    (b'{"w": \xff}', "is not JSON"),
    (b'{"w": ' + b"9" * 5000 + b"}", "is not JSON"),
    (b'{"w": {}, "w": {}}', "has the name 'w' twice"),
    (b'{"w": {"dtype": "F32", "dtype": "F32"}}', "has the name 'dtype' twice"),
    ({}, "holds no tensors"),
    ({"__metadata__": {"a": "b"}}, "holds no tensors"),
    (ONE | {"__metadata__": {"a": 1}}, "not a table of texts"),
    ({"w": [1]}, "has not the fields dtype, shape and data_offsets"),
    (entry(more=1), "has not the fields"),
    (entry(dtype="F8_E4M3"), "element type F8_E4M3, expected one of F64"),
    (entry(dtype=["F32"]), "element type"),
    (entry(shape=[-2]), "invalid shape"),
    (entry(shape=[True, 2]), "invalid shape"),
    (entry(shape=[2.0]), "invalid shape"),
    (entry(shape=[1] * 100), "invalid shape"),
    (entry(shape=[0, 2**63]), "invalid shape"),
    (entry(shape=[2**39, 2**39]), "needs 1,208,"),
    (entry(shape=[3]), "needs 12 bytes, its offsets 0 and 8 leave 8"),
    (entry(data_offsets=[8, 0]), "needs 8 bytes"),
    (entry(data_offsets=[0]), "invalid offsets"),
    (entry(data_offsets=[4, 12]), "expected 0: it does not follow another"),
    (entry(shape=[4], data_offsets=[0, 16]), "need 16 bytes, but 8 follow: the file is truncated"),
    (entry(shape=[1], data_offsets=[0, 4]), "need 4 bytes, but 8 follow"),
    (ONE | TWO, "begins at byte 4 of the data, expected 8: it overlaps another"),
])
def test_damaged_headers(tmp_path, header, word):
    write(tmp_path / "w", header)
    refused(tmp_path / "w", word)


def test_truncated_files(tmp_path):
    write(tmp_path / "w", ONE)
    data = (tmp_path / "w").read_bytes()
    for part in range(10, len(data)):
        (tmp_path / "w").write_bytes(data[:part])
        refused(tmp_path / "w", "truncated or damaged. Get it again")


def test_long_headers(tmp_path):
    """A length is checked before the header is read, and the header's size before it is parsed."""
    write(tmp_path / "w", ONE, length=2**55)
    refused(tmp_path / "w", "header should have 36,028,797,018,963,968 bytes, but the file has 77")
    write(tmp_path / "w", b"{" + b" " * LARGEST_HEADER + b"}")
    refused(tmp_path / "w", "its header has 4,194,306 bytes, expected at most 4,194,304")
