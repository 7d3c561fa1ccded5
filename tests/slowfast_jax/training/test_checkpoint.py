"""Checkpoints keep arrays and metadata, and are written completely or not at all."""

import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.training.checkpoint import is_checkpoint, load_checkpoint, save_checkpoint
from tests.convert.cases import assert_same, mini_shapes, random_variables

TINY = {"params": {"a": {"kernel": np.ones((2, 3), np.float32)}}}


def test_round_trip(tmp_path):
    variables = random_variables(mini_shapes())
    metadata = {"model": {"name": "x", "depth": [50, 50]}, "class_names": ["größer"], "none": None}
    save_checkpoint(tmp_path / "ours", variables, metadata)
    loaded, found = load_checkpoint(tmp_path / "ours")
    assert_same(loaded, variables)
    assert found == metadata


def test_jax_arrays_come_back_as_numpy_with_their_type(tmp_path):
    variables = {"params": {"x": jnp.ones(3, jnp.bfloat16), "y": jnp.arange(2)}}
    save_checkpoint(tmp_path / "ours", variables, {})
    loaded = load_checkpoint(tmp_path / "ours")[0]
    assert {name: (type(a), a.dtype) for name, a in loaded["params"].items()} == {
        name: (np.ndarray, a.dtype) for name, a in variables["params"].items()
    }


def test_relative_paths_and_networks_without_norms(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint("ours", TINY | {"batch_stats": {}}, {})
    assert is_checkpoint("ours")
    assert_same(load_checkpoint("ours")[0], TINY)


def test_checkpoints_are_not_replaced_without_overwrite(tmp_path):
    save_checkpoint(tmp_path / "ours", TINY, {"n": 1})
    with pytest.raises(FileExistsError, match="exists already"):
        save_checkpoint(tmp_path / "ours", TINY, {"n": 2})
    assert load_checkpoint(tmp_path / "ours")[1] == {"n": 1}
    save_checkpoint(tmp_path / "ours", TINY, {"n": 3}, overwrite=True)
    assert load_checkpoint(tmp_path / "ours")[1] == {"n": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


@pytest.mark.parametrize("variables, metadata, match", [
    (TINY, {"mean": np.zeros(3)}, "metadata must be JSON"),
    ({"parameters": {}}, {}, "expected params"),
    ({"params": {}}, {}, "expected params"),
    (TINY | {"opt_state": {}}, {}, "opt_state"),
])
def test_invalid_variables_and_metadata_are_refused(tmp_path, variables, metadata, match):
    with pytest.raises(ValueError, match=match):
        save_checkpoint(tmp_path / "ours", variables, metadata)
    assert not list(tmp_path.iterdir())


def test_folders_that_are_not_checkpoints(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        load_checkpoint(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is not a checkpoint of this project: a file"):
        load_checkpoint(tmp_path / "file")
    save_checkpoint(tmp_path / "run" / "100", TINY, {})
    with pytest.raises(ValueError, match="Did you mean .*run/100"):
        load_checkpoint(tmp_path / "run")
