"""File formats are detected from the content; damaged files are refused with a reason."""

import collections
import pickle
import sys
import zipfile

import numpy as np
import pytest

from convert import read_checkpoint, write_pyth
from convert.formats.torch_files import LEGACY_MAGIC
from tests.convert.cases import weights_rule
from tests.convert.torch_pickles import (
    TENSORS,
    Call,
    Global,
    Storage,
    assert_tensors,
    dumped,
    legacy_file,
    refused,
    tensor,
    views,
    zip_file,
)
from tests.support.paths import REAL, needs_parity, needs_real


@pytest.fixture
def torch_zip(tmp_path):
    path = tmp_path / "w.pyth"
    write_pyth(path, TENSORS, cfg="A: {B: 1}\n")
    return path


def test_zip_with_metadata(torch_zip):
    checkpoint = read_checkpoint(torch_zip)
    assert checkpoint.kind == "torch zip"
    assert_tensors(checkpoint.tensors)
    assert checkpoint.metadata == {
        "cfg": "A: {B: 1}\n", "container": "model_state", "other": []
    }


@pytest.mark.parametrize("order", ["little", "big", ""])
def test_views_in_a_zip(tmp_path, order):
    content, storages, expected = views()
    zip_file(tmp_path / "w.pth", content, storages, order)
    checkpoint = read_checkpoint(str(tmp_path / "w.pth"))
    assert_tensors(checkpoint.tensors, expected)
    assert checkpoint.metadata["container"] == ""


@pytest.mark.parametrize("order", ["<", ">"])
def test_views_in_a_legacy_file(tmp_path, order):
    content, storages, expected = views()
    legacy_file(tmp_path / "w.pth", {"state_dict": content, "epoch": 3}, storages, order)
    checkpoint = read_checkpoint(tmp_path / "w.pth")
    assert checkpoint.kind == "torch legacy"
    assert_tensors(checkpoint.tensors, expected)
    assert checkpoint.metadata["epoch"] == 3


def test_legacy_storage_that_is_a_view_of_another(tmp_path):
    whole = Storage("LongStorage", "9", np.arange(6), view=("9/2", 2, 3))
    content = {"x": tensor(whole, 1, (2,), (1,))}
    legacy_file(tmp_path / "w.pth", content, [whole])
    assert_tensors(read_checkpoint(tmp_path / "w.pth").tensors, {"x": np.array([3, 4])})


def test_entries_beside_the_weights_are_not_read(tmp_path):
    storage = Storage("FloatStorage", "0", np.ones(2, np.float32))
    momentum = Storage("FloatStorage", "not in the file", np.ones(2, np.float32))
    weights = collections.OrderedDict(w=tensor(storage, 0, (2,), (1,)))
    weights["_extra_state"] = None
    weights._metadata = collections.OrderedDict(version=1)
    state = collections.defaultdict(dict, {0: {"momentum_buffer": tensor(momentum, 0, (2,), (1,))}})
    content = {
        "epoch": 5,
        "model_state": weights,
        "optimizer_state": {"state": state, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "scaler_state": {"scale": 65536.0, "growth": 2},
        "cfg": "TRAIN:\n  ENABLE: true\n",
        "numbers": {np.float64(1.5), 3},
        "precision": Global("torch float16"),
        "size": Call("torch Size", (1, 2)),
        "args": Call("argparse Namespace"),
    }
    zip_file(tmp_path / "w.pth", content, [storage])
    checkpoint = read_checkpoint(tmp_path / "w.pth")
    assert list(checkpoint.tensors) == ["w"]
    assert checkpoint.metadata["epoch"] == 5
    assert "optimizer_state" in checkpoint.metadata["other"]
    assert "_extra_state" in checkpoint.metadata["other"]


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_pickled_arrays(tmp_path, protocol):
    arrays = {"x_w": np.arange(6.0).reshape(2, 3), "x_b": np.float32(2)}
    expected = {name: np.asarray(array) for name, array in arrays.items()}
    for content, kind in (({"blobs": arrays}, "caffe2"), (arrays, "pickle")):
        (tmp_path / "w.pkl").write_bytes(pickle.dumps(content, protocol))
        checkpoint = read_checkpoint(tmp_path / "w.pkl")
        assert checkpoint.kind == kind
        assert_tensors(checkpoint.tensors, expected)


@needs_parity
def test_python_2_pickle(tmp_path):
    manifest = {"name": "x", "params": [
        {"name": "s1.pathway0_stem.conv.weight", "shape": [2, 3, 1, 3, 3], "kind": "conv_weight",
         "c2_name": "conv1_w"}]}
    rule = weights_rule()
    rule.write_c2(manifest, tmp_path / "w.pkl", extras=True)
    found = read_checkpoint(tmp_path / "w.pkl").tensors
    assert_tensors(found, rule.c2_blobs(manifest, extras=True))


def test_missing_and_empty_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.pyth does not exist; check the path"):
        read_checkpoint(tmp_path / "nowhere.pyth")
    (tmp_path / "empty").write_bytes(b"")
    refused(tmp_path / "empty", "0 bytes", "Get it again")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "a folder", "expected a PyTorch checkpoint")


