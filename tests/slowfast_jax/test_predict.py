"""The predict command: labels on screen and in files, and errors."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from data_pipelines.mini import datasets
from data_pipelines.video.decoding import read_frames
from data_pipelines.video.encoding import write_video
from slowfast_jax.config import build_model, load_config
from slowfast_jax.predict import cli, show
from slowfast_jax.training.checkpoint import save_checkpoint
from slowfast_jax.weights import describe, initial_variables
from tests.support.paths import ROOT


@pytest.fixture
def folder(tmp_path):
    """Two videos and a checkpoint of test/tiny."""
    for i in range(2):
        pictures = datasets.moving_shape(i, np.random.default_rng(0), frames=9, height=40, width=48)
        write_video(tmp_path / f"{i}.mp4", pictures)
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


def test_custom_labels(arguments, folder, capsys):
    names = folder / "names.txt"
    names.write_text("w\nx\ny\nz\n")
    assert cli([str(folder / "0.mp4"), *arguments, "--labels", str(names)]) == 0
    names.write_text("w\nx\ny\n")
    assert cli([str(folder / "0.mp4"), *arguments, "--labels", str(names)]) == 1
    assert "num_classes is 4 in the checkpoint and 3" in capsys.readouterr().err


@pytest.fixture
def run(tiny, folder):
    """A run folder with checkpoints of test/tiny_boxes."""
    config = load_config("test/tiny_boxes")
    variables = initial_variables(build_model(config), 0)
    metadata = describe(config, ["lie", "run", "sit", "wave"])
    for step in (9, 10):
        save_checkpoint(folder / f"run/checkpoints/{step}", variables, metadata)
    return folder / "run"


def test_persons_on_screen_in_a_file_and_in_a_video(run, folder, capsys):
    table, out = folder / "people.csv", folder / "out.json"
    table.write_text(
        "video,time,x1,y1,x2,y2,score\n0,0.1,0.1,0.2,0.5,0.9,0.9\n0,0.1,0.6,0.2,0.9,0.9,0.8\n"
        "0,0.2,0.1,0.2,0.5,0.9,0.9\n1,7,0.1,0.2,0.5,0.9,0.9\n1,0.2,0,0,1,1,0.9\n"
    )
    videos = [str(folder / "1.mp4"), str(folder / "0.mp4")]
    command = [*videos, "--weights", str(run), "--boxes", str(table), "--json", str(out)]
    assert cli([*command, "--draw", str(folder / "drawn"), "--top-k", "3"]) == 1
    broken, whole = json.loads(out.read_text())
    assert [record["video"] for record in (broken, whole)] == videos
    assert "lies outside" in broken["keyframes"][1]["error"]
    assert len(broken["keyframes"][0]["persons"]) == 1
    assert [keyframe["time"] for keyframe in whole["keyframes"]] == [0.1, 0.2]
    persons = whole["keyframes"][0]["persons"]
    assert persons[1]["box"] == pytest.approx([0.6, 0.2, 0.9, 0.9])
    for person in persons:
        scores = [prediction["score"] for prediction in person["predictions"]]
        assert scores == sorted(scores, reverse=True) and len(scores) == 3
    screen, errors = capsys.readouterr()
    assert screen.count("0.60 0.20 0.90 0.90") == 1
    assert persons[1]["predictions"][2]["label"] in screen
    assert errors.count("lies outside") == 1 and "1 of 2 videos failed" in errors
    before, drawn = (read_frames(folder / name / "0.mp4", [3]) for name in ("", "drawn"))
    assert before.shape[2] == 48 and drawn.shape[2] == 480  # enlarged so that text is legible
    edge = drawn[0, 180, 48]
    assert edge[2] > edge[0] + 60  # the left side of a blue box


def test_a_video_without_boxes_in_the_table(run, folder, capsys):
    table = folder / "people.csv"
    table.write_text("video,time,x1,y1,x2,y2\n0,0.1,0.1,0.2,0.5,0.9\n")
    videos = [str(folder / "1.mp4"), str(folder / "0.mp4")]
    assert cli([*videos, "--weights", str(run), "--boxes", str(table)]) == 1
    assert "1 of 2 videos failed" in (error := capsys.readouterr().err)
    assert "people.csv has no boxes for this video" in error


def test_boxes_are_required_by_the_networks_that_take_them(run, arguments, folder, capsys):
    video = str(folder / "0.mp4")
    assert cli([video, "--weights", str(run)]) == 1
    assert "classifies persons: pass --boxes" in capsys.readouterr().err
    assert cli([video, *arguments, "--boxes", "people.csv"]) == 1
    assert "and takes no --boxes" in capsys.readouterr().err
    assert cli([video, "--weights", str(run), "--boxes", "people.csv"]) == 1
    assert "people.csv: no such table of boxes" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "message"), [
    (["--config", "kinetics/x3d_xx", "--weights", "w"], "did you mean kinetics/x3d_xs"),
    (["--config", "test/tiny", "--weights", "w.pyth"], "weights w.pyth do not exist"),
    (["--config", "test/tiny", "--weights", "w", "--labels", "nope"], "class names 'nope'"),
])
def test_errors_are_one_line(tiny, capsys, arguments, message):
    assert cli(["a.mp4", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


@pytest.mark.parametrize(("arguments", "message"), [
    (["a.mp4"], "--weights"),
    (["a.mp4", "--weights", "w.pyth"], "--config is required: w.pyth is not a folder"),
    (["a.mp4", "--config", "x", "--weights", "w", "--draw", "d"], "--draw requires --boxes"),
    (["--config", "x", "--weights", "w"], "VIDEO"),
    (["a.mp4", "--config", "x", "--weights", "w", "--top-k", "0"], "expected 1 or more"),
    (["a.mp4", "--config", "x", "--weights", "w", "--average", "sum"], "choose from"),
])
def test_invalid_arguments_exit_with_status_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        cli(arguments)
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_names_with_brackets_are_printed_literally(capsys):
    predictions = [{"label": "[bold]jump", "index": 0, "score": 0.5}]
    show([{"video": "a[1].mp4", "predictions": predictions}], Console())
    screen = capsys.readouterr().out
    assert "a[1].mp4" in screen and "[bold]jump" in screen


def test_help_does_not_import_jax():
    code = (
        "import sys, slowfast_jax.predict as p\n"
        "try:\n    p.cli(['--help'])\nexcept SystemExit:\n    assert 'jax' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=os.environ
    )
    assert result.returncode == 0, result.stderr
    assert "kinetics/x3d_xs" in result.stdout
