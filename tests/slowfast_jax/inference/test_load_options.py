"""The options of `slowfast_jax.load`: views, classes, the network's keywords."""

import inspect
import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

import slowfast_jax
from data_pipelines.examples.eval_views import iterate_views
from data_pipelines.mini import datasets
from data_pipelines.video.encoding import write_video
from slowfast_jax.config import ConfigError, build_model, load_config
from slowfast_jax.recognizer import load
from slowfast_jax.training.checkpoint import save_checkpoint
from slowfast_jax.weights import describe, initial_variables
from tests.support.paths import ROOT


def test_the_package_offers_load_with_its_signature():
    assert slowfast_jax.load is load and {"load", "list_models"} <= set(dir(slowfast_jax))
    options = inspect.signature(slowfast_jax.load).parameters
    assert {"weights", "class_names", "clips", "crops", "test_crop", "dtype"} <= set(options)
    for name in options:
        assert re.search(rf"^      \**{name}: ", load.__doc__, re.M), f"{name} is not explained"
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        slowfast_jax.lod  # noqa: B018


def test_class_names_and_counts(tiny, tmp_path):
    assert load("test/tiny", class_names=["x", "y"]).model.num_classes == 2
    names = tmp_path / "names.txt"
    names.write_text("one\ntwo\nthree\n")
    assert load("test/tiny", class_names=str(names)).class_names == ["one", "two", "three"]
    assert load("test/tiny", num_classes=2).class_names == ["class 0", "class 1"]
    with pytest.raises(ConfigError, match="has 3 names, but the network has 2 classes"):
        load("test/tiny", class_names=str(names), num_classes=2)


def test_overrides_reach_the_network_and_the_protocol(tiny):
    recognizer = load("test/tiny", num_frames=6, average="logits")
    assert recognizer.model.num_frames == 6 and recognizer.config.protocol.num_frames == 6
    assert recognizer.model.average == "logits"
    assert load_config("test/tiny").protocol.num_frames == 4
    for key, value, old in (("num_classes", "ten", 4), ("num_frames", (4, 6), 4)):
        message = f"{key} is {value!r}, expected something like {old}"
        with pytest.raises(ConfigError, match=re.escape(message)):
            load("test/tiny", **{key: value})


@pytest.mark.parametrize(("options", "message"), [
    ({"averag": "logits"}, r"no option 'averag'; did you mean average\? Its options are class_n"),
    ({"clip": 1}, r"no option 'clip'; did you mean clips"),
    ({"xyz": 1}, r"no option 'xyz'\. Its options .*the keywords of Tiny: .*crop_size"),
    ({"folded": True}, "no option 'folded'"),
    ({"fold": "no"}, "fold is 'no', expected True or False"),
    ({"class_names": ["a", "b", "a"]}, "class_names has 'a' 2 times, expected different names"),
    ({"class_names": ["a", 1]}, "class_names has 1 as class 1, expected a text"),
    ({"clips": 0}, "clips is 0, expected 1..1000"),
    ({"crops": 4}, "crops is 4, expected 1, 2 or 3"),
    ({"clips": "two"}, "clips is 'two', expected something like 3"),
    ({"num_frames": 0}, "num_frames is 0, expected 1..1024"),
    ({"dtype": "float17"}, "dtype is 'float17', expected float32, bfloat16"),
    ({"dtype": "int32"}, "dtype is 'int32', expected float32, bfloat16"),
])
def test_options_that_load_does_not_have(tiny, options, message):
    with pytest.raises(ConfigError, match=message):
        load("test/tiny", **options)


def test_views_are_options(tiny, tmp_path):
    pictures = datasets.moving_shape(0, np.random.default_rng(0), frames=20, height=48, width=64)
    path = str(tmp_path / "a.mp4")
    write_video(path, pictures, options={"preset": "ultrafast"})
    recognizer = load("test/tiny", clips=np.int64(1), crops=1, test_crop=40, sampling_rate=2)
    protocol = recognizer.config.protocol
    assert (protocol.clips, protocol.crops, protocol.test_crop) == (1, 1, 40)
    (result,) = recognizer.score_videos([path])
    assert result.views.shape == (1, 4)
    (clip,) = iterate_views(
        path, num_frames=4, sampling_rate=2, target_fps=30, clips=1, crops=1, test_crop=40
    )
    np.testing.assert_allclose(result.views, recognizer(clip), atol=1e-6)
    assert load_config("test/tiny").protocol.clips == 3


def test_dtypes_are_names_or_types(tiny):
    for dtype in ("bfloat16", jax.numpy.bfloat16, np.float16):
        assert load("test/tiny", dtype=dtype).model.dtype == jax.numpy.dtype(dtype)


@pytest.mark.parametrize("stored", [[], ["class 0", "class 1", "class 2", "class 3"]])
def test_a_run_without_class_names_numbers_its_classes(tiny, tmp_path, stored):
    config = load_config("test/tiny")
    variables = initial_variables(build_model(config), 0)
    save_checkpoint(tmp_path / "run/checkpoints/1", variables, describe(config, stored))
    unnamed = ["class 0", "class 1", "class 2", "class 3"]
    assert load(tmp_path / "run").class_names == unnamed
    assert load(tmp_path / "run", class_names=list("abcd")).class_names == list("abcd")
    assert load("test/tiny", tmp_path / "run/checkpoints/1").class_names == unnamed


def test_a_missing_backend_is_one_sentence():
    code = (
        "import slowfast_jax\n"
        "try: slowfast_jax.load('kinetics/mini')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"JAX_PLATFORMS": "cuda"},
        capture_output=True, text=True,
    )
    assert result.stdout.startswith("DeviceError ") and "JAX_PLATFORMS" in result.stdout
    assert result.stdout.count("\n") == 1 and "Traceback" not in result.stderr
