import csv

import numpy as np
import pytest

from slowfast_jax.metrics.ava_files import BoxTable
from slowfast_jax.metrics.tube_linking import cli, link


def table(*rows):
    """Rows video, frame, action, score, x; boxes are 100 pixels wide and high."""
    keyframes = list(dict.fromkeys((video, float(frame)) for video, frame, *_ in rows))
    boxes = np.array([[x, 0, x + 100, 100] for *_, x in rows], float)
    return BoxTable(
        keyframes, np.array([keyframes.index((row[0], row[1])) for row in rows]), boxes,
        np.array([row[2] for row in rows]), np.array([row[3] for row in rows], float),
    )


def shown(tubes):
    return sorted(
        (action, tube.video, tube.first, tube.boxes[:, 0].tolist(), round(tube.score, 3))
        for action, of_class in tubes.items() for tube in of_class
    )


def test_overlapping_boxes_of_consecutive_frames_become_a_tube():
    rows = [("v", 1, 0, 0.5, 0), ("v", 2, 0, 0.7, 20), ("v", 3, 0, 0.9, 40), ("w", 4, 0, 0.2, 40)]
    expected = [(0, "v", 1, [0, 20, 40], 0.7), (0, "w", 4, [40], 0.2)]
    assert shown(link(table(*rows), min_frames=1)) == expected
    assert shown(link(table(*rows[::-1]), min_frames=1)) == expected
    assert shown(link(table(*rows), min_frames=2)) == expected[:1]
    assert link(table(*rows)) == {}  # fewer than MultiSports' 15 frames


@pytest.mark.parametrize("second", [
    ("v", 3, 0, 0.5, 0),  # a frame is missing
    ("v", 2, 0, 0.5, 40),  # IoU 60/140
    ("v", 2, 1, 0.5, 0),  # another action
    ("w", 2, 0, 0.5, 0),
])
def test_other_boxes_start_tubes(second):
    tubes = link(table(("v", 1, 0, 0.5, 0), second), min_frames=1)
    assert [len(tube.boxes) for of_class in tubes.values() for tube in of_class] == [1, 1]


def test_the_better_tube_chooses_first_and_takes_the_best_box_that_overlaps():
    rows = [("v", 1, 0, 0.6, 0), ("v", 1, 0, 0.8, 55),
            ("v", 2, 0, 0.4, 25), ("v", 2, 0, 0.3, 80)]
    assert shown(link(table(*rows), min_frames=1)) == [
        (0, "v", 1, [0], 0.6), (0, "v", 1, [55, 25], 0.6), (0, "v", 2, [80], 0.3),
    ]


def test_scores_of_boxes_over_better_ones_are_lowered():
    rows = [("v", 1, 0, 0.8, 0), ("v", 1, 0, 0.7, 10), ("v", 1, 0, 0.6, 50)]
    ((_, _, _, _, best), (_, _, _, _, lowered), (_, _, _, _, apart)) = sorted(
        shown(link(table(*rows), min_frames=1)), key=lambda row: row[3]
    )
    iou = 91 * 101 / (2 * 101 * 101 - 91 * 101)  # sides of boxes in pixels include both edges
    assert (best, lowered, apart) == (0.8, round(0.7 * (1 - iou), 3), 0.6)
    fractions = shown(link(table(*rows), min_frames=1, pixel=0.0))
    assert sorted(row[-1] for row in fractions)[0] == round(0.7 * (1 - 90 / 110), 3)


@pytest.mark.parametrize(("shift", "lowered"), [(24, True), (26, False)])  # IoU 0.616 and 0.591
def test_how_much_a_box_must_overlap_a_better_one(shift, lowered):
    rows = [("v", 1, 0, 0.8, 0), ("v", 1, 0, 0.7, shift)]
    scores = [row[-1] for row in shown(link(table(*rows), min_frames=1))]
    assert (scores != [0.8, 0.7]) == lowered


def test_tubes_of_tiny_scores_and_the_eleventh_box_are_dropped():
    assert link(table(("v", 1, 0, 0.0049, 0)), min_frames=1) == {}
    crowd = [("v", 1, 0, 0.1 + place / 100, 200 * place) for place in range(12)]
    kept = link(table(*crowd), min_frames=1)[0]
    assert sorted(tube.boxes[0, 0] for tube in kept) == [200 * place for place in range(2, 12)]


def test_no_detections():
    empty = BoxTable([], np.zeros(0, int), np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    assert link(empty) == {}


def test_the_command_turns_detections_of_a_test_into_persons(tmp_path, capsys):
    found, tubes = tmp_path / "detections.csv", tmp_path / "tubes.csv"
    found.write_text(
        "a.mp4,0001,0.1,0.1,0.5,0.5,2,0.5\na.mp4,0001,0.6,0.1,0.9,0.5,2,0.4\n"
        "a.mp4,0002,0.1,0.1,0.5,0.6,2,0.7\na.mp4,0002,0.1,0.1,0.5,0.6,1,0.2\n", encoding="utf-8",
    )
    assert cli([str(found), str(tubes)]) == 2
    assert "has numbers for actions; pass the names of the classes" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli([str(found), str(tmp_path / "." / "detections.csv")])
    assert "would be replaced" in capsys.readouterr().err
    names = tmp_path / "classes.txt"
    names.write_text("sit\nwave\n", encoding="utf-8")
    assert cli([str(found), str(tubes), "--classes", str(names)]) == 0
    assert "3 tubes" in capsys.readouterr().out
    with open(tubes, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    waving = [row for row in rows if row["action"] == "wave"]
    assert [(row["time"], row["x1"], row["score"]) for row in waving] == [
        ("1.000", "0.6000", "0.4"), ("1.000", "0.1000", "0.6"), ("2.000", "0.1000", "0.6"),
    ]
    assert len({row["person"] for row in rows}) == 3
