"""The predict command: labels on screen and in files, and errors."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from convert import CheckpointMismatch
from convert.mismatch import Mismatch
from data_pipelines.mini import datasets
from data_pipelines.video.decoding import probe, read_frames
from data_pipelines.video.encoding import write_video
from slowfast_jax.config import build_model, load_config
from slowfast_jax.inference.multiview import VideoScores
from slowfast_jax.inference.prediction_output import files_for, show
from slowfast_jax.predict import cli
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
    error = capsys.readouterr().err
    assert "1 of 2 videos failed" in error and error.count("no such file") == 1


def test_reasons_are_printed_once_and_waiting_is_explained(arguments, folder, capsys):
    (folder / "broken.mp4").write_bytes(b"broken")
    videos = [str(folder / name) for name in ("broken.mp4", "0.mp4")]
    for options in ([], ["--window", "1.5"]):
        assert cli([*videos, *arguments, *options]) == 1
        screen, error = capsys.readouterr()
        lines = error.splitlines()
        assert lines[0] == "loading the network" and lines[-1] == "1 of 2 videos failed"
        assert (screen + error).count("cannot be opened") == 1
        assert error.count("broken.mp4: cannot be opened") == 1
        assert error.count("compiling the network for batches of") == 1


def test_custom_labels(arguments, folder, monkeypatch, capsys):
    names = folder / "names.txt"
    names.write_text("w\nx\ny\nz\n")
    assert cli([str(folder / "0.mp4"), *arguments, "--labels", str(names)]) == 0
    names.write_text("w\nx\ny\n")
    assert cli([str(folder / "0.mp4"), *arguments, "--labels", str(names)]) == 2
    message = f"--labels {names} has 3 names, but the weights have 4 classes"
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {message}"

    def load(*_, class_names, **options):
        ours = 3 if class_names else 5
        head = {"head/kernel": ((8, ours), (8, 4), "head.weight")}
        raise CheckpointMismatch("set num_classes=4", Mismatch([], {}, head))

    monkeypatch.setattr("slowfast_jax.recognizer.load", load)
    command = [str(folder / "0.mp4"), "--config", "test/tiny", "--weights", str(folder / "0.mp4")]
    assert cli([*command, "--labels", str(names)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {message}"
    assert cli(command) == 2
    message = "--config test/tiny has 5 classes, but the weights have 4: pass their 4 names with --"
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {message}")


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
    assert errors.count("1.mp4 at 7 s: ") == (errors + screen).count("lies outside") == 1
    assert "1 of 2 videos failed" in errors
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
    assert cli([video, "--weights", str(run)]) == 2
    assert "classifies people: pass --boxes" in capsys.readouterr().err
    assert cli([video, "--weights", str(run), "--boxes", "people.csv"]) == 2
    assert "people.csv: no such table of boxes" in capsys.readouterr().err
    table = folder / "people.csv"
    table.write_text("video,time,x1,y1,x2,y2\n0,0.1,0.1,0.2,0.5,0.9\n")
    assert cli([video, *arguments, "--boxes", str(table)]) == 2
    assert "and takes no --boxes" in capsys.readouterr().err


def test_a_wrong_table_is_reported_before_the_network_is_loaded(folder, capsys):
    table = folder / "people.csv"
    table.write_text("video,time,x1,y1,x2,y2\n0,x,0.1,0.2,0.5,0.9\n0,0,0.1,0.2,0.1,0.9\n")
    command = [str(folder / "0.mp4"), "--weights", str(folder), "--boxes", str(table)]
    assert cli(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 2 problems:")
    assert "people.csv:2: time is 'x'" in error and "people.csv:3: box 0.1,0.2,0.1,0.9 has" in error
    table.write_text("video,time,x1,y1,x2,y2\n2,0,0.1,0.2,0.5,0.9\n")
    assert cli(command) == 2
    error = capsys.readouterr().err
    video = folder / "0.mp4"
    assert error.startswith(f"error: --boxes: {table}: has no boxes for {video}, but for 2; expect")
    assert error.count("\n") == 1


@pytest.mark.parametrize(("options", "message"), [
    (["--config", "kinetics/x3d_xx", "--weights", "0.mp4"], "did you mean kinetics/x3d_xs"),
    (["--config", "test/tiny", "--weights", "w.pyth"], "--weights w.pyth: no such file"),
    (["--config", "test/tiny", "--weights", "0.mp4", "--labels", "nope"], "class names 'nope'"),
    (["--weights", "."], "is not a checkpoint of this project"),
    (["--weights", "unfinished"], "the run unfinished has no complete checkpoint yet"),
    (["--weights", ".", "--json", "gone/out.json"], "--json gone/out.json: there is no folder"),
    (["--weights", ".", "--json", "."], "--json .: is a folder; expected a file"),
    (["--weights", ".", "--json", "/proc/out.json"], "--json /proc/out.json: /proc cannot be wr"),
    (["--weights", ".", "--boxes", "people.csv", "--draw", "0.mp4/x"], "0.mp4 is a file"),
    (["--weights", ".", "--boxes", "people.csv", "--draw", "."], "would replace 0.mp4; choose"),
])
def test_errors_are_one_line(tiny, folder, monkeypatch, capsys, options, message):
    monkeypatch.chdir(folder)
    name = "unfinished/checkpoints/3.orbax-checkpoint-tmp-1/params"  # a save that was interrupted
    (folder / name).mkdir(parents=True)
    (folder / "people.csv").write_text("video,time,x1,y1,x2,y2\n0,0.1,0.1,0.2,0.5,0.9\n")
    before = sorted(folder.rglob("*"))
    assert cli(["0.mp4", *options]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line != "loading the network"]
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]
    assert sorted(folder.rglob("*")) == before


def test_missing_files_are_named_in_one_list_before_anything_is_loaded(capsys, monkeypatch):
    monkeypatch.setattr("slowfast_jax.predict._load", None)
    arguments = ["--config", "test/tiny", "--weights", "w.pyth", "--json", "gone/a.json"]
    assert cli(["gone.mp4", "rtsp://host/cam", "*.nothing", *arguments]) == 2
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "error: 5 problems:" and len(lines) == 5
    for part in ("gone.mp4: no such file", "rtsp://host/cam: streams and cameras are not read",
                 "*.nothing: no file matches", "--weights w.pyth", "--json gone/a.json"):
        assert any(part in line for line in lines)


@pytest.mark.parametrize(("arguments", "message"), [
    (["a.mp4"], "--weights"),
    (["--config", "x", "--weights", "w"], "VIDEO"),
    (["a.mp4", "", "--weights", "w"], "argument VIDEO: an empty name; expected a file, a pattern"),
    (["a.mp4", "--config", "x", "--weights", "w", "--top-k", "0"], "expected a whole number"),
    (["a.mp4", "--config", "x", "--weights", "w", "--average", "sum"], "choose from"),
    (["a.mp4", "--config", "x", "--weights", "w", "--clips", "many"], "--clips: 'many', exp"),
    (["a.mp4", "--config", "x", "--weights", "w", "--crops", "4"], "choose from"),
    (["a.mp4", "--config", "x", "--weights", "w", "--window", "0"], "expected a number above 0"),
    (["a.mp4", "--config", "x", "--weights", "w", "--window", "abc"], "--window: 'abc'; expected"),
    (["a.mp4", "--config", "x", "--weights", "w", "--clip", "1"], "unrecognized arguments: --clip"),
])
def test_invalid_arguments_exit_with_status_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        cli(arguments)
    assert caught.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "messages"), [
    (["--weights", "w.pyth"], ["--weights w.pyth: no such file or folder"]),
    (["--weights", __file__, "--draw", "d"],
     ["test_predict.py is a file, and only folders store their config", "--draw requires --boxes"]),
    (["--config", "x", "--weights", "w", "--stride", "1"],
     ["--stride requires --window", "--weights w: no such file"]),
    (["--config", "x", "--weights", "w", "--window", "1", "--crops", "1", "--clips", "3"],
     ["--clips does not go with --window: a", "--crops does not go with --window: a", "w: no su"]),
    (["--config", "x", "--weights", "w", "--boxes", "b", "--clips", "1"],
     ["--clips does not go with --boxes", "--boxes b: no such table", "w: no such file"]),
])
def test_arguments_that_do_not_go_together_are_listed_with_the_missing_files(
    capsys, arguments, messages
):
    assert cli(["a.mp4", *arguments]) == 2
    *_, text = capsys.readouterr().err.partition("error: ")
    assert all(message in text for message in ["a.mp4: no such file", *messages])
    assert text.startswith(f"{len(messages) + 1} problems:")
    assert len(text.splitlines()) == len(messages) + 2


def test_names_with_brackets_are_printed_literally(capsys):
    predictions = [{"label": "[bold]jump", "index": 0, "score": 0.5}]
    show({"video": "a[1].mp4", "predictions": predictions}, Console())
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


def test_folders_patterns_and_folders_of_frames(arguments, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "frames").mkdir()
    for number, frame in enumerate(read_frames(folder / "0.mp4", range(9))):
        Image.fromarray(frame).save(folder / f"frames/img_{number:05d}.png")
    fps = probe(folder / "0.mp4").fps
    command = [*arguments, "--fps", str(fps), "--json", "out.json"]
    assert cli(["*.mp4", "frames", *command]) == 0
    records = {r["video"]: r["predictions"] for r in json.loads((folder / "out.json").read_text())}
    assert sorted(records) == ["0.mp4", "1.mp4", "frames"]
    for of_video, of_frames in zip(records["0.mp4"], records["frames"], strict=True):
        assert of_frames == pytest.approx(of_video, abs=1e-5)
    error = capsys.readouterr().err
    assert f"frames: 9 pictures are the frames of 1 video at {fps:g} frames per second" in error


def test_views_can_be_chosen(arguments, folder, monkeypatch):
    seen = []

    def score_videos(self, videos, timing=None):
        seen.append((self.config.protocol.clips, self.config.protocol.crops))
        return iter([VideoScores(0, np.ones(4) / 4, None, "")])

    monkeypatch.setattr("slowfast_jax.recognizer.Recognizer.score_videos", score_videos)
    assert cli([str(folder / "0.mp4"), *arguments, "--clips", "1", "--crops", "1"]) == 0
    assert cli([str(folder / "0.mp4"), *arguments]) == 0
    assert seen == [(1, 1), (3, 3)]


def test_windows_over_time(arguments, folder, capsys):
    out, video = folder / "out.jsonl", str(folder / "long.mp4")
    random = np.random.default_rng(0)
    pictures = list(datasets.moving_shape(0, random, frames=60, height=40, width=48))
    write_video(video, pictures, fps=15, options={"preset": "ultrafast"})  # 4 s; a clip takes 0.53
    write_video(folder / "slow.mp4", pictures[:3], fps=1, options={"preset": "ultrafast"})
    (folder / "broken.mp4").write_bytes(b"broken")
    videos = [str(folder / "slow.mp4"), video, str(folder / "broken.mp4")]
    command = [*videos, *arguments, "--window", "1.5", "--stride", "1"]
    assert cli([*command, "--json", str(out), "--top-k", "2"]) == 1
    slow, whole, broken = map(json.loads, out.read_text().splitlines())
    assert slow["error"] == (
        "has 1 frames per second, too few for a clip every 0.5 seconds, which needs at least 2"
    )
    assert broken["error"].startswith("cannot be opened") and broken["windows"] == []
    times = [(window["start"], window["end"]) for window in whole["windows"]]
    assert times == [(0, 1.5), (1, 2.5), (2, 3.5), (3, 4)]
    assert all(len(window["predictions"]) == 2 for window in whole["windows"])
    screen = capsys.readouterr().out
    best = whole["windows"][3]["predictions"][0]
    assert f"    3.00 -     4.00 s  {best['score']:.4f}  {best['label']}" in screen


def test_a_window_shorter_than_a_clip_is_told(arguments, folder, capsys):
    assert cli([str(folder / "0.mp4"), *arguments, "--window", "0.1"]) == 0
    told = "--window 0.1: windows last 0.533 seconds, as long as a clip\n"
    assert capsys.readouterr().err.count(told) == 1


def test_drawn_videos_of_one_name_get_folders(folder):
    drawn = files_for("out", {"a/x.mp4": "", "b/x.avi": "", "y.mp4": ""})
    assert [str(path) for path in drawn.values()] == [
        "out/a/x.mp4.mp4", "out/b/x.avi.mp4", "out/y.mp4.mp4"
    ]
    assert list(map(str, files_for("out", {"a/x.mp4": ""}).values())) == ["out/x.mp4"]


INTERRUPTED = """
import json, sys
from pathlib import Path
from slowfast_jax.models import zoo
from tests.support.tiny_models import entry
zoo.ZOO["test/tiny"] = entry()
from slowfast_jax.inference.multiview import VideoScores
from slowfast_jax.recognizer import Recognizer
import numpy as np, signal, time
def interrupt():
    signal.raise_signal(signal.SIGINT)
    time.sleep(60)
