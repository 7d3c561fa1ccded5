"""A recognizer gives the same answers whatever runs its network."""

import importlib.util
import json
import logging
import os

import numpy as np
import pytest

import slowfast_jax
from slowfast_jax.backends import choice, graph_predictor
from slowfast_jax.backends.graph_predictor import GraphPredictor
from slowfast_jax.config import ConfigError
from slowfast_jax.inference.predict_step import probabilities
from tests.support.paths import REAL, needs_real
from tests.support.tiny_models import Tiny

CLIPS = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3), np.uint8)
BOXES = np.array([[[0, 0, 8, 8]], [[2, 2, 30, 20]]], np.float32)
OTHERS = ("openvino", "onnxruntime")


def need(*packages):
    for package in packages:  # not imported: OpenVINO is imported in a way of its own
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


@pytest.fixture
def installed(monkeypatch):
    """Sets the packages that can be imported."""

    def set_packages(*names):
        find = importlib.util.find_spec
        monkeypatch.setattr(
            choice.importlib.util, "find_spec",
            lambda name: (name in names or None)
            if name in ("onnx", "openvino", "onnxruntime") else find(name),
        )

    return set_packages


@pytest.mark.parametrize("backend, spec", [
    pytest.param("onnxruntime", "test/tiny_boxes"),
    pytest.param("onnxruntime", "test/tiny", marks=pytest.mark.slow),
    pytest.param("openvino", "test/tiny", marks=pytest.mark.slow),
    pytest.param("openvino", "test/tiny_boxes", marks=pytest.mark.slow),
])
def test_the_same_answers(tiny, backend, spec):
    need("onnx", backend)
    jax, other = (slowfast_jax.load(spec, backend=name) for name in ("jax", backend))
    inputs = [CLIPS, BOXES] if jax.takes_boxes else [CLIPS]
    np.testing.assert_allclose(other(*inputs), jax(*inputs), atol=1e-6)
    ours, theirs = (r.clip_features(*inputs, endpoint="color") for r in (jax, other))
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    assert other.runtime.startswith(f"{backend} ") and other.runtime.endswith(", float32")
    assert f"backend: {other.runtime}" in repr(other)
    assert not jax.runtime and "backend" not in repr(jax)


def test_a_graph_is_compiled_once_for_each_shape_and_network():
    need("onnx")
    compiled = []

    def compile_graph(graph, dtype):
        compiled.append(dtype)
        return lambda inputs: np.asarray([value.shape[0] for value in inputs.values()])

    model = Tiny(num_classes=3)
    weights = {"params": {"head": {"kernel": np.ones((3, 3)), "bias": np.zeros(3)}}}
    said = []
    predictor = GraphPredictor(model, probabilities, compile_graph)
    predictor.say = said.append
    for clips in (CLIPS, CLIPS[:1], CLIPS, CLIPS[:1]):
        assert predictor(weights, clips) == len(clips)
    assert compiled == ["float32"] * 2
    assert said[0] == "compiling the network for batches of 2 x 4 x 32 x 32 x 3"
    predictor(weights, CLIPS.astype(np.float32))
    predictor(dict(weights), CLIPS)
    assert len(compiled) == 4


def test_batches_are_computed_in_parts_of_a_clip_for_each_core(monkeypatch):
    need("onnx")
    monkeypatch.setattr(graph_predictor, "available_cores", lambda: 2)
    sizes = []

    def compile_graph(graph, dtype):
        def run(inputs):
            sizes.append(len(inputs["clip"]))
            return inputs["clip"].astype(np.float32).mean(axis=(1, 2, 3))
        return run

    weights = {"params": {"head": {"kernel": np.ones((3, 3)), "bias": np.zeros(3)}}}
    predictor = GraphPredictor(Tiny(num_classes=3), probabilities, compile_graph)
    clips = np.arange(5, dtype=np.uint8)[:, None, None, None, None].repeat(3, -1)
    assert predictor(weights, clips).tolist() == [[value] * 3 for value in range(5)]
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize("backend, packages, dtypes, message", [
    ("tensorrt", (), {}, "backend is 'tensorrt', expected one of jax, openvino, onnxruntime, auto"),
    ("openvino", (), {}, r"openvino and onnx cannot be imported; .*'\.\[openvino\]'"),
    ("onnxruntime", ("onnx",), {}, r"onnxruntime cannot be imported; .*'\.\[onnx\]'"),
    ("onnxruntime", ("onnx", "onnxruntime"), {"dtype": "bfloat16"}, "computes in float32, and"),
    ("openvino", ("onnx", "openvino"), {"dtype": "float16"}, "computes in float32 or bfloat16"),
])
def test_backends_that_are_refused(tiny, installed, backend, packages, dtypes, message):
    installed(*packages)
    with pytest.raises(ConfigError, match=message):
        slowfast_jax.load("test/tiny", backend=backend, **dtypes)


@pytest.mark.parametrize("packages, chosen, why", [
    ((), "jax", "cannot be imported"),
    (("onnx", "openvino"), "openvino", "the device is a CPU"),
])
def test_auto_says_what_it_chose(installed, caplog, packages, chosen, why):
    installed(*packages)
    logging.getLogger("absl").setLevel(logging.INFO)
    with caplog.at_level(logging.INFO):
        assert choice.choose_backend("auto", Tiny(num_classes=3)) == chosen
    assert f"backend auto: {chosen} runs the network" in caplog.text and why in caplog.text


@needs_real
@pytest.mark.slow
@pytest.mark.parametrize("backend", OTHERS)
def test_real_weights_and_videos(backend):
    need("onnx", backend)
    recognizer = slowfast_jax.load(
        "kinetics/x3d_xs", weights=REAL / "weights/X3D_XS_k400_pyslowfast.pyth", backend=backend
    )
    jax = slowfast_jax.load(
        "kinetics/x3d_xs", weights=REAL / "weights/X3D_XS_k400_pyslowfast.pyth"
    )
    expected = json.loads((REAL / "expected.json").read_text())
    names = ["mmaction2_demo_arm_wrestling.mp4", "snu_archery.mp4"]
    videos = [REAL / "videos" / name for name in names]
    ours, theirs = (
        {result.index: result for result in r.score_videos(videos)} for r in (recognizer, jax)
    )
    for i, name in enumerate(names):
        assert np.abs(ours[i].views - theirs[i].views).max() < 1e-5
        assert np.abs(ours[i].scores - theirs[i].scores).max() < 1e-5
        assert ours[i].scores.argmax() == expected[name]["top5"][0][1]


def test_the_cache_of_compiled_graphs_is_bounded(tmp_path):
    from slowfast_jax.backends.openvino_graph import remove_oldest

    for age, name in enumerate(("new.blob", "old.blob", "oldest.blob")):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    remove_oldest(tmp_path, 300)
    assert len(list(tmp_path.iterdir())) == 3
    remove_oldest(tmp_path, 150)
    assert [path.name for path in tmp_path.iterdir()] == ["new.blob"]