@pytest.mark.parametrize("content, word", [
    (b"<!DOCTYPE html><html>", "web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    (b"\xef\xbb\xbf\n<html>", "web page"),
    (b'{"message": "Not Found"}', "JSON: the download link"),
    (b"\x1f\x8b\x08abc", "gzip"),
    (b"Rar!\x1a\x07\x01", "a RAR archive: unpack it first"),
    (b"epoch,loss\n1,2\n", "begins with b'epoch,loss"),
])
def test_files_that_are_not_checkpoints(tmp_path, content, word):
    (tmp_path / "w").write_bytes(content)
    refused(tmp_path / "w", word, "expected a PyTorch checkpoint")


def test_zip_files_that_are_not_checkpoints(tmp_path):
    np.savez(tmp_path / "w.npz", x=np.zeros(2))
    refused(tmp_path / "w.npz", "is a NumPy archive (.npz); write it as", "dict(numpy.load(FILE))")
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.writestr("weights/w.pth", b"")
    refused(tmp_path / "w.zip", "without NAME/data.pkl", "weights/w.pth", "unpack it; expected a")
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("m/data.pkl", b"")
        archive.writestr("m/constants.pkl", b"")
    refused(tmp_path / "script.pt", "TorchScript", "state_dict()")


def test_a_zip_that_would_fill_the_memory(tmp_path):
    storage = Storage("FloatStorage", "0", np.zeros(100_000, np.float32))
    content = {"x": tensor(storage, 0, (2,), (1,))}
    zip_file(tmp_path / "w", content, [storage])
    with zipfile.ZipFile(tmp_path / "w") as stored, zipfile.ZipFile(
        tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED
    ) as archive:
        for name in stored.namelist():
            archive.writestr(name, stored.read(name))
    assert list(read_checkpoint(tmp_path / "w").tensors) == ["x"]
    refused(tmp_path / "bomb", "that unpacks to 400,", "weights do not compress that well")


def test_tensors_that_would_fill_the_memory(tmp_path):
    """Strides of 0 repeat the numbers of a storage at no cost in the file."""
    storage = Storage("FloatStorage", "0", np.ones(2, np.float32))
    content = {f"x{i}": tensor(storage, 0, (1000, 1000), (0, 0)) for i in range(30)}
    zip_file(tmp_path / "w", content, [storage])
    refused(tmp_path / "w", "its tensors need 120,000,000 bytes, but the file has only")
    zip_file(tmp_path / "w", {"x": tensor(storage, 0, (3, 2), (0, 1))}, [storage])
    assert read_checkpoint(tmp_path / "w").tensors["x"].shape == (3, 2)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.99])
