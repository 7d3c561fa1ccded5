import json
import re
from pathlib import Path

import numpy as np
import pytest

from slowfast_jax.metrics.ava import cli, evaluate_files
from slowfast_jax.metrics.ava_files import (
    from_arrays,
    read_detections,
    read_exclusions,
    read_ground_truth,
    read_label_map,
    write_detections,
)
from tests.support.paths import PARITY, REAL, needs_parity, needs_real

GOOD = "a,0902,0.1,0.2,0.3,0.4,12,0.5\n"
LABELS = """item {
  name: "sit (on 'it')"
  id: 11
}
item {
  name: "stand"
  label_id: 12
}
"""


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def same(a, b):
    assert list(a.keyframes) == list(b.keyframes)
    for ours, other in zip(a[1:], b[1:], strict=True):
        np.testing.assert_array_equal(ours, other)


def test_columns_of_a_file(write):
    text = '"a,b",0902,0.1,0.2,0.3,0.4,12,0.5\n\n#c,903.25,0,0,1,1,3,1e-3\n"a,b",902,0,0,1,1,3,1\n'
    table = read_detections(write("d.csv", text))
    assert table.keyframes == [("a,b", 902.0), ("#c", 903.25)]
    assert table.frame.tolist() == [0, 1, 0] and table.actions.tolist() == [12, 3, 3]
    assert table.boxes[0].tolist() == [0.1, 0.2, 0.3, 0.4]
    assert table.scores.tolist() == [0.5, 0.001, 1.0]
    same(table, read_ground_truth(write("d.csv", text)))  # read row by row, to the same columns


def test_rows_without_score_and_keyframes_without_rows(write):
    table = read_detections(write("d.csv", "a,0902,0.1,0.2,0.3,0.4,12\na,0904\n" + GOOD))
    assert table.keyframes == [("a", 902.0), ("a", 904.0)]
    assert table.scores.tolist() == [1.0, 0.5]
    assert read_detections(write("d.csv", "a,902,0,0,1,1,12\n")).scores.tolist() == [1.0]
    empty = read_detections(write("d.csv", ""))
    assert len(empty.keyframes) == len(empty.frame) == 0 and empty.boxes.shape == (0, 4)


@pytest.mark.parametrize("row, reason", [
    ("a,0902,0.1,0.2,0.3,0.4", "6 columns, expected 2 or 7 or 8"),
    ("a,soon,0.1,0.2,0.3,0.4,12,0.5", 'seconds is "soon", expected a number'),
    ("a,0902,0.1,0.2,x,0.4,12,0.5", 'x2 is "x", expected a number'),
    ("a,0902,0.1,nan,0.3,0.4,12,0.5", 'y1 is "nan", expected a number'),
    ("a,0902,0.1,0.2,0.3,0.4,stand,0.5", 'action is "stand", expected a number'),
    ("a,0902,0.1,0.2,0.3,0.4,1.5,0.5", 'action is "1.5", expected a class id'),
    ("a,0902,0.1,0.2,0.3,0.4,1e12,0.5", 'action is "1e12", expected a class id'),
    ("a,0902,0.1,0.2,0.3,0.4,,0.5", 'action is "", expected a number'),
    ("a,0902,0.1,0.2,0.3,0.4,12,inf", 'score is "inf", expected a number'),
])
def test_malformed_rows_are_reported_with_their_line(write, row, reason):
    path = write("d.csv", GOOD + GOOD + row + "\n" + GOOD)
    for read in (read_detections, read_ground_truth):
        with pytest.raises(ValueError, match=re.escape(f"{path}, line 3: {reason}")):
            read(path)


def test_boxes_out_of_order(write):
    path = write("d.csv", GOOD + "a,0902,0.5,0.2,0.3,0.4,12,0.5\n")
    assert len(read_detections(path).frame) == 2
    with pytest.raises(ValueError, match="d.csv, line 2: box .*expected x1 <= x2 and y1 <= y2"):
        read_ground_truth(path)


def test_exclusions(write):
    assert read_exclusions(write("e.csv", "a,0902\nb,903\n")) == [("a", 902.0), ("b", 903.0)]
    with pytest.raises(ValueError, match="e.csv, line 1: 8 columns, expected 2"):
        read_exclusions(write("e.csv", GOOD))


