"""Exported networks give the scores of the networks, by the command and without this project."""

import json
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from slowfast_jax import load
from slowfast_jax.export.exported_file import ExportedFileError, read, write
from slowfast_jax.export.program import export_program
from slowfast_jax.export_command import cli
from slowfast_jax.metrics.topk import labeled
from slowfast_jax.run_exported import cli as run_cli
from slowfast_jax.run_exported import load_exported
from tests.slowfast_jax.export.runtimes import run_example
from tests.support.paths import ROOT

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), np.uint8)
BOXES = np.float32([[[2, 3, 20, 30], [0, 0, 32, 32]]] * 3)


@pytest.fixture
def file(tiny, tmp_path):
    assert cli(["test/tiny", str(tmp_path / "net"), "--weights", "random"]) == 0
    return tmp_path / "net"


def test_scores_are_those_of_the_network_for_any_batch(file):
    run, about = load_exported(file)
    recognizer = load("test/tiny", weights="random")
    for clips in (PIXELS[:1], PIXELS):
        np.testing.assert_allclose(run(clips), recognizer(clips), atol=1e-6)
    assert about.classes == recognizer.class_names and about.batch is None
    assert (about.frames, about.height, about.width) == (4, 32, 32)
    assert about.weights == "random" and about.platforms == ["cpu"]


@pytest.mark.parametrize("changes, message", [
    ({"classes": ["a", "b"]}, "returns any number x 4, and metadata.json says any number x 2$"),
    ({"boxes": True}, "takes .* x 3, and metadata.json says .* x 3 and any number x any number"),
    ({"batch": 2}, "takes any number x 4 x 32 x 32 x 3, and metadata.json says 2 x 4 x 32 x 32"),
])
def test_metadata_of_another_program(file, changes, message):
    program, about = read(file)
    write(file, program, replace(about, **changes))
    with pytest.raises(ExportedFileError, match=message):
        load_exported(file)


def test_boxes_and_fixed_sizes(tiny, tmp_path):
    path = tmp_path / "net"
    assert cli([
        "test/tiny_boxes", str(path), "--weights", "random", "--batch", "3", "--boxes", "2",
        "--platforms", "cpu,cuda,tpu", "--dtype", "bfloat16", "--size", "32x40",
    ]) == 0
    run, about = load_exported(path)
    recognizer = load("test/tiny_boxes", weights="random", dtype="bfloat16")
    wide = np.pad(PIXELS, ((0, 0), (0, 0), (0, 0), (0, 8), (0, 0)))
    np.testing.assert_allclose(run(wide, BOXES), recognizer(wide, BOXES), atol=1e-6)
    assert (about.batch, about.boxes, about.box_count) == (3, True, 2)
    assert about.clip_size == (4, 32, 40)
    assert about.dtype == "bfloat16" and about.platforms == ["cpu", "cuda", "tpu"]
    with pytest.raises(ValueError):
        run(PIXELS[:1], BOXES[:1])
    assert run_cli([str(path), "a.mp4"]) == 2


