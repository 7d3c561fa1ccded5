"""ONNX files have the scores of the networks, and say what they take and return."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from slowfast_jax import export_command, load
from slowfast_jax.export_command import cli
from slowfast_jax.inference.multiview import score_videos
from slowfast_jax.run_exported import cli as run_cli
from tests.slowfast_jax.export.runtimes import run_example
from tests.support.paths import REAL, needs_real

onnxruntime = pytest.importorskip("onnxruntime")
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), np.uint8)
BOXES = np.float32([[[2, 3, 20, 30], [0, 0, 32, 32]]] * 3)


def opened(path: Path):
    session = onnxruntime.InferenceSession(str(path))
    stored = session.get_modelmeta().custom_metadata_map
    return session, {name: json.loads(value) for name, value in stored.items()}


def test_scores_and_metadata(tiny, tmp_path, capsys):
    path = tmp_path / "net.onnx"
    assert cli(["test/tiny", str(path), "--weights", "random"]) == 0
    assert "net.onnx (" in capsys.readouterr().out
    session, about = opened(path)
    recognizer = load("test/tiny", weights="random")
    for clips in (PIXELS[:1], PIXELS):
        (scores,) = session.run(["scores"], {"clip": clips})
        np.testing.assert_allclose(scores, recognizer(clips), atol=1e-6)
    assert about["classes"] == recognizer.class_names and about["name"] == "test/tiny"
    assert (about["frames"], about["height"], about["width"], about["batch"]) == (4, 32, 32, None)
    assert about["sampling"]["clips"] == 3 and about["ensemble"] == "sum"
    assert (about["weights"], about["dtype"]) == ("random", "float32")
    assert about["format"] == "slowfast_jax ONNX 1" and {"slowfast_jax", "jax"} == {
        *about["versions"]
    }
    assert run_cli([str(path), "a.mp4"]) == 2
    assert "is an ONNX graph, which other programs run" in capsys.readouterr().err


def test_boxes_have_fixed_sizes(tiny, tmp_path, capsys):
    path = tmp_path / "net"
    arguments = ["test/tiny_boxes", str(path), "--weights", "random", "--format", "onnx"]
    for sizes in ([], ["--batch", "3"], ["--boxes", "2"]):
        assert cli([*arguments, *sizes]) == 2
        assert "pass both, such as --batch 1 --boxes 8" in capsys.readouterr().err
    assert cli([*arguments, "--batch", "3", "--boxes", "2", "--size", "32x32"]) == 0
    session, about = opened(path)
    (scores,) = session.run(["scores"], {"clip": PIXELS, "boxes": BOXES})
    recognizer = load("test/tiny_boxes", weights="random")
    np.testing.assert_allclose(scores, recognizer(PIXELS, BOXES), atol=1e-6)
    assert (about["boxes"], about["batch"], about["box_count"]) == (True, 3, 2)


@pytest.mark.parametrize("flags, missing, message", [
    (["--platforms", "cuda"], False, "--platforms does not apply to ONNX graphs"),
    (["--dtype", "bfloat16"], False, "--dtype does not apply to ONNX graphs"),
    ([], True, "--format onnx needs onnx, which cannot be imported; install the extra onnx: "),
])
def test_what_is_refused_before_weights_are_read(
    tmp_path, monkeypatch, capsys, flags, missing, message
):
    if missing:
        find = importlib.util.find_spec
        monkeypatch.setattr(
            export_command.importlib.util, "find_spec",
            lambda name: None if name == "onnx" else find(name),
        )
    path = tmp_path / "net.onnx"
    assert cli(["kinetics/x3d_xs", str(path), "--weights", "none.pyth", *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_example_of_the_documentation_runs_without_this_project(tiny, tmp_path):
    path = tmp_path / "net.onnx"
    assert cli(["test/tiny", str(path), "--weights", "random"]) == 0
    assert run_example("get_modelmeta", path).count("class ") == 4
    sizes = ["--batch", "1", "--boxes", "2"]
    assert cli(["test/tiny_boxes", str(path), "--weights", "random", "--force", *sizes]) == 0
    assert run_example("get_modelmeta", path).count("class ") == 4


@needs_real
@pytest.mark.slow
def test_real_weights(tmp_path):
    path, videos = tmp_path / "x3d_xs.onnx", ["snu_archery.mp4", "mmaction2_demo_arm_wrestling.mp4"]
    weights = str(REAL / "weights/X3D_XS_k400_pyslowfast.pyth")
    assert cli(["kinetics/x3d_xs", str(path), "--weights", weights]) == 0
    session, about = opened(path)
    results = score_videos(
        lambda clips: session.run(["scores"], {"clip": clips})[0],
        [str(REAL / "videos" / name) for name in videos], about["sampling"],
        method=about["ensemble"], batch_size=10,
    )
    expected = np.load(REAL / "view_probs.npz")
    reference = load("kinetics/x3d_xs", weights)
    recorded = {result.index: result.views for result in reference.score_videos(
        [str(REAL / "videos" / name) for name in videos]
    )}
    for result in results:
        original = expected[videos[result.index]].mean((0, 1))
        assert np.abs(result.views - recorded[result.index]).max() < 1e-5
        assert np.abs(result.scores - original).max() < 1e-4
