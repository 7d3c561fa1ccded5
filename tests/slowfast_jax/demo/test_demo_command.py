"""The command: films, records and tables of many videos, and errors before the work begins."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from rich.console import Console

from slowfast_jax.config import build_model, load_config
from slowfast_jax.demo import __main__ as command
from slowfast_jax.demo.__main__ import cli
from slowfast_jax.demo.arguments import parse
from slowfast_jax.demo.choice import choose
from slowfast_jax.demo.film.window import WindowError
from slowfast_jax.demo.output import CsvFile, Sink
from slowfast_jax.inference.timeline import WindowScores
from slowfast_jax.training.checkpoint import save_checkpoint
from slowfast_jax.weights import describe, initial_variables
from tests.support.films import gray_pictures, sound_of, times_of, write_film
from tests.support.live_source import live_source
from tests.support.paths import REAL, ROOT, needs_real

NAMES = ["lie", "run", "sit", "wave"]
BOXES = (
    "video,time,x1,y1,x2,y2,action,person\na,0.5,0.1,0.1,0.5,0.9,run,x\n"
    "a,0.5,0.6,0.1,0.9,0.9,sit,y\na,1,0.2,0.1,0.6,0.9,,x\n"
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "videos").mkdir()
    for name in "ab":
        write_film(tmp_path / f"videos/{name}.mp4", gray_pictures(40, 200, 200), sound="aac")
    return tmp_path


def network(folder, name):
    variables = initial_variables(build_model(load_config(name)), 0)
    save_checkpoint(folder / "weights", variables, describe(load_config(name), NAMES))
    return ["--weights", str(folder / "weights"), "--config", name]


@pytest.fixture
def whole(tiny, folder):
    return network(folder, "test/tiny")


@pytest.fixture
def boxes(tiny, folder):
    (folder / "boxes.csv").write_text(BOXES)
    return network(folder, "test/tiny_boxes")


def test_a_folder_with_a_text_named_as_a_video(whole, folder, capsys):
    (folder / "videos/text.mp4").write_text("no video")
    table, lines = folder / "a.csv", folder / "a.jsonl"
    assert cli([
        str(folder / "videos"), *whole, "--out", str(folder / "films"), "--csv", str(table),
        "--json", str(lines), "--top-k", "2",
    ]) == 1
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [len(record.get("windows", ())) for record in records] == [3, 3, 0]
    assert "cannot be opened" in records[2]["error"] and "film" not in records[2]
    for record in records[:2]:
        assert len(times_of(record["film"])) == 40 and sound_of(record["film"])[0] == "aac"
        assert [len(window["predictions"]) for window in record["windows"]] == [2, 2, 2]
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 12 and rows[0]["action"] in NAMES
    assert float(rows[0]["score"]) == pytest.approx(
        records[0]["windows"][0]["predictions"][0]["score"], abs=1e-4
    )
    screen, error = capsys.readouterr()
    assert screen.count(" s  0.") == 6 and "1 of 3 videos failed" in error
    assert "40 frames of 200x200 in" in error and "times as fast as they play" in error
    for part in ("decode", "recognize", "draw", "encode"):
        assert f" {part} " in error


def test_people_with_known_boxes_and_ground_truth(boxes, folder, capsys):
    out, table = folder / "b.mp4", folder / "b.csv"
    given = str(folder / "boxes.csv")
    assert cli([
        str(folder / "videos/a.mp4"), *boxes, "--boxes", given, "--ground-truth", given,
        "--out", str(out), "--json", str(folder / "b.json"), "--csv", str(table),
        "--threshold", "0", "--rare-threshold", "0", "--classes", "run", "wave",
    ]) == 0
    (record,) = json.loads((folder / "b.json").read_text())
    assert [moment["time"] for moment in record["keyframes"]] == [0.5, 1.0]
    assert [person["person"] for person in record["keyframes"][0]["persons"]] == [1, 2]
    labels = {
        found["label"] for moment in record["keyframes"] for person in moment["persons"]
        for found in person["predictions"]
    }
    assert labels == {"run", "wave"} and len(times_of(out)) == 40
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 6 and {row["person"] for row in rows} == {"1", "2"}
    assert "#1" in capsys.readouterr().out


@pytest.mark.parametrize(("threshold", "told"), [(0.5, True), (0.2, False)])
def test_labels_below_the_threshold_are_told_of(threshold, told, capsys):
    choice = choose(NAMES, several=False, threshold=threshold)
    sink = Sink("a", choice, False, None, Console())
    sink.add(WindowScores(0.0, 1.0, np.full(4, 0.25)))
    sink.show_end()
    assert ("no label reaches its threshold" in capsys.readouterr().out) is told


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_a_full_disk_is_an_error_with_the_name_of_the_file():
    with pytest.raises(OSError, match="'/dev/full'"):
        CsvFile("/dev/full", ["a", "b"]).write([])


def test_a_table_is_replaced_by_the_first_results_only(tmp_path):
    (tmp_path / "a.csv").write_text("of yesterday")
    table = CsvFile(tmp_path / "a.csv", ["a", "b"])
    sink = Sink("camera:0", choose(NAMES, several=False), False, table, Console(quiet=True))
    assert (tmp_path / "a.csv").read_text() == "of yesterday"  # the camera may not be opened
    sink.show_end()
    assert (tmp_path / "a.csv").read_text() == "a,b\n"
    table.write([(1, 2)])
    table.close()
    assert (tmp_path / "a.csv").read_text() == "a,b\n1,2\n"


def test_a_video_without_boxes_does_not_stop_the_others(boxes, folder, capsys):
    given = ["--boxes", str(folder / "boxes.csv"), "--json", str(folder / "e.json")]
    assert cli([str(folder / "videos"), *boxes, *given]) == 1
    first, second = json.loads((folder / "e.json").read_text())
    assert len(first["keyframes"]) == 2 and "has no boxes for" in second["error"]
    assert "1 of 2 videos failed" in capsys.readouterr().err


def test_the_table_of_people_can_be_read_as_boxes(boxes, folder):
    given = str(folder / "boxes.csv")
    # Not everybody has a label, so that some actions and scores are empty.
    strict = ["--rare-threshold", "1", "--threshold", "1", "--classes", "wave"]
    video = [str(folder / "videos/a.mp4"), *boxes, *strict]
    assert cli([*video, "--boxes", given, "--csv", str(folder / "c.csv")]) == 0
    assert "" in {row["action"] for row in csv.DictReader((folder / "c.csv").open())}
    text = (folder / "c.csv").read_text().replace(str(folder / "videos/a.mp4"), "a")
    (folder / "c.csv").write_text(text)
    again = ["--boxes", str(folder / "c.csv"), "--json", str(folder / "c.json")]
    assert cli([*video, *again]) == 0
    (record,) = json.loads((folder / "c.json").read_text())
    assert [len(moment["persons"]) for moment in record["keyframes"]] == [2, 1]


def test_the_whole_picture_as_a_person(boxes, folder):
    found = folder / "d.json"
    options = ["--detector", "frame", "--detect-every", "0.2", "--stride", "0.4"]
    options += ["--json", str(found)]
    assert cli([str(folder / "videos/a.mp4"), *boxes, *options]) == 0
    (record,) = json.loads(found.read_text())
    assert [moment["time"] for moment in record["keyframes"]] == pytest.approx([0, 0.4, 0.8, 1.2])
    assert record["keyframes"][0]["persons"][0]["box"] == [0, 0, 1, 1]


def test_a_stream(whole, folder, capsys):
    out = folder / "films"
    with live_source(60) as address:
        assert cli([address, *whole, "--out", str(out), "--json", str(folder / "s.json")]) == 0
    (record,) = json.loads((folder / "s.json").read_text())
    assert len(times_of(record["film"])) > 5
    error = capsys.readouterr().err
    assert "ended after" in error and "late frames dropped" in error and "latency" in error


def test_a_lost_stream_is_one_line(whole, folder, capsys):
    with live_source(40, stall=True) as address:
        assert cli([address, *whole, "--timeout", "1"]) == 1
    error = capsys.readouterr().err
    assert error.count("has sent no picture for 1 seconds (--timeout)") == 1


class Viewer:
    """A stand-in for the window: its user closes it at the 20th frame."""

    def __init__(self, title):
        self.seconds = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    closed = property(lambda self: len(self.seconds) >= 20)

    def play(self, frame, seconds):
        self.seconds.append(seconds)
        time.sleep(0.02)


def test_closing_the_window_ends_as_ctrl_c_does(whole, folder, capsys, monkeypatch):
    monkeypatch.setattr(command, "Window", Viewer)
    out, found = folder / "films", folder / "w.json"
    options = ["--show", "--out", str(out), "--json", str(found)]
    assert cli([str(folder / "videos"), *whole, *options]) == 130
    *_, record = json.loads(found.read_text())
    assert record["error"] == "interrupted"
    assert 20 <= len(times_of(out / "a.mp4")) <= 40
    assert "of 2 videos are in" in capsys.readouterr().err


def test_without_a_screen_the_work_does_not_begin(whole, folder, capsys, monkeypatch):
    def none(title):
        raise WindowError("there is no screen for it (no display)")

    monkeypatch.setattr(command, "Window", none)
    assert cli([str(folder / "videos/a.mp4"), *whole, "--show"]) == 2
    screen, error = capsys.readouterr()
    assert "--show: there is no screen for it (no display); to make a film, pass --out" in error
    assert not screen


def test_no_window_opens_unless_asked(whole, folder, monkeypatch):
    monkeypatch.setattr(command, "Window", pytest.fail)
    assert cli([str(folder / "videos/a.mp4"), *whole]) == 0


def test_all_problems_at_once(whole, folder, capsys):
    video = str(folder / "videos/a.mp4")
    assert cli([
        video, "camera:0", *whole, "--out", str(folder / "a.avi"), "--json", "/none/a.json",
        "--boxes", "x.csv", "--ground-truth", "y.csv", "--detector", "frame",
    ]) == 2
    error = capsys.readouterr().err
    for problem in ("only source", "--boxes cannot be used with a camera", "a.avi", "/none",
                    "--ground-truth cannot be used with", "--boxes and --detector exclude"):
        assert problem in error
    assert cli([video, *whole, "--boxes", "x.csv"]) == 2
    assert "--boxes x.csv: no such file" in capsys.readouterr().err
    assert cli([video, str(folder / "videos/b.mp4"), *whole, "--out", str(folder / "a.mp4")]) == 2
    assert "expected a folder for the films of 2 videos" in capsys.readouterr().err
    assert cli([video, *whole, "--out", str(folder / "videos")]) == 2
    assert f"would replace {video}" in capsys.readouterr().err
    assert cli([str(folder / "none.mp4"), *whole]) == 2
    assert "no such file" in capsys.readouterr().err
    assert cli([video, *whole, "--classes", "jump"]) == 2
    assert "no class 'jump' among the 4 classes" in capsys.readouterr().err


def test_values_are_checked_before_the_weights_are_read(boxes, folder, capsys, monkeypatch):
    monkeypatch.setattr(command, "load_network", pytest.fail)
    video = str(folder / "videos/a.mp4")
    (folder / "bad.csv").write_text("video,time,x1,y1,x2,y2\nb,0.5,0.1,0.1,0.5,zero\n")
    (folder / "bad.onnx").write_text("no network")
    (folder / "bad.ttf").write_text("no font")
    wrong = ["--boxes", str(folder / "bad.csv"), "--font", str(folder / "bad.ttf")]
    wrong += ["--window", "2", "--classes", "jump", "--show", "--json", str(folder / "boxes.csv")]
    wrong += ["--ground-truth", str(folder / "boxes.csv")]
    assert cli([video, *boxes, *wrong]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 5 problems:")
    for problem in ("--boxes: ", "'zero'", "bad.ttf is not a font", "--window is for networks that",
                    "no class 'jump' among the 4", f"would replace {folder / 'boxes.csv'}"):
        assert problem in error
    wrong = ["--config", "kinetics/x3d", "--detector", "yolox_nan", "--out", "a.avi"]
    assert cli([video, *boxes[:2], *wrong]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 3 problems:") and "perhaps yolox_nano" in error
    assert "--config: kinetics/x3d is neither a recipe nor a published model" in error
    assert cli([video, *boxes, "--detector", str(folder / "bad.onnx")]) == 2
    assert "bad.onnx cannot be read as an ONNX file" in capsys.readouterr().err
    assert cli([str(folder / "videos/b.mp4"), *boxes, "--boxes", str(folder / "boxes.csv")]) == 2
    assert "b.mp4; it has those of a" in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "problem"), [
    (["camera:0", "--slow-motion", "2", "--out", "a.mp4"], "--slow-motion cannot be used with"),
    (["camera:0", "--fps", "20"], "--fps cannot be used with a camera"),
    (["a.mp4", "--timeout", "3"], "--timeout is for cameras and streams"),
    (["a.mp4", "--boxes", "b", "--detect-every", "1"], "--boxes and --detect-every exclude"),
    (["a.mp4", "--first-second", "0"], "--first-second requires --boxes or --ground-truth"),
    (["a.mp4", "--slow-motion", "2"], "--slow-motion requires --out or --show"),
    (["a.mp4", "--font", "f"], "--font requires --out or --show"),
])
def test_arguments_that_do_not_go_together(flags, problem):
    (found,) = parse([*flags, "--weights", "w"]).problems
    assert found.startswith(problem)


@pytest.mark.parametrize("flag", [
    ["--threshold", "2"], ["--stride", "0"], ["--slow-motion", "0.5"], ["--top-k", "0"],
])
def test_wrong_values(flag):
    with pytest.raises(SystemExit):
        parse(["a.mp4", "--weights", "w", *flag])


@pytest.mark.slow
@needs_real
def test_ctrl_c_leaves_a_film_that_plays(tmp_path):
    write_film(tmp_path / "a.mp4", gray_pictures(300, 480, 640) * 20, sound="aac")
    weights = REAL / "weights/X3D_XS_k400_pyslowfast.pyth"
    process = subprocess.Popen(
        [sys.executable, "-m", "slowfast_jax.demo", str(tmp_path / "a.mp4"), "--config",
         "kinetics/x3d_xs", "--weights", str(weights), "--out", str(tmp_path / "b.mp4"),
         "--json", str(tmp_path / "b.json"), "--csv", str(tmp_path / "b.csv")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    for _ in range(3):
        assert " s  " in next(line for line in process.stdout if " s  " in line)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and time.monotonic() - begun < 30
    assert "interrupted" in error and "Traceback" not in error
    times = times_of(tmp_path / "b.mp4")
    assert len(times) > 30 and np.diff(times).max() < 0.05
    assert sound_of(tmp_path / "b.mp4")[1] == pytest.approx(times[-1], abs=0.3)
    (record,) = json.loads((tmp_path / "b.json").read_text())
    assert record["error"] == "interrupted" and len(record["windows"]) >= 3
    assert len((tmp_path / "b.csv").read_text().splitlines()) >= 4