def test_videos_are_predicted_by_the_test_protocol(file, colors, capsys):
    videos = sorted(map(str, colors.glob("**/*.mp4")))[:2]
    capsys.readouterr()
    assert run_cli([str(file), *videos, "--json", "--top-k", "3"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    recognizer = load("test/tiny", weights="random")
    for record, result in zip(records, recognizer.score_videos(videos), strict=True):
        assert record["video"] == videos[result.index]
        expected = labeled(result.scores, recognizer.class_names, 3)
        for found, wanted in zip(record["predictions"], expected, strict=True):
            assert found["label"] == wanted["label"]
            assert found["score"] == pytest.approx(wanted["score"], abs=1e-6)


def test_videos_that_cannot_be_read_are_reported(file, colors, tmp_path, capsys):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    good = str(next(colors.glob("**/*.mp4")))
    status = run_cli([str(file), str(tmp_path / "broken.mp4"), "missing.mp4", good])
    printed = capsys.readouterr()
    assert status == 1 and good in printed.out
    assert "broken.mp4" in printed.err and "missing.mp4" in printed.err
    assert run_cli([str(file), "missing.mp4"]) == 2


@pytest.mark.parametrize("arguments, message", [
    (["test/tiny", "OUT"], "--weights is required"),
    (["test/tiny", "OUT", "--weights", "missing.pyth"], "missing.pyth"),
    (["test/nothing", "OUT", "--weights", "random"], "test/nothing"),
    (["test/tiny", "missing/OUT", "--weights", "random"], "does not exist"),
    (["test/tiny", ".", "--weights", "random"], "is a folder"),
    (["test/tiny", "taken", "--weights", "random"], "exists; choose another name"),
    (["test/tiny", "OUT", "--weights", "random", "--boxes", "2"], "test/tiny does not"),
    (["test/tiny", "OUT", "--weights", "random", "--size", "32x40"], "test/tiny does not"),
    (["test/tiny", "a.onnx", "--format", "stablehlo"], "choose one that does not end in .onnx"),
])
def test_wrong_arguments_are_one_sentence(
    tiny, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("")
    assert cli(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not (tmp_path / "OUT").exists()


@pytest.mark.parametrize("flags", [
    ["--batch", "0"], ["--batch", "x"], ["--platforms", "npu"], ["--size", "256"],
    ["--size", "0x256"],
])
def test_wrong_flags(flags, capsys):
    with pytest.raises(SystemExit) as exit:
        cli(["test/tiny", "OUT", *flags])
    assert exit.value.code == 2 and flags[1] in capsys.readouterr().err


def test_a_program_for_another_platform_is_refused(tiny, tmp_path, capsys):
    path = tmp_path / "net"
    assert cli(["test/tiny", str(path), "--weights", "random", "--platforms", "tpu"]) == 0
    assert run_cli([str(path), "a.mp4"]) == 2
    assert "export it with --platforms cpu" in capsys.readouterr().err


@pytest.mark.slow
def test_the_example_of_the_documentation_runs_without_this_project(file):
    assert run_example("jax.export", file).count("class ") == 4


@pytest.mark.slow
def test_running_a_file_imports_no_network(file, colors):
    video = str(next(colors.glob("**/*.mp4")))
    code = (
        "import sys\nfrom slowfast_jax.run_exported import cli\n"
        f"assert cli([{str(file)!r}, {video!r}]) == 0\n"
        "found = {'flax', 'orbax', 'optax', 'ml_collections', 'absl', 'slowfast_jax.models'}\n"
        "assert not found & sys.modules.keys(), found & sys.modules.keys()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name, smaller", [
    ("kinetics/x3d_xs", {}),
    ("kinetics/mini", {}),
    ("kinetics/i3d_nln_8x8_r50", {}),
    ("ava/slow_8x8_r50", {}),
    ("kinetics/mvitv2_s_16x4", {"depth": 3}),
    ("kinetics/rev_mvit_b_16x4_conv", {"depth": 4}),
])
@pytest.mark.parametrize("platforms", [("cpu",), ("cpu", "cuda", "tpu")])
def test_every_family(name, smaller, platforms):
    recognizer = load(name, weights="random", **smaller)
    frames, side = recognizer.config.protocol.num_frames, recognizer.model.crop_size
    program = export_program(
        recognizer.model, recognizer.variables, (frames, side, side), platforms=platforms
    )
    shape = (1, frames, side, side, 3)
    inputs = [np.random.default_rng(0).integers(0, 256, shape, np.uint8)]
    if recognizer.takes_boxes:
        inputs.append(np.float32([[[0, 0, side / 2, side - 9], [9, 9, side, side]]]))
    found = jax.jit(jax.export.deserialize(bytearray(program)).call)(*inputs)
    np.testing.assert_allclose(found, recognizer(*inputs), atol=1e-5)
