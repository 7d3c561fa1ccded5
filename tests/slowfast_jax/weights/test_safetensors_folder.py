"""A folder with model.safetensors and config.json is a checkpoint for everything."""

import json

import jax
import numpy as np
import pytest

from convert import CheckpointError, pyslowfast_tensors, write_pyth
from convert.formats.safetensors_file import write_safetensors
from slowfast_jax.config import ConfigError, build_model, load_config
from slowfast_jax.convert_command import cli
from slowfast_jax.loop.build import read_start
from slowfast_jax.loop.preflight import weights_to_test
from slowfast_jax.recognizer import load
from slowfast_jax.training.checkpoint import load_checkpoint, save_checkpoint
from slowfast_jax.weights import describe, read_any, stored_config, variable_shapes
from slowfast_jax.weights.folders import recorded_test
from slowfast_jax.weights.safetensors_folder import save_safetensors_folder
from tests.convert.cases import assert_same, mini_shapes, random_variables
from tests.support.wrong_values import changed

CLIP = np.zeros((2, 4, 32, 32, 3), np.uint8)
NAMES = ["a", "b", "c", "d"]
KERNEL = "params/head/kernel"


def tiny_variables(value=0.5):
    shapes = variable_shapes(build_model(load_config("test/tiny")))
    return jax.tree.map(lambda leaf: np.full(leaf.shape, value, leaf.dtype), shapes)


