"""The same run on one device and on four."""

import json

import numpy as np
import pytest

from data_pipelines.mini import datasets
from slowfast_jax.config import load_config
from slowfast_jax.models import zoo
from slowfast_jax.train import train
from slowfast_jax.training.checkpoint import latest_checkpoint, load_checkpoint
from slowfast_jax.training.writers import read_metrics
from tests.slowfast_jax.training.test_sharding import run_on_four
from tests.support.paths import ROOT
from tests.support.tiny_models import norm_entry, training_config, write_colors

# Each test starts a process with four forced CPU devices.
pytestmark = pytest.mark.slow

TOLERANCE = 1e-4
TRAIN_TINY = """
import json, sys
from pathlib import Path
from slowfast_jax.train import train
from tests.support.tiny_models import training_config
data, folder = map(Path, sys.argv[1:3])
for name, fields in json.loads(sys.argv[3]).items():
    train(training_config(data, **fields), folder / name)
"""
TRAIN_SLOWFAST = """
import sys
from tests.slowfast_jax.loop.test_train_devices import train_slowfast
train_slowfast(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""
SHARED = {"train__batch_size": 8, "train__epochs": 10, "train__eval_period": 5}
CASES = {  # two clips on each of four devices
    "one device per group": SHARED | {"norm__group_size": 2},
    "two devices per group": SHARED | {"norm__group_size": 4},
    "one group": SHARED | {"norm__group_size": 8},
}


def assert_same_curve(actual, expected, steps):
    losses = [
        np.array([row["loss"] for row in read_metrics(workdir) if row["split"] == "train"])
        for workdir in (actual, expected)
    ]
    assert len(losses[0]) == len(losses[1]) == steps
    assert losses[1][-1] < losses[1][0]
    np.testing.assert_allclose(*losses, rtol=0, atol=TOLERANCE)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_colors(folder / "data", train=24)
    run_on_four(TRAIN_TINY, folder / "data", folder / "four", json.dumps(CASES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.ZOO, "test/tiny_norm", norm_entry())
        for name, fields in CASES.items():
            train(training_config(folder / "data", **fields), folder / "one" / name)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_four_devices_have_the_same_losses_as_one(runs, name):
    assert_same_curve(runs / "four" / name, runs / "one" / name, 30)
    four, one = (load_checkpoint(latest_checkpoint(runs / n / name))[0] for n in ("four", "one"))
    for collection in ("params", "batch_stats"):
        for module, leaves in one[collection].items():
            for leaf, array in leaves.items():
                np.testing.assert_allclose(
                    four[collection][module][leaf], array, rtol=0, atol=1e-3
                )


def test_group_size_changes_the_losses(runs):
    losses = {
        name: [row["loss"] for row in read_metrics(runs / "one" / name) if "loss" in row]
        for name in CASES
    }
    a, b, c = (np.array(values) for values in losses.values())
    assert min(np.abs(a - b).max(), np.abs(b - c).max()) > 100 * TOLERANCE


def test_checkpoint_of_four_devices_resumes_on_one(runs, monkeypatch):
    monkeypatch.setitem(zoo.ZOO, "test/tiny_norm", norm_entry())
    name = "two devices per group"
    config = training_config(runs / "data", **CASES[name])
    config.train.epochs = 12
    assert train(config, runs / "four" / name)["step"] == 36


def train_slowfast(data, workdir, group_size):
    """Trains the small SlowFast of kinetics:mini on the eight videos in `data`, one step per epoch.

    At the recipe's own learning rate, 0.05, rounding errors grow: on a single device, parameters
    that start 1e-7 apart give losses 1e-4 apart after 7 steps and 0.1 after 12. At the rate used
    here they do not grow.
    """
    config = load_config(f"{ROOT}/configs/kinetics.py:mini")
    config.data.generate, config.data.root, config.data.path_prefix = "", str(data), str(data)
    config.data.train_list = config.data.val_list = "test.csv"
    config.train.epochs, config.train.log_period, config.train.eval_period = 24, 1, 24
    config.train.checkpoint_period = 24
    config.norm.group_size, config.schedule.base_lr = group_size, 0.01
    train(config, workdir)


@pytest.mark.parametrize("group_size", [4, 8])
def test_slowfast_on_four_devices(tmp_path, group_size):
    datasets.write_videos(tmp_path / "data", count=8, seed=0)
    run_on_four(TRAIN_SLOWFAST, tmp_path / "data", tmp_path / "four", group_size)
    train_slowfast(tmp_path / "data", tmp_path / "one", group_size)
    assert_same_curve(tmp_path / "four", tmp_path / "one", 24)
