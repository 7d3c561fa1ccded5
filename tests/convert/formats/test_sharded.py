"""Weights in several files are read through their index, which names only files beside it."""

import json
import pickle

import numpy as np
import pytest

from convert import read_checkpoint
from convert.formats.safetensors_file import write_safetensors
from convert.formats.sharded import index_in
from tests.convert.torch_pickles import TENSORS, assert_tensors, refused

NAMES = list(TENSORS)
PARTS = {"1-of-2": NAMES[:3], "2-of-2": NAMES[3:]}


def write(folder, suffix, parts=PARTS, index=None):
    for part, names in parts.items():
        tensors = {name: TENSORS[name] for name in names}
        if suffix == "safetensors":
            write_safetensors(folder / f"{part}.{suffix}", tensors, {})
        else:
            (folder / f"{part}.{suffix}").write_bytes(pickle.dumps(tensors))
    named = {name: f"{part}.{suffix}" for part, names in PARTS.items() for name in names}
    path = folder / f"model.{suffix}.index.json"
    content = {"metadata": {"total_size": 1}, "weight_map": named} if index is None else index
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("suffix, kind", [("safetensors", "safetensors"), ("bin", "pickle")])
def test_all_files_are_read(tmp_path, suffix, kind):
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    checkpoint = read_checkpoint(write(tmp_path, suffix))
    assert checkpoint.kind == f"sharded {kind}"
    assert_tensors(dict(sorted(checkpoint.tensors.items())), dict(sorted(TENSORS.items())))
    assert index_in(tmp_path).name == f"model.{suffix}.index.json"
    with pytest.raises(ValueError, match="a sharded file has no entries, so no entry 'ema'"):
        read_checkpoint(tmp_path / f"model.{suffix}.index.json", "ema")


@pytest.mark.parametrize("name", [
    "../1-of-2.bin", "/etc/passwd", "sub/1-of-2.bin", "..", ".", "", ".hidden", "a\\b", "C:x",
    "a\0b", "model.bin.index.json", 3, None, ["1-of-2.bin"],
])
def test_files_elsewhere_are_refused(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    write(tmp_path, "bin")
    path = write(folder, "bin", index={"weight_map": {"x": name}})
    refused(path, "the index names the file", "expected one in the same folder")


@pytest.mark.parametrize("index, word", [
    ("", "the index is not JSON"),
    ("[" * 100_000, "the index is not JSON"),
    ("[]", "has no table"),
    ({"weight_map": {}}, "has no table"),
    ({"weight_map": {"x": "1-of-2.bin"}}, "has other tensors than the index says"),
    ({"weight_map": {"x": "3-of-2.bin"}}, "its file 3-of-2.bin is missing beside it"),
])
def test_damaged_indexes(tmp_path, index, word):
    refused(write(tmp_path, "bin", index=index), word)


def test_damaged_files(tmp_path):
    path = write(tmp_path, "bin")
    (tmp_path / "2-of-2.bin").write_bytes(b"<html>")
    refused(path, "2-of-2.bin", "a web page")
    np.save(tmp_path / "2-of-2.bin.npy", np.ones(2))
    (tmp_path / "2-of-2.bin").unlink()
    refused(path, "its file 2-of-2.bin is missing beside it")
