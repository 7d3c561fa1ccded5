"""What is printed, and what is in records and tables."""

import csv
import os
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from slowfast_jax.demo.choice import choose
from slowfast_jax.demo.output import PERSONS, CsvFile, Sink, live_state, speed
from slowfast_jax.demo.sources.frames import Info
from slowfast_jax.demo.stages.actions import PersonScores
from slowfast_jax.demo.stages.persons import PeopleAt
from slowfast_jax.demo.timing import Timing
from slowfast_jax.inference.timeline import WindowScores

NAMES = ["lie", "run", "sit", "wave"]
BOXES = np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1]], np.float32)


@pytest.mark.parametrize(("threshold", "warns"), [(0.5, True), (0.2, False)])
def test_a_line_says_that_no_label_reaches_the_threshold(threshold, warns, capsys):
    choice = choose(NAMES, several=False, threshold=threshold)
    sink = Sink("a", choice, False, None, Console())
    sink.add(WindowScores(0.0, 1.0, np.full(4, 0.25)))
    sink.show_end()
    assert ("no label reaches its threshold" in capsys.readouterr().out) is warns


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_a_full_disk_is_an_error_with_the_name_of_the_file():
    with pytest.raises(OSError, match="'/dev/full'"):
        CsvFile("/dev/full", ["a", "b"]).write([])


def test_people_on_screen_in_the_record_and_in_the_table(tmp_path):
    text, table = StringIO(), CsvFile(str(tmp_path / "a.csv"), PERSONS)
    choice = choose(NAMES, several=True, threshold=0.5)
    sink = Sink("a.mp4", choice, True, table, Console(file=text, width=80))
    for second, score in ((0.5, 0.9), (1.0, 0.6)):
        scores = np.array([[0, score, 0, 0.1], [0, 0, 0, 0]])
        sink.add(PersonScores(PeopleAt(second, BOXES, np.array([3, 0])), scores))
    sink.show_end()
    table.close()
    assert [moment["time"] for moment in sink.record["keyframes"]] == [0.5, 1.0]
    known, unknown = sink.record["keyframes"][1]["persons"]
    assert known == {
        "person": 3, "box": [0, 0, 0.5, 1],
        "predictions": [{"label": "run", "index": 1, "score": pytest.approx(0.6)}],
    }
    assert unknown["predictions"] == [] and unknown["person"] == 0
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [(row["time"], row["action"], row["person"], row["score"]) for row in rows] == [
        ("0.500", "run", "3", "0.9000"), ("0.500", "", "", ""),
        ("1.000", "run", "3", "0.6000"), ("1.000", "", "", ""),
    ]
    (line,) = [line for line in text.getvalue().splitlines() if "#3" in line]
    assert line.split() == ["#3", "0.5", "-", "1.0", "run"]


def test_people_of_networks_that_classify_clips_have_no_labels():
    sink = Sink("a", choose(NAMES, several=False), False, None, Console(quiet=True))
    for time in (0.0, 0.25, 0.5):
        sink.add(PeopleAt(time, BOXES, np.array([1, 2])))
    assert [moment["time"] for moment in sink.record["keyframes"]] == [0.0, 0.5]
    assert "predictions" not in sink.record["keyframes"][0]["persons"][0]


def test_the_speed_is_told_by_part(monkeypatch):
    timing = Timing()
    timing.frames, timing.seconds = 60, {"encode": 0.6, "decode": 0.3}
    monkeypatch.setattr(timing, "elapsed", lambda: 4.0)
    assert speed(timing, Info(30.0, 64, 48, 2.0), 59 / 30).splitlines() == [
        "60 frames of 64x48 in 4.0 s: 15.0 per second, 0.5 times as fast as they play",
        "milliseconds per frame (parts run at the same time): decode 5.0, encode 10.0",
    ]
    assert "as they play" not in speed(timing, Info(30.0, 64, 48), 59 / 30)


def test_how_a_live_source_keeps_up():
    assert live_state(50, 2.0, [0.1, 0.3], 7) == (
        "25.0 frames per second, latency 200 ms on average and 300 at most, 7 late frames dropped"
    )
    assert "0.0 frames per second, latency 0 ms" in live_state(0, 0.0, [], 0)


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
