"""Tables of boxes in three formats, told apart by their content."""

import pickle

import numpy as np
import pytest

from slowfast_jax.demo.stages.given_boxes import moments_of, read_table, truths_of

NAMES = ["walk", "sit"]
OURS = (
    "video,time,x1,y1,x2,y2,action,person,score\n"
    "day/a.mp4,0.5,0.1,0.1,0.5,0.9,walk,anna,0.9\nday/a.mp4,0.5,0.1,0.1,0.5,0.9,sit,anna,0.9\n"
    "day/a.mp4,0.5,0.6,0.1,0.9,0.9,,bert,0.8\nday/a.mp4,1.5,0.2,0.1,0.6,0.9,walk,anna,0.3\n"
    "b,0,0,0,1,1,walk,,1\n"
)
AVA = "a,0902,0.1,0.1,0.5,0.9,1,7\na,0902,0.6,0.1,0.9,0.9,2,8\na,0904,0.1,0.1,0.5,0.9,2,7\n"


def test_our_tables_have_persons_and_times(tmp_path):
    (tmp_path / "boxes.csv").write_text(OURS)
    table = read_table(tmp_path / "boxes.csv", None, score_threshold=0.5)
    (moment,) = moments_of(table, "films/day/a.mp4", 3.0)
    assert moment.time == 0.5 and moment.ids.tolist() == [1, 2]
    np.testing.assert_allclose(moment.boxes, [[0.1, 0.1, 0.5, 0.9], [0.6, 0.1, 0.9, 0.9]])
    assert [moment.ids.tolist() for moment in moments_of(table, "b.mp4", 3.0)] == [[0]]


def test_ground_truth_has_actions(tmp_path):
    (tmp_path / "boxes.csv").write_text(OURS)
    first, second = truths_of(read_table(tmp_path / "boxes.csv", NAMES), "day/a.mp4", 3.0, NAMES)
    assert [names for _, names in first.people] == [["walk", "sit"], []]
    assert second.time == 1.5 and [names for _, names in second.people] == [["walk"]]


def test_tables_of_ava_begin_at_second_900(tmp_path):
    (tmp_path / "ava.csv").write_text(AVA)
    table = read_table(tmp_path / "ava.csv", None)
    moments = moments_of(table, "a.mkv", 60.0)
    assert [(m.time, len(m.boxes)) for m in moments] == [(2.0, 2), (4.0, 1)]
    table = read_table(tmp_path / "ava.csv", NAMES, first_second=902)
    truths = truths_of(table, "a.mkv", 60.0, NAMES)
    assert [t.time for t in truths] == [0.0, 2.0] and truths[1].people[0][1] == ["sit"]


def test_pickles_of_mmaction2(tmp_path):
    rows = {"a,0903": np.array([[0.1, 0.2, 0.3, 0.4, 0.95], [0.5, 0.5, 0.9, 0.9, 0.2]])}
    (tmp_path / "boxes.pkl").write_bytes(pickle.dumps(rows))
    table = read_table(tmp_path / "boxes.pkl", None, score_threshold=0.5)
    (moment,) = moments_of(table, "a.mp4", 10.0)
    assert moment.time == 3.0 and moment.boxes.shape == (1, 4) and moment.ids.tolist() == [0]
    with pytest.raises(ValueError, match="no actions"):
        read_table(tmp_path / "boxes.pkl", NAMES)


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file of boxes"):
        read_table(tmp_path / "none.csv", None)
    (tmp_path / "ava.csv").write_text(AVA)
    table = read_table(tmp_path / "ava.csv", None, first_second=0)
    with pytest.raises(ValueError, match="has no boxes for x.mp4; it has those of a"):
        moments_of(table, "x.mp4", 10.0)
    with pytest.raises(ValueError, match="902 to 904, and the video has 0 to 10; --first-second"):
        moments_of(table, "a.mp4", 10.0)
