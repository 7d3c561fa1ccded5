"""The file of an exported network: what was written comes back, and nothing else is accepted."""

import io
import json
import struct
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from slowfast_jax.export.exported_file import (
    LARGEST_METADATA,
    METADATA,
    PROGRAM,
    ExportedFileError,
    read,
    write,
)
from slowfast_jax.export.metadata import Metadata
from tests.support.wrong_values import changed

ABOUT = Metadata(
    name="test/tiny", classes=["w", "x"], frames=4, height=32, width=32, batch=None, boxes=False,
    box_count=None, dtype="float32", platforms=["cpu"], sampling={
        "num_frames": 4, "sampling_rate": 2, "target_fps": 30.0, "test_crop": 32, "clips": 3,
        "crops": 1, "offset_sampling": False, "sampling": "kinetics", "train_jitter_min": 32,
    }, ensemble="sum", weights="random", versions={"jax": "0.10"},
)


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "net", b"a program", ABOUT)
    return tmp_path / "net"


def described(**changes):
    about = ABOUT.__dict__ | {"sha256": "0" * 64} | changes
    return json.dumps(about)


def archive(entries, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as out:
        for name, content in entries.items():
            out.writestr(name, content)
    return file.getvalue()


def test_what_is_written_comes_back(path):
    program, about = read(path)
    assert program == b"a program"
    assert replace(about, sha256="") == ABOUT and len(about.sha256) == 64


def test_damage_is_found(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"a program") + 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ExportedFileError, match="CRC|SHA-256"):
        read(path)


@pytest.mark.parametrize("kept", [0, 10, 200, -30, -1])
def test_a_truncated_file_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ExportedFileError, match="not a complete file"):
        read(path)


@pytest.mark.parametrize("entries, message", [
    ({METADATA: described()}, "program.jax"),
    ({PROGRAM: "a program"}, "metadata.json"),
    ({PROGRAM: "", METADATA: "{"}, "not JSON"),
    ({PROGRAM: "", METADATA: "[" * 100_000}, "not JSON"),
    ({PROGRAM: "", METADATA: "[]"}, "format None"),
    ({PROGRAM: "", METADATA: described(format="slowfast_jax program 9")}, "program 9"),
    ({PROGRAM: "", METADATA: described(extra=1)}, "unknown fields: extra"),
    ({PROGRAM: "a program", METADATA: described()}, "another SHA-256"),
    ({PROGRAM: "", METADATA: described(frames="4")},
     r"net: metadata.json: frames is '4', expected a whole number, 1..1024$"),
    ({PROGRAM: "", METADATA: described(sampling=3, batch=0)},
     "batch is 0, expected at least 1; sampling is 3, expected a section with num_frames, "),
    ({PROGRAM: "", METADATA: described(sampling=ABOUT.sampling | {"clips": -1})},
     "sampling.clips is -1, expected 1..1000$"),
    ({PROGRAM: "", METADATA: described(sampling={})}, "sampling has missing or unknown fields: "),
    ({PROGRAM: "", METADATA: described(width=31)}, "width is 31, expected 32, as in sampling.test"),
    ({PROGRAM: "", METADATA: "x" * (LARGEST_METADATA + 1)}, "claims"),
])
def test_other_archives_are_refused(tmp_path, entries, message):
    (tmp_path / "net").write_bytes(archive(entries))
    with pytest.raises(ExportedFileError, match=message):
        read(tmp_path / "net")


def test_no_wrong_value_is_accepted(tmp_path):
    """Every field, with every wrong value: it is refused, or a value that the field may have."""
    refused = set()
    for field, about in changed(json.loads(described())):
        (tmp_path / "net").write_bytes(archive({PROGRAM: "", METADATA: json.dumps(about)}))
        with pytest.raises(ExportedFileError) as error:
            read(tmp_path / "net")
        assert "\n" not in str(error.value)
        if "another SHA-256" not in str(error.value):
            refused.add(field)
    assert refused >= {*ABOUT.__dict__, *(f"sampling.{key}" for key in ABOUT.sampling)}


def test_a_bomb_takes_no_memory(tmp_path):
    content = archive({PROGRAM: bytes(2**26), METADATA: "{}"}, zipfile.ZIP_DEFLATED)
    (tmp_path / "net").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ExportedFileError, match="compressed"):
        read(tmp_path / "net")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_a_declared_size_that_is_not_there_takes_no_memory(path):
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)  # that of the program
    struct.pack_into("<II", content, entry + 20, 2**31, 2**31)
    path.write_bytes(content)
    with pytest.raises(ExportedFileError, match="claims"):
        read(path)


def test_damaged_files_are_read_or_refused(path):
    random, good = np.random.default_rng(0), path.read_bytes()
    for _ in range(2000):
        content = bytearray(good)
        for place in random.integers(0, len(content), random.choice([1, 2, 5])):
            content[place] = random.integers(256)
        cut = len(content) if random.random() < 0.7 else random.integers(len(content))
        path.write_bytes(content[:cut])
        try:
            program, about = read(path)
        except ExportedFileError:
            continue
        assert program == b"a program" and about.classes == ["w", "x"]


def test_other_files_and_folders(tmp_path):
    (tmp_path / "weights.pyth").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(ExportedFileError, match="not a complete file of .*slowfast_jax.export"):
        read(tmp_path / "weights.pyth")
    with pytest.raises(ExportedFileError, match="folder"):
        read(tmp_path)
    with pytest.raises(OSError):
        read(tmp_path / "missing")


def test_a_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write(tmp_path / "net", b"", replace(ABOUT, name=object()))
    assert not list(tmp_path.iterdir())
