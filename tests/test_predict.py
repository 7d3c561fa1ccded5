import json
import os
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from data_pipelines import mini
from slowfast_jax.config import build_model, load_config
from slowfast_jax.predict import cli, show
from slowfast_jax.training.checkpoint import save_checkpoint
from slowfast_jax.weights import describe, initial_variables
from tests.shared import ROOT


@pytest.fixture
def folder(tmp_path):
    """Two videos and a checkpoint of test/tiny."""
    for i in range(2):
        pictures = mini.moving_shape(i, np.random.default_rng(0), frames=9, height=40, width=48)
        mini.write_video(tmp_path / f"{i}.mp4", pictures)
    return tmp_path


@pytest.fixture
def arguments(tiny, folder):
    config = load_config("test/tiny")
    variables = initial_variables(build_model(config), 0)
    save_checkpoint(folder / "weights", variables, describe(config, ["w", "x", "y", "z"]))
    return ["--config", "test/tiny", "--weights", str(folder / "weights")]


def test_labels_on_screen_and_in_a_file(arguments, folder, capsys):
    out = folder / "out.json"
    videos = [str(folder / "0.mp4"), str(folder / "1.mp4")]
    assert cli([*videos, *arguments, "--json", str(out), "--top-k", "2"]) == 0
    records = json.loads(out.read_text())
    assert [r["video"] for r in records] == videos
    for record in records:
        assert len(record["predictions"]) == 2
        for prediction in record["predictions"]:
            assert prediction["label"] == "wxyz"[prediction["index"]]
    screen = capsys.readouterr().out
    assert screen.count("score") == 2 and "0.mp4" in screen and "1.mp4" in screen
    assert f"{records[0]['predictions'][0]['score']:.4f}" in screen


def test_one_failed_video_does_not_stop_the_others(arguments, folder, capsys):
    out = folder / "out.json"
    videos = [str(folder / "gone.mp4"), str(folder / "1.mp4")]
    assert cli([*videos, *arguments, "--json", str(out)]) == 1
    records = json.loads(out.read_text())
    assert "no such file" in records[0]["error"] and len(records[1]["predictions"]) == 4
    assert "1 of 2 videos failed" in capsys.readouterr().err


def test_labels_of_your_own(arguments, folder, capsys):
    names = folder / "names.txt"
    names.write_text("w\nx\ny\nz\n")
    assert cli([str(folder / "0.mp4"), *arguments, "--labels", str(names)]) == 0
    names.write_text("w\nx\ny\n")
    assert cli([str(folder / "0.mp4"), *arguments, "--labels", str(names)]) == 1
    assert "num_classes is 4 in the checkpoint and 3" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "message"), [
    (["--config", "kinetics/x3d_xx", "--weights", "w"], "did you mean kinetics/x3d_xs"),
    (["--config", "test/tiny", "--weights", "w.pyth"], "weights w.pyth do not exist"),
    (["--config", "test/tiny", "--weights", "w", "--labels", "nope"], "class names 'nope'"),
])
def test_mistakes_are_one_line(tiny, capsys, arguments, message):
    assert cli(["a.mp4", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


@pytest.mark.parametrize(("arguments", "message"), [
    (["a.mp4"], "required: --weights"),
    (["--config", "x", "--weights", "w"], "VIDEO"),
    (["a.mp4", "--config", "x", "--weights", "w", "--top-k", "0"], "expected 1 or more"),
    (["a.mp4", "--config", "x", "--weights", "w", "--average", "sum"], "choose from"),
])
def test_wrong_arguments_are_status_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        cli(arguments)
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_names_with_brackets_are_printed_as_they_are(capsys):
    predictions = [{"label": "[bold]jump", "index": 0, "score": 0.5}]
    show([{"video": "a[1].mp4", "predictions": predictions}], Console())
    screen = capsys.readouterr().out
    assert "a[1].mp4" in screen and "[bold]jump" in screen


def test_the_command_answers_help_without_jax():
    code = (
        "import sys, slowfast_jax.predict as p\n"
        "try:\n    p.cli(['--help'])\nexcept SystemExit:\n    assert 'jax' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=os.environ
    )
    assert result.returncode == 0, result.stderr
    assert "kinetics/x3d_xs" in result.stdout
