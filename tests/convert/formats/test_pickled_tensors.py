"""Tensors that pickle.dump wrote."""

import io
import os
import pickle

import numpy as np
import pytest

from convert import CheckpointError
from convert.formats.pickled_tensors import read_pickled
from tests.convert.test_unpickle import Hostile
from tests.convert.torch_pickles import Call, Storage, dumped, legacy_file, tensor


def storage(folder, kind: str, array: np.ndarray) -> Call:
    """A storage as pickle.dump writes it: the bytes of a file of its own."""
    inside = Storage(kind, "94", array)
    legacy_file(folder / "storage", inside, [inside])
    return Call("torch.storage _load_from_bytes", (folder / "storage").read_bytes())


def tensors(folder) -> bytes:
    """What pickle.dump([predictions, labels], file) writes for tensors of PyTorch."""
    numbers = np.arange(6, dtype=np.float32)
    return dumped([
        tensor(storage(folder, "FloatStorage", numbers), 0, (2, 3), (3, 1)),
        tensor(storage(folder, "LongStorage", np.array([2, 0])), 0, (2,), (1,)),
    ])


def read(content: bytes):
    return read_pickled(io.BytesIO(content))


def test_tensors_and_arrays(tmp_path):
    scores, labels = read(tensors(tmp_path))
    np.testing.assert_array_equal(scores, [[0, 1, 2], [3, 4, 5]])
    assert scores.dtype == np.float32 and labels.dtype == np.int64 and labels.tolist() == [2, 0]
    arrays = [np.eye(2), np.array([1, 0])]
    for expected, found in zip(arrays, read(pickle.dumps(arrays)), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_damage_is_told(tmp_path):
    whole = tensors(tmp_path)
    for content, message in (
        (whole[:-40], "truncated|decoded"),
        (dumped(Call("torch.storage _load_from_bytes", dumped(5))), "unknown format"),
        (dumped(Call("torch.storage _load_from_bytes", b"")), "truncated"),
    ):
        with pytest.raises(CheckpointError, match=message):
            read(content)


def test_no_code_is_run(tmp_path):
    target = tmp_path / "touched"
    hostile = pickle.dumps([Hostile((os.system, (f"touch {target}",)))], 2)
    read(hostile)
    with pytest.raises(CheckpointError):
        read(dumped(Call("torch.storage _load_from_bytes", hostile)))
    assert not target.exists()
