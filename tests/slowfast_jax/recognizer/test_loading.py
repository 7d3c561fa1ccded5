"""`load`: weights, class names and options of checkpoints, and what it refuses."""


import jax
import numpy as np
import pytest

from convert import CheckpointMismatch, pyslowfast_tensors, write_pyth
from slowfast_jax.config import ConfigError, build_model, load_config
from slowfast_jax.recognizer import load
from slowfast_jax.training.checkpoint import load_checkpoint, save_checkpoint
from slowfast_jax.weights import describe, initial_variables, read_weights, variable_shapes

CLIP = np.zeros((2, 4, 32, 32, 3), np.uint8)


def save(directory, config, names=(), seed=0):
    variables = initial_variables(build_model(config), seed)
    save_checkpoint(directory, variables, describe(config, names))
    return str(directory)


def test_own_checkpoint_is_loaded_with_its_class_names(tiny, tmp_path):
    config = load_config("test/tiny")
    path = save(tmp_path / "saved", config, ["a", "b", "c", "d"], seed=3)
    recognizer = load("test/tiny", path)
    assert recognizer.class_names == ["a", "b", "c", "d"]
    np.testing.assert_allclose(recognizer(CLIP), load("test/tiny", seed=3)(CLIP), atol=1e-6)
    with pytest.raises(ConfigError, match="class 3 is 'd' there and 'e' in"):
        load("test/tiny", path, class_names=["a", "b", "c", "e"])


def test_checkpoint_of_another_model_is_refused(tiny, tmp_path):
    path = save(tmp_path / "saved", load_config("test/tiny"))
    with pytest.raises(ConfigError, match="name is 'test/tiny' in the checkpoint and 'kinetics/mi"):
        load("kinetics/mini", path)
    with pytest.raises(ConfigError, match="num_classes is 4 in the checkpoint and 5 in the config"):
        load("test/tiny", path, num_classes=5)
    with pytest.raises(ConfigError, match="std is .* in the checkpoint"):
        load("test/tiny", path, std=(0.1, 0.1, 0.1))
    recognizer = load("test/tiny", path, num_classes=5, skip=("head/.*",))
    assert recognizer(CLIP).shape == (2, 5)


def test_another_network_can_start_from_own_checkpoint(tiny, tmp_path, caplog):
    path = save(tmp_path / "saved", load_config("test/tiny"))
    with pytest.raises(ConfigError, match="detection is False in the checkpoint and True"):
        load("test/tiny_boxes", path)
    assert load("test/tiny_boxes", path, skip=("head/.*",)).takes_boxes
    with pytest.raises(ConfigError, match="std is .* in the checkpoint"):
        load("test/tiny_boxes", path, skip=("head/.*",), std=(0.1, 0.1, 0.1))


def test_run_folder_stores_its_config(tiny, tmp_path):
    config = load_config("test/tiny")
    with config.unlocked():
        config.model.activation = "sigmoid"
        config.protocol.mean = (0.3, 0.4, 0.5)
    for step in (3, 20):
        save(tmp_path / f"run/checkpoints/{step}", config, ["a", "b", "c", "d"], seed=step)
    of_run = load(tmp_path / "run")
    assert of_run.class_names == ["a", "b", "c", "d"] and of_run.model.activation == "sigmoid"
    assert of_run.config.protocol.mean == (0.3, 0.4, 0.5) == of_run.model.mean
    assert of_run.config.test.checkpoint == str(tmp_path / "run/checkpoints/20")
    of_checkpoint = load(str(tmp_path / "run/checkpoints/3"))
    assert not np.allclose(of_run(CLIP), of_checkpoint(CLIP))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="is not a checkpoint of this project"):
        load(tmp_path / "empty")


def test_own_checkpoint_is_read_once(tiny, tmp_path, monkeypatch):
    path, reads = save(tmp_path / "saved", load_config("test/tiny")), []

    def counted(directory):
        reads.append(directory)
        return load_checkpoint(directory)

    monkeypatch.setattr("slowfast_jax.weights.folders.load_checkpoint", counted)
    load("test/tiny", path)
    assert len(reads) == 1


def test_prefixes_are_stripped_from_weight_names(tmp_path):
    config = load_config("kinetics/mini")
    shapes = variable_shapes(build_model(config))
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    tensors = {f"backbone.{n}": a for n, a in pyslowfast_tensors(zeros).items()}
    tensors["counter"] = np.zeros(1, np.float32)  # a prefix of all names is removed by itself
    write_pyth(tmp_path / "w.pyth", tensors)
    config.test.checkpoint = str(tmp_path / "w.pyth")
    with pytest.raises(CheckpointMismatch, match="strip="):
        read_weights(config, shapes, config.test.checkpoint)
    variables, names = read_weights(
        config, shapes, config.test.checkpoint, strip=("backbone.",), skip=("counter",)
    )
    assert names == []
    assert jax.tree.structure(variables) == jax.tree.structure(zeros)


def test_invalid_patterns_are_an_error():
    with pytest.raises(ValueError, match=r"skip='head/\(' is not a regular expression \(missing "):
        load("test/tiny", skip="head/(")


def test_a_crop_that_is_too_small_is_refused(tiny):
    message = "config.protocol.test_crop is 10, expected at least 129: a network for training crops"
    with pytest.raises(ConfigError, match=message):
        load("kinetics/x3d_xs", "random", test_crop=10)


def test_missing_weights_are_an_error(tiny):
    with pytest.raises(ConfigError, match="^there is no folder RUNX, and 'RUNX' is neither a "):
        load("RUNX")
    with pytest.raises(FileNotFoundError, match="weights nowhere.pyth: no such file or folder"):
        load("test/tiny", "nowhere.pyth")


def test_batch_norm_is_folded_by_default(monkeypatch):
    def zeros(model, seed):
        return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), variable_shapes(model))

    monkeypatch.setattr("slowfast_jax.inference.load_options.initial_variables", zeros)
    folded, plain = load("kinetics/mini"), load("kinetics/mini", fold=False)
    assert folded.model.folded and "batch_stats" not in folded.variables
    assert not plain.model.folded and "batch_stats" in plain.variables


@pytest.mark.parametrize("spec", [None, 3, ["kinetics/x3d_xs"]])
def test_what_names_no_network(spec):
    with pytest.raises(ConfigError, match=f"the network is a {type(spec).__name__}, expected"):
        load(spec)


def test_a_file_of_weights_in_place_of_a_network(tmp_path):
    (tmp_path / "x3d_xs.pyth").write_bytes(b"weights")
    with pytest.raises(ConfigError, match="is a file, but no recipe; if it has weights, name"):
        load(tmp_path / "x3d_xs.pyth")
