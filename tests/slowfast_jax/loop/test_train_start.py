"""Training that starts from weights: all of them, or all but those that `skip` names."""

import shutil

import jax
import numpy as np
import pytest

from convert.load import CheckpointMismatch
from slowfast_jax.config import ConfigError, build_model
from slowfast_jax.train import train
from slowfast_jax.training.checkpoint import load_checkpoint, save_checkpoint
from slowfast_jax.training.checkpoint_manager import latest_checkpoint
from slowfast_jax.weights import describe, initial_variables
from tests.support.tiny_models import training_config

pytestmark = pytest.mark.usefixtures("tiny_norm")


@pytest.fixture(scope="module")
def data(colors):
    return colors


@pytest.fixture
def weights(data, tmp_path):
    """A checkpoint with 4 classes, whose random weights differ from those a run starts with."""
    config = training_config(data)
    variables = initial_variables(build_model(config), 99)
    save_checkpoint(tmp_path / "weights", variables, describe(config, list("abcd")))
    return tmp_path / "weights"


def starting_at(data, weights, **fields):
    """A config whose single epoch changes no parameter by more than 1e-29."""
    return training_config(
        data, train__init_from__path=str(weights), train__epochs=1, schedule__base_lr=1e-30,
        norm__precise=False, **fields,
    )


def assert_same(ours, theirs):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-29), ours, theirs)


def test_training_starts_from_the_weights(data, weights, tmp_path):
    train(starting_at(data, weights), tmp_path / "run")
    ours, theirs = (load_checkpoint(f)[0] for f in (latest_checkpoint(tmp_path / "run"), weights))
    assert_same(ours["params"], theirs["params"])


def test_skipped_head_is_initialized_at_random(data, weights, tmp_path, caplog):
    caplog.set_level("INFO", "absl")
    config = starting_at(data, weights, model__num_classes=6, train__init_from__skip=("head/.*",))
    train(config, tmp_path / "run")
    params = load_checkpoint(latest_checkpoint(tmp_path / "run"))[0]["params"]
    theirs = load_checkpoint(weights)[0]["params"]
    random = initial_variables(build_model(config), 0)["params"]
    for name in params:
        assert_same(params[name], (random if name == "head" else theirs)[name])
    assert "head/kernel" in caplog.text


def test_other_number_of_classes_is_refused_without_skip(data, weights, tmp_path):
    config = starting_at(data, weights, model__num_classes=6)
    with pytest.raises(ConfigError, match="num_classes is 4 in the checkpoint and 6 in the config"):
        train(config, tmp_path / "run")
    config.train.init_from.skip = ("b/.*",)
    with pytest.raises(CheckpointMismatch) as caught:
        train(config, tmp_path / "run")
    assert caught.value.reshaped == {"head/kernel": ((8, 6), (8, 4)), "head/bias": ((6,), (4,))}
    assert "~ head/kernel" in str(caught.value)
    assert not (tmp_path / "run/metrics.jsonl").exists()


def test_resumed_run_does_not_read_initial_weights(data, weights, tmp_path):
    config = starting_at(data, weights)
    train(config, tmp_path / "run")
    shutil.rmtree(weights)
    config.train.epochs = 2
    assert train(config, tmp_path / "run")["step"] == 6
    with pytest.raises(FileNotFoundError, match="weights .* do not exist"):
        train(config, tmp_path / "another")


def test_missing_weights_are_named_with_their_address(data, tmp_path):
    config = training_config(
        data, train__init_from__path="gone.pyth", train__init_from__url="https://host/gone.pyth"
    )
    with pytest.raises(FileNotFoundError, match="gone.pyth, .* download https://host/gone.pyth"):
        train(config, tmp_path)