@pytest.fixture
def folder(tiny, tmp_path):
    config = load_config("test/tiny")
    with config.unlocked():
        config.data.root, config.protocol.clips = "/home/me/LISTS", 7
    save_safetensors_folder(tmp_path / "shared", tiny_variables(), describe(config, NAMES))
    return tmp_path / "shared"


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_it_describes(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    found = json.loads((folder / "config.json").read_text())
    assert found["format"] == "slowfast_jax" and found["model"]["name"] == "test/tiny"
    assert found["class_names"] == NAMES and found["mean"] == [0.45] * 3
    assert found["protocol"]["clips"] == 7 and found["source"] == {"program": "slowfast_jax"}
    assert found["config"]["data"]["root"] == ""
    assert set(found["fingerprint"]) == {"weights_sha256", "class_list_sha256"}


def test_it_is_a_checkpoint(folder):
    config, names = stored_config(folder)
    assert names == NAMES and config.protocol.mean == (0.45,) * 3
    alone, named = load(folder), load("test/tiny", folder)
    assert alone.class_names == named.class_names == NAMES
    assert alone.config.protocol.clips == 7 and named.config.protocol.clips == 3
    np.testing.assert_array_equal(alone(CLIP), named(CLIP))
    assert_same(jax.device_get(alone.variables), tiny_variables())
    assert weights_to_test(load_config("test/tiny"), None, folder) == folder
    with pytest.raises(ConfigError, match="num_classes is 4 in the checkpoint and 5 in the config"):
        load("test/tiny", folder, num_classes=5)
    with pytest.raises(CheckpointError, match="no entries to choose from, so no entry 'ema'"):
        read_any(folder, "ema")


def test_its_file_alone(folder):
    alone = load("test/tiny", folder / "model.safetensors")
    assert alone.class_names == [f"class {i}" for i in range(4)]
    assert_same(jax.device_get(alone.variables), tiny_variables())


def test_training_starts_from_it(folder):
    config = load_config("kinetics/x3d_xs_finetune")
    config.train.init_from.path = str(folder)
    tiny = load_config("test/tiny")
    with config.unlocked():
        config.model, config.protocol = tiny.model, tiny.protocol
        config.model.num_classes = 9
    shapes = variable_shapes(build_model(config))
    found = read_start(config, shapes, jax.tree.map(lambda s: np.ones(s.shape), shapes))
    assert found["params"]["head"]["kernel"].shape == (3, 9)


def test_damaged_descriptions(folder, tmp_path):
    whole = (folder / "config.json").read_text()
    for changes, word in (
        ({"format": "transformers"}, 'expected an object with "format": "slowfast_jax"'),
        ({"model": 3}, "it has no model"),
        ({"class_names": "a"}, "it has no class_names"),
        ({"config": {"model": {}}}, "its config has no section protocol"),
    ):
        (folder / "config.json").write_text(whole)
        edit(folder, **changes)
        for read in (read_any, stored_config):
            with pytest.raises(CheckpointError, match=word):
                read(folder)
    for text in ("", "{", "[" * 100_000, "[]"):
        (folder / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match="config.json does not describe a network of"):
            read_any(folder)


@pytest.mark.parametrize("field, value, message", [
    ("class_names", ["a", 3], r"config.json: class_names is \['a', 3\], expected a list of names$"),
    ("mean", "0.45", "mean is '0.45', expected 3 numbers"),
    ("fingerprint", [], r"fingerprint is \[\], expected a section with weights_sha256"),
    ("model", {"name": "test/tiny", "num_classes": -4}, "model.num_classes is -4, expected 0..10"),
])
def test_wrong_values_are_named(folder, field, value, message):
    edit(folder, **{field: value})
    with pytest.raises(CheckpointError, match=message):
        read_any(folder)


def test_no_wrong_value_ends_in_a_traceback(folder):
    """Every field with every wrong value: a network, or one line."""
    whole, refused = json.loads((folder / "config.json").read_text()), set()
    for field, description in changed(whole):
        (folder / "config.json").write_text(json.dumps(description))
        try:
            (stored_config if field.startswith("config.") else read_any)(folder)
        except CheckpointError as error:
            assert "\n" not in str(error) and str(folder) in str(error), field
            refused.add(field)
    protocol = {f"config.protocol.{key}" for key in whole["config"]["protocol"]}
    assert refused >= protocol | {
        "format", "model", "class_names", "mean.0", "fingerprint.weights_sha256", "source",
        "config", "config.model.name", "config.model.num_classes", "config.task",
    }


def test_files_that_do_not_belong_together(folder):
    weights = folder / "model.safetensors"
    write_safetensors(weights, {KERNEL: np.ones((3, 4)), "params/head/bias": np.ones(4)}, {})
    with pytest.raises(CheckpointError, match="is not the file that config.json beside it describ"):
        read_any(folder)
    edit(folder, fingerprint={})
    assert set(read_any(folder).tensors) == {"head/kernel", "head/bias"}
    write_safetensors(weights, {"optimizer/head/kernel": np.ones(1)}, {})
    with pytest.raises(CheckpointError, match="like optimizer/head/kernel, expected paths like"):
        read_any(folder)
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read_any(folder)


@pytest.mark.slow
def test_the_command_writes_and_reads_it(tmp_path, capsys):
    variables = random_variables(mini_shapes())
    write_pyth(tmp_path / "w.pyth", pyslowfast_tensors(variables), cfg="A: 1")
    source, shared = str(tmp_path / "w.pyth"), tmp_path / "shared"
    mini = ["--config", "kinetics/mini"]
    assert cli([source, str(shared), *mini, "--to", "safetensors"]) == 0
    assert f"wrote {shared} (safetensors)" in capsys.readouterr().out
    found = json.loads((shared / "config.json").read_text())["source"]
    assert found == {"file": "w.pyth", "format": "torch zip", "program": "PySlowFast",
                     "cfg": "A: 1"}
    assert read_any(shared).metadata["converted_from"] == found

    assert cli([str(shared), str(tmp_path / "back.pyth")]) == 0
    assert (tmp_path / "back.pyth").read_bytes() == (tmp_path / "w.pyth").read_bytes()
    assert cli([str(shared), str(tmp_path / "ours")]) == 0
    again, metadata = load_checkpoint(tmp_path / "ours")
    assert_same(again, variables)
    assert metadata["converted_from"] == found

    before = (shared / "model.safetensors").read_bytes()
    assert cli([source, str(shared), *mini, "--to", "hub-folder"]) == 2
    assert cli([source, str(shared), *mini, "--to", "hub-folder", "--force"]) == 0
    assert (shared / "model.safetensors").read_bytes() == before
    card = (shared / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: slowfast_jax\npipeline_tag: video-classification\n")
    assert "Converted from `w.pyth`, in the form of PySlowFast. The license of the" in card
    assert "No test of these weights is recorded." in card and "license:" not in card[:120]


def test_results_of_a_run_are_kept(tiny, tmp_path, capsys):
    run, config = tmp_path / "RUN", load_config("test/tiny")
    for step in (1, 2):
        save_checkpoint(run / f"checkpoints/{step}", tiny_variables(), describe(config, NAMES))
    assert recorded_test(run) == {}
    fingerprint = {"weights": str(run / "checkpoints/2"), "list": "/home/me/LISTS/test.csv"}
    metrics = {"top1_acc": 71.25, "per_class_acc": [1.0], "top5_acc": 90.0, "count": 3}
    (run / "results.json").write_text(json.dumps({"fingerprint": fingerprint, "metrics": metrics}))
    assert recorded_test(run / "checkpoints/1") == {}
    tested = {
        "metrics": {"top1_acc": 71.25, "top5_acc": 90.0},
        "fingerprint": {"weights": "2", "list": "test.csv"},
    }
    assert recorded_test(run) == {"tested": tested}
    shared = tmp_path / "shared"
    assert cli([str(run), str(shared), "--to", "hub-folder"]) == 0
    assert json.loads((shared / "config.json").read_text())["tested"] == tested
    card = (shared / "README.md").read_text()
    assert "| top1_acc | 71.25 |" in card and '"list": "test.csv"' in card
    assert cli([str(shared), str(tmp_path / "again"), "--to", "hub-folder"]) == 0
    assert (tmp_path / "again/README.md").read_text() == card
    capsys.readouterr()
    assert cli([str(run), str(tmp_path / "x.safetensors"), "--to", "safetensors"]) == 2
    error = capsys.readouterr().err
    assert "--to safetensors writes a folder; choose a name without .safetensors" in error
