"""Training that starts from weights: all of them, or all but those that `skip` names."""

import shutil

import jax
import numpy as np
import pytest

from convert import CheckpointError, CheckpointMismatch
from slowfast_jax.config import ConfigError, build_model
from slowfast_jax.recognizer import load
from slowfast_jax.train import train
from slowfast_jax.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from slowfast_jax.weights import describe, initial_variables
from tests.slowfast_jax.models.test_folded_norms import published_folded, trained
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


def assert_only_the_head_is_random(config, weights, folder):
    """Trains (with a rate near 0) and compares the parameters with the weights."""
    train(config, folder)
    params = load_checkpoint(latest_checkpoint(folder))[0]["params"]
    theirs = load_checkpoint(weights)[0]["params"]
    random = initial_variables(build_model(config), 0)["params"]
    for name in params:
        assert_same(params[name], (random if name == "head" else theirs)[name])


def test_skipped_head_is_initialized_at_random(data, weights, tmp_path, caplog):
    caplog.set_level("INFO", "absl")
    config = starting_at(data, weights, model__num_classes=6, train__init_from__skip=("head/.*",))
    assert_only_the_head_is_random(config, weights, tmp_path / "run")
    assert "head/kernel" in caplog.text


@pytest.mark.parametrize("skip", [(), ("b/.*",)])
def test_classifier_of_other_classes_is_initialized_at_random(
    data, weights, tmp_path, caplog, skip
):
    caplog.set_level("INFO", "absl")
    config = starting_at(data, weights, model__num_classes=6, train__init_from__skip=skip)
    assert_only_the_head_is_random(config, weights, tmp_path / "run")
    line = f"classifier: 4 classes in {weights}, 6 here: it is initialized randomly"
    assert caplog.text.count(line) == 1


def test_other_differences_are_refused(data, weights, tmp_path):
    """Only the number of classes may differ; evaluation and `load` refuse that, too."""
    variables, metadata = load_checkpoint(weights)
    variables["params"]["b"]["kernel"] = np.zeros((3, 1, 1, 8, 9), np.float32)
    save_checkpoint(tmp_path / "other", variables, metadata)
    with pytest.raises(CheckpointMismatch, match="~ b/kernel") as caught:
        train(starting_at(data, tmp_path / "other"), tmp_path / "run")
    assert set(caught.value.reshaped) == {"b/kernel"}
    config = starting_at(data, tmp_path / "other", model__num_classes=6)
    with pytest.raises(ConfigError, match="num_classes is 4 in the checkpoint and 6 in the config"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run/metrics.jsonl").exists()
    with pytest.raises(ConfigError, match="num_classes is 4 in the checkpoint and 6 in the config"):
        load(config, weights)


def test_training_starts_from_a_run(data, weights, tmp_path):
    shutil.copytree(weights, tmp_path / "RUN/checkpoints/7")
    variables, metadata = load_checkpoint(weights)
    earlier = jax.tree.map(lambda leaf: leaf * 2, variables)
    save_checkpoint(tmp_path / "RUN/checkpoints/3", earlier, metadata)
    train(starting_at(data, tmp_path / "RUN"), tmp_path / "run")
    params = load_checkpoint(latest_checkpoint(tmp_path / "run"))[0]["params"]
    assert_same(params, variables["params"])
    (tmp_path / "empty/checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="the run .*empty has no complete checkpoint yet"):
        train(starting_at(data, tmp_path / "empty"), tmp_path / "another")


def test_folded_norms_are_restored_before_the_first_step(data, weights, tmp_path, caplog):
    caplog.set_level("INFO", "absl")
    model = build_model(training_config(data))
    variables, metadata = load_checkpoint(weights)
    save_checkpoint(tmp_path / "folded", published_folded(model, trained(model)), metadata)
    train(starting_at(data, tmp_path / "folded"), tmp_path / "run")
    assert "the batch norms were folded into the kernels" in caplog.text
    started = load_checkpoint(latest_checkpoint(tmp_path / "run"))[0]
    clips = np.random.default_rng(5).integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    kept = load_checkpoint(tmp_path / "folded")[0]
    np.testing.assert_array_less(0.01, started["params"]["a_bn"]["scale"])
    assert not np.allclose(started["params"]["a_bn"]["scale"], 1)
    statistics = {"mean": started["batch_stats"]["a_bn"]["mean"]}
    assert np.abs(statistics["mean"]).max() > 0.01
    caplog.clear()
    config = starting_at(data, tmp_path / "folded", model__frozen_norm=True)
    train(config, tmp_path / "frozen")
    assert "the batch norms were folded" not in caplog.text
    frozen = load_checkpoint(latest_checkpoint(tmp_path / "frozen"))[0]
    assert_same(frozen["batch_stats"], kept["batch_stats"])
    assert model.apply(started, clips)[0].shape == (2, 4)


def test_resumed_run_does_not_read_initial_weights(data, weights, tmp_path):
    config = starting_at(data, weights)
    train(config, tmp_path / "run")
    shutil.rmtree(weights)
    config.train.epochs = 2
    assert train(config, tmp_path / "run")["step"] == 6
    with pytest.raises(FileNotFoundError, match="weights .*: no such file or folder"):
        train(config, tmp_path / "another")


def test_missing_weights_are_named_with_their_address(data, tmp_path):
    config = training_config(
        data, train__init_from__path="gone.pyth", train__init_from__url="https://host/gone.pyth"
    )
    with pytest.raises(FileNotFoundError, match="gone.pyth, .* download https://host/gone.pyth"):
        train(config, tmp_path)