def test_truncated_zip(torch_zip, part):
    data = torch_zip.read_bytes()
    torch_zip.write_bytes(data[: int(len(data) * part)])
    refused(torch_zip, "truncated", "Get it again")


def test_zip_with_corrupted_bytes(torch_zip):
    data = bytearray(torch_zip.read_bytes())
    place = data.index(TENSORS["a.weight"].tobytes())
    data[place + 5] ^= 255
    torch_zip.write_bytes(data)
    refused(torch_zip, "is damaged", "data/0")


def test_zip_with_missing_or_short_storages(tmp_path):
    storage = Storage("FloatStorage", "0", np.arange(12, dtype=np.float32))
    content = {"x": tensor(storage, 0, (2,), (1,))}
    zip_file(tmp_path / "w", content, [])
    refused(tmp_path / "w", "some_name/data/0 is missing")
    storage.array = storage.array[:6]
    zip_file(tmp_path / "w", content, [storage])
    refused(tmp_path / "w", "storage 0 has 24 bytes, 12 elements need 48")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_truncated_legacy_file(tmp_path, part):
    content, storages, _ = views()
    legacy_file(tmp_path / "w", content, storages)
    data = (tmp_path / "w").read_bytes()
    (tmp_path / "w").write_bytes(data[: int(len(data) * part)])
    refused(tmp_path / "w", "truncated")


def test_legacy_file_of_another_version(tmp_path):
    (tmp_path / "w").write_bytes(dumped(LEGACY_MAGIC) + dumped(999))
    refused(tmp_path / "w", "format 999", "1001")


@pytest.mark.parametrize("content, words", [
    ([1, 2], ("holds a list instead of a dict of tensors", "expected a PyTorch")),
    (
        {"epoch": 3, "net": {"w": 1}},
        ("no named tensors", "epoch, net", "an entry such as 'model_state'"),
    ),
    ({}, ("no named tensors", "no entries")),
    ({"x": np.array([None])}, ("tensor x holds object",)),
])
def test_pickles_without_weights(tmp_path, content, words):
    (tmp_path / "w").write_bytes(pickle.dumps(content, 2))
    refused(tmp_path / "w", *words)


def test_reading_needs_no_torch(torch_zip, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert_tensors(read_checkpoint(torch_zip).tensors)


@pytest.mark.parametrize("zipped", [True, False])
def test_files_that_torch_writes(tmp_path, zipped):
    """Both of its formats, with half precision, shared storages, and states of an optimizer."""
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Conv3d(2, 3, 1), torch.nn.BatchNorm3d(3))
    state = {f"0.{n}": value for n, value in network.state_dict().items()}
    state |= {"1.half": torch.arange(3.0).half(), "1.brain": torch.arange(5.0).bfloat16()}
    state |= {"1.part": state["0.0.weight"][1:].transpose(0, 1)}
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(2, 2, 1, 2, 2)).square().sum().backward()
    optimizer.step()
    content = {"state_dict": state, "optimizer": optimizer.state_dict(), "epoch": 2}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(tmp_path / "w.pth")
    assert checkpoint.kind == ("torch zip" if zipped else "torch legacy")
    assert checkpoint.metadata["bfloat16"] == ["1.brain"]
    assert checkpoint.metadata["optimizers"] == ["optimizer"]
    expected = {
        name: (value.float() if name == "1.brain" else value).contiguous().numpy()
        for name, value in state.items()
    }
    assert_tensors(checkpoint.tensors, expected)


@needs_real
@pytest.mark.parametrize("name", ["X3D_XS_k400_pyslowfast", "X3D_XS_k400_pytorchvideo"])
def test_real_files_read_like_torch_load(name):
    torch = pytest.importorskip("torch")
    path = REAL / "weights" / f"{name}.pyth"
    theirs = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    assert_tensors(read_checkpoint(path).tensors, {n: t.numpy() for n, t in theirs.items()})
