"""A network is uploaded to a stand-in of the hub, and loaded from there wherever weights are."""

import json

import jax
import numpy as np
import pytest

from slowfast_jax.config import ConfigError, build_model, load_config
from slowfast_jax.convert_command import cli
from slowfast_jax.loop.preflight import weights_to_test
from slowfast_jax.published.hub import HubError, address_of
from slowfast_jax.recognizer import load
from slowfast_jax.training.checkpoint import save_checkpoint
from slowfast_jax.weights import describe, initial_variables
from tests.convert.cases import assert_same
from tests.support.paths import REAL, needs_real

NAMES = ["a", "b", "c", "d"]
CLIP = np.zeros((1, 4, 16, 16, 3), np.uint8)


@pytest.fixture
def run(tiny_norm, tmp_path):
    config = load_config("test/tiny_norm")
    variables = initial_variables(build_model(config), 0)
    save_checkpoint(tmp_path / "RUN/checkpoints/3", variables, describe(config, NAMES))
    return tmp_path / "RUN"


def test_upload_and_use(hub_server, run, tmp_path, capsys):
    recognizer = load(run)
    assert recognizer.model.folded
    address = recognizer.push_to_hub("me/waving", private=True)
    assert address == f"hf://me/waving@{hub_server.commit('me/waving')}"
    created = hub_server.created[-1]
    assert created.get("private") or created["visibility"] == "private"
    files = hub_server.repositories["me/waving"][-1]
    assert set(files) == {"README.md", "config.json", "model.safetensors"}
    card = files["README.md"].decode()
    assert 'slowfast_jax.load("hf://me/waving")' in card and "Trained with slowfast_jax." in card
    assert "a, b, c, d" in card
    assert json.loads(files["config.json"])["class_names"] == NAMES

    loaded = load("hf://me/waving")
    assert loaded.class_names == NAMES
    np.testing.assert_array_equal(loaded(CLIP), recognizer(CLIP))
    assert address_of(loaded.config.test.checkpoint) == address
    named = load("test/tiny_norm", "hf://me/waving/model.safetensors")
    np.testing.assert_array_equal(named(CLIP), recognizer(CLIP))
    config = load_config("test/tiny_norm")
    config.test.checkpoint = "hf://me/waving"
    for found in (weights_to_test(config, None), weights_to_test(config, None, "hf://me/waving")):
        assert address_of(found) == address
    assert cli(["hf://me/waving", str(tmp_path / "out"), "--to", "safetensors"]) == 0
    source = json.loads((tmp_path / "out/config.json").read_text())["source"]
    assert source == {"file": "3", "format": "orbax", "program": "slowfast_jax"}
    written = (tmp_path / "out/model.safetensors").read_bytes()
    assert written == files["model.safetensors"]

    hub_server.repositories["me/waving"].append(files | {"README.md": b"my own words"})
    loaded.push_to_hub("hf://me/waving")
    assert hub_server.repositories["me/waving"][-1]["README.md"] == b"my own words"
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli(["hf://me/nothing", str(tmp_path / "x")])
    assert "hf://me/nothing: there is no such repository" in capsys.readouterr().err


def test_other_variables_than_those_of_the_file(hub_server, run):
    """Results of the file's test would be wrong for them."""
    fingerprint = {"weights": str(run / "checkpoints/3"), "list": "test.csv"}
    results = {"fingerprint": fingerprint, "metrics": {"top1_acc": 71.25}}
    (run / "results.json").write_text(json.dumps(results))
    recognizer = load(run, fold=False)
    for changed in (False, True):
        if changed:
            recognizer.variables = jax.tree.map(lambda leaf: leaf + 1, recognizer.variables)
        recognizer.push_to_hub(f"me/changed_{changed}")
        files = hub_server.repositories[f"me/changed_{changed}"][-1]
        description = json.loads(files["config.json"])
        assert ("tested" in description) == (b"71.25" in files["README.md"]) == (not changed)
        if changed:
            source = {"program": "slowfast_jax", "started_from": "3"}
            assert description["source"] == source
            assert b"Trained with slowfast_jax, starting from `3`." in files["README.md"]


def test_what_cannot_be_uploaded(hub_server, run):
    with pytest.raises(HubError, match="folded; load the network with fold=False"):
        load("test/tiny_norm", "random").push_to_hub("me/x")
    with pytest.raises(HubError, match="expected a repository, hf://ORGANIZATION/NAME, to upload"):
        load(run).push_to_hub("me/x@v1")
    assert "me/x" not in hub_server.repositories
    hub_server.repositories["me/old"] = [{"x3d.pyth": b"<html>"}]
    with pytest.raises(ConfigError, match="x3d.pyth is not a checkpoint of this project, but a f"):
        load("hf://me/old")


@needs_real
@pytest.mark.slow
def test_real_weights(hub_server, tmp_path):
    """A file of PySlowFast, converted, uploaded and downloaded, gives the same variables."""
    source = str(REAL / "weights/X3D_XS_k400_pyslowfast.pyth")
    folder = str(tmp_path / "x3d_xs")
    arguments = [source, folder, "--config", "kinetics/x3d_xs", "--to", "hub-folder"]
    assert cli(arguments) == 0
    load(folder).push_to_hub("me/x3d_xs")
    expected = jax.device_get(load("kinetics/x3d_xs", source).variables)
    for address in (folder, "hf://me/x3d_xs"):
        assert_same(jax.device_get(load(address).variables), expected)