def score_videos(self, videos, timing=None):
    yield VideoScores(0, np.ones(4) / 4, None, "")
    interrupt()
def score_windows(self, video, window, stride=None):
    yield 0.0, 1.0, np.ones(4) / 4
    interrupt()
Recognizer.score_videos, Recognizer.score_windows = score_videos, score_windows
from slowfast_jax.predict import cli
sys.exit(cli(sys.argv[1:]))
"""


@pytest.mark.parametrize("name", ["out.json", "out.jsonl", ""])
def test_ctrl_c_keeps_what_was_predicted(arguments, folder, name):
    command = [sys.executable, "-c", INTERRUPTED, "0.mp4", "1.mp4", *arguments]
    result = subprocess.run(
        [*command, *(["--json", name] if name else [])], cwd=folder, capture_output=True,
        text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60,
    )
    assert result.returncode == 130, result.stderr
    line = f"1 of 2 videos are in {name}" if name else "1 of 2 videos were predicted"
    assert f"interrupted: {line}\n" in result.stderr and "Traceback" not in result.stderr
    assert "0.mp4" in result.stdout
    if name:
        text = (folder / name).read_text()
        records = json.loads(text) if name == "out.json" else [json.loads(text)]
        assert [record["video"] for record in records] == ["0.mp4"]


def test_ctrl_c_keeps_the_windows_so_far(arguments, folder):
    command = [sys.executable, "-c", INTERRUPTED, "0.mp4", *arguments, "--window", "1"]
    result = subprocess.run(
        [*command, "--json", "out.jsonl"], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60,
    )
    assert result.returncode == 130, result.stderr
    assert "0 of 1 videos are in out.jsonl, and the beginning of 0.mp4" in result.stderr
    record = json.loads((folder / "out.jsonl").read_text())
    assert record["error"] == "interrupted" and record["windows"][0]["end"] == 1.0
