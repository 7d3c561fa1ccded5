"""Weights are read from checkpoint folders of this project."""

import numpy as np
import pytest

from convert import CheckpointError
from slowfast_jax.training.checkpoint import save_checkpoint
from slowfast_jax.weights import read_checkpoint_folder


def test_a_checkpoint_folder(tmp_path):
    params = {"stem": {"conv": {"kernel": np.ones((1, 1, 1, 2, 3), np.float32)}}}
    stats = {"stem": {"conv_bn": {"mean": np.zeros(3, np.float32)}}}
    variables = {"params": params, "batch_stats": stats}
    save_checkpoint(tmp_path / "ours", variables, {"model": {"name": "x"}})
    checkpoint = read_checkpoint_folder(tmp_path / "ours")
    assert checkpoint.kind == "orbax"
    assert checkpoint.metadata == {"model": {"name": "x"}}
    assert set(checkpoint.tensors) == {"stem/conv/kernel", "stem/conv_bn/mean"}


def test_a_folder_without_a_checkpoint(tmp_path):
    (tmp_path / "folder").mkdir()
    match = f"{tmp_path / 'folder'} is not a checkpoint of this project: .*nothing"
    with pytest.raises(CheckpointError, match=match):
        read_checkpoint_folder(tmp_path / "folder")