def test_label_map(write):
    assert read_label_map(write("l.pbtxt", LABELS)) == {11: "sit (on 'it')", 12: "stand"}
    with pytest.raises(ValueError, match="l.pbtxt: no class found"):
        read_label_map(write("l.pbtxt", "sit\nstand\n"))
    with pytest.raises(ValueError, match='expected name: "..." and id: N in each item'):
        read_label_map(write("l.pbtxt", 'item { name: "sit" }'))
    path = write("l.pbtxt", "")
    Path(path).write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="l.pbtxt: is not UTF-8 text"):
        read_label_map(path)


@needs_real
@needs_parity
def test_label_map_of_ava():
    names = read_label_map(REAL / "ava/ava_action_list_v2.1_for_activitynet_2018.pbtxt")
    expected = json.loads((PARITY / "eval/ava/label_map.json").read_text())
    assert {str(number): name for number, name in names.items()} == expected


def test_written_files_are_read_back(tmp_path):
    rng = np.random.default_rng(0)
    boxes, scores = rng.random((6, 4), np.float32), rng.random((6, 3), np.float32) ** 8
    detections = from_arrays(
        [("a", 902.0), ("b", 1000.5)], [0, 0, 0, 1, 1, 1], boxes, scores, classes=(1, 5, 80))
    write_detections(tmp_path / "d.csv", detections)
    first = (tmp_path / "d.csv").read_text().splitlines()[0].split(",")
    assert first[:2] == ["a", "0902"] and first[6] == "1" and len(first) == 8
    table = read_detections(tmp_path / "d.csv")
    same(table._replace(boxes=0, scores=0), detections._replace(boxes=0, scores=0))
    np.testing.assert_allclose(table.boxes, detections.boxes, atol=0.5e-5)
    np.testing.assert_allclose(table.scores, detections.scores, rtol=0.5e-5)


def test_command(write, tmp_path, capsys):
    truth = write("gt.csv", "a,0902,0,0,1,1,12,0\na,0904,0,0,1,1,12,0\na,0906,0,0,1,1,9,0\n")
    found = write("d.csv", "a,0902,0,0,1,1,12,0.5\na,0904,0,0,1,1,12,0.5\na,0904,0,0,1,1,2,0.9\n")
    labels = write("l.pbtxt", LABELS)
    out = tmp_path / "result.json"
    assert cli([found, truth, "--labels", labels, "--json", str(out)]) == 0
    printed = capsys.readouterr()
    assert "12  stand" in printed.out and "mAP@0.5 1.000000, official rules" in printed.out
    assert printed.err == (
        "warning: 1 of 3 detections belong to classes that are not evaluated (ids 2)\n")
    result = json.loads(out.read_text())
    assert result["map"] == 1.0 and result["map_range"] == [1.0, 1.0]
    assert result["classes"] == [
        {"id": 11, "name": "sit (on 'it')", "num_gt": 0, "ap": None},
        {"id": 12, "name": "stand", "num_gt": 2, "ap": 1.0},
    ]
    # Without a label map, the classes in the ground truth are evaluated.
    assert evaluate_files(found, truth)["map"] == 0.5
    excluded = write("e.csv", "a,906\n")
    assert evaluate_files(found, truth, exclusions=excluded, rules="pyslowfast")["map"] == 1.0
    mini = evaluate_files(found, truth, mini_gt=True)
    assert [row["num_gt"] for row in mini["classes"]] == [0, 1]


def test_command_warns_about_likely_mistakes(write, capsys):
    truth = write("gt.csv", "a,0902,0,0,1,1,12,0\n")
    assert cli([write("d.csv", "b,0902,0,0,320,200,12,0.5\n"), truth]) == 0
    printed = capsys.readouterr()
    assert ("detections and ground truth have no keyframes in common; their first ones are "
            "('b', 902.0) and ('a', 902.0)") in printed.err
    assert "coordinates reach 320 in the detections and 1 in the ground truth" in printed.err
    assert "mAP@0.5 0.000000" in printed.out
    assert cli([write("d.csv", ""), truth]) == 0
    assert "their first ones are none and" in capsys.readouterr().err


def test_command_reports_errors(write, capsys):
    truth = write("gt.csv", "a,0902,0,0,1,1,12,0\n")
    assert cli([write("d.csv", "a,0902,0,0\n"), truth]) == 1
    assert "d.csv, line 1: 4 columns, expected 2 or 7 or 8" in capsys.readouterr().err
    assert cli(["absent.csv", truth, "--labels", "none.pbtxt"]) == 2
    assert capsys.readouterr().err == "error: absent.csv, none.pbtxt: no such file\n"
