"""SavedModels have the scores of the networks, where TensorFlow is installed."""

import importlib.util
import json

import numpy as np
import pytest

from slowfast_jax import export_command, load
from slowfast_jax.export_command import cli
from tests.slowfast_jax.export.runtimes import run_example

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), np.uint8)
BOXES = np.float32([[[2, 3, 20, 30], [0, 0, 32, 32]]] * 3)


def test_tensorflow_is_needed(tmp_path, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        export_command.importlib.util, "find_spec",
        lambda name: None if name == "tensorflow" else find(name),
    )
    path = str(tmp_path / "net")
    assert cli(["test/none", path, "--weights", "none.pyth", "--format", "savedmodel"]) == 2
    error = capsys.readouterr().err
    assert error == (
        "error: --format savedmodel needs tensorflow, which cannot be imported; install it: pip "
        "install tensorflow\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name, inputs, sizes", [
    ("test/tiny", [PIXELS], ["--platforms", "cpu,cuda"]),
    ("test/tiny_boxes", [PIXELS, BOXES], []),
    ("test/tiny_boxes", [PIXELS, BOXES], ["--batch", "3", "--boxes", "2"]),
])
def test_scores(tiny, tmp_path, name, inputs, sizes, capsys):
    tf = pytest.importorskip("tensorflow")
    path = tmp_path / "net"
    arguments = [name, str(path), "--weights", "random", "--format", "savedmodel", *sizes]
    assert cli(arguments) == 0
    run = tf.saved_model.load(str(path)).signatures["serving_default"]
    recognizer = load(name, weights="random")
    for count in (3,) if sizes and recognizer.takes_boxes else (1, 3):
        feeds = [array[:count] for array in inputs]
        named = dict(zip(("clip", "boxes"), map(tf.constant, feeds), strict=False))
        found = run(**named)["scores"].numpy()
        np.testing.assert_allclose(found, recognizer(*feeds), atol=1e-6)
    about = json.loads((path / "assets.extra/metadata.json").read_text())
    assert about["classes"] == recognizer.class_names and about["sampling"]["clips"] == 3
    assert about["format"] == "slowfast_jax SavedModel 1" and "tensorflow" in about["versions"]
    assert run_example("saved_model.load", path, allowed=["absl"]).count("class ") == 4
    assert cli([*arguments, "--force"]) == 2
    assert "a folder is not replaced" in capsys.readouterr().err
