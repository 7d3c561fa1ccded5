import re

import pytest

from slowfast_jax.metrics.tube_tables import (
    Box,
    as_table,
    at_times,
    number_frames,
    read_boxes,
    tubes_of_persons,
)

CORNERS = (0.1, 0.1, 0.5, 0.5)


def box(time, *, video="v", label=0, person="1", score=1.0):
    return Box(video, time, CORNERS, label, person, score, f"t.csv:{time}")


def test_times_are_numbered_and_gaps_counted():
    boxes = [box(time) for time in (3.0, 1.0, 2.001, 2.001, 6.99, 8.0)] + [box(0.5, video="w")]
    assert number_frames(boxes) == {
        "v": {1.0: 0, 2.001: 1, 3.0: 2, 6.99: 6, 8.0: 7}, "w": {0.5: 0},
    }


def test_detections_take_the_times_and_names_of_the_ground_truth():
    frames = number_frames([box(1.0), box(2.002), box(1.0, video="x/w")])
    near = at_times([box(2.0), box(1.5), box(1.039), box(1.05), box(1, video="y/x/w"),
                     box(1, video="y/w"), box(1, video="films/v")], frames)
    assert [(found.video, found.time) for found in near] == [
        ("v", 2.002), ("v", 1.0), ("x/w", 1.0), ("v", 1.0),
    ]


def test_tubes_are_runs_of_a_person_with_an_action():
    boxes = [box(t) for t in (1.0, 2.0, 4.0)] + [box(3.0, label=None)]
    boxes += [box(2.0, label=1, score=0.5), box(3.0, label=1, score=0.7), box(3.0, person="2")]
    tubes = tubes_of_persons(boxes, number_frames(boxes))
    assert {
        label: [(tube.first, len(tube.boxes), pytest.approx(tube.score)) for tube in of_class]
        for label, of_class in tubes.items()
    } == {0: [(0, 2, 1), (3, 1, 1), (2, 1, 1)], 1: [(1, 2, 0.6)]}


@pytest.mark.parametrize("wrong, reason", [
    (box(2.0, person=""), "t.csv:2.0: no person; expected a column person"),
    (box(1.0)._replace(where="t.csv:9"),
     "t.csv:9: person '1' has the same action in t.csv:1.0, at the same time"),
])
def test_rows_without_person_or_twice_are_refused(wrong, reason):
    boxes = [box(1.0), wrong]
    with pytest.raises(ValueError, match=re.escape(reason)):
        tubes_of_persons(boxes, number_frames(boxes))


def test_tables_of_both_kinds_are_read(tmp_path):
    table, test = tmp_path / "people.csv", tmp_path / "detections.csv"
    table.write_text(
        "video,time,x1,y1,x2,y2,action,person,score\n"
        "a.mp4,1.000,0.1,0.1,0.5,0.5,wave,3,0.25\na.mp4,1.000,0.1,0.1,0.5,0.5,,3,\n",
        encoding="utf-8",
    )
    test.write_text("a.mp4,0001,0.1,0.1,0.5,0.5,2,0.25\n", encoding="utf-8")
    first, second = read_boxes(table, ["sit", "wave"], predicted=True)
    assert first[:6] == ("a", 1.0, CORNERS, 1, "3", 0.25)
    assert second.label is None and second.score == 1.0
    assert read_boxes(test, ["sit", "wave"], predicted=True)[0][:6] == (
        "a", 1.0, CORNERS, 1, "", 0.25
    )
    with pytest.raises(ValueError, match="action 2; expected a number from 1 to 1"):
        read_boxes(test, ["sit"], predicted=True)
    assert as_table([first, second], number_frames([first])).actions.tolist() == [1]
