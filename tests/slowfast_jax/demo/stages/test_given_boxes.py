"""Tables of boxes in three formats, told apart by their content."""

import pickle

import numpy as np
import pytest

from slowfast_jax.demo.stages.given_boxes import moments_of, read_table, truths_of
from slowfast_jax.inference.person_actions import read_boxes

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
    videos = ["films/day/a.mp4", "b.mp4", "c.mp4"]
    table = read_table(tmp_path / "boxes.csv", videos, None, score_threshold=0.5)
    (moment,) = moments_of(table, "films/day/a.mp4", 3.0)
    assert moment.time == 0.5 and moment.ids.tolist() == [1, 2]
    np.testing.assert_allclose(moment.boxes, [[0.1, 0.1, 0.5, 0.9], [0.6, 0.1, 0.9, 0.9]])
    assert [moment.ids.tolist() for moment in moments_of(table, "b.mp4", 3.0)] == [[0]]
    with pytest.raises(ValueError, match=r"boxes.csv has no boxes for this video"):
        moments_of(table, "c.mp4", 3.0)


@pytest.mark.parametrize(("names", "videos", "expected"), [
    (["a", "b"], ["x/a.mp4", "y/b.mp4"], {"x/a.mp4": "a", "y/b.mp4": "b"}),
    (["x/a.mp4", "a"], ["x/a.mp4", "y/a.mp4"], {"x/a.mp4": "x/a", "y/a.mp4": "a"}),
    (["a"], ["d/a.mp4", "d/x/a.mp4"], {"d/a.mp4": "a"}),
])
def test_predict_and_demo_take_the_same_rows(tmp_path, names, videos, expected):
    path, header = tmp_path / "boxes.csv", OURS[: OURS.index("\n") + 1]
    path.write_text(header + "".join(f"{name},1,0,0,1,1,walk,,1\n" for name in names))
    keyframes = read_boxes(path, {video: video for video in videos})
    assert {video: found[0].video for video, found in keyframes.items() if found} == expected
    assert read_table(path, videos, None).names == dict.fromkeys(videos) | expected


def test_predict_and_demo_refuse_the_same_names(tmp_path):
    (tmp_path / "boxes.csv").write_text(OURS)
    for videos, message in (
        (["x/b.mp4", "y/b.mp4"], "boxes.csv: 'b' may be x/b.mp4 or y/b.mp4; write the folder"),
        (["c.mp4"], "boxes.csv: has no boxes for c.mp4, but for day/a.mp4, b; expected the ends"),
    ):
        with pytest.raises(ValueError, match=message):
            read_boxes(tmp_path / "boxes.csv", {video: video for video in videos})
        with pytest.raises(ValueError, match=message):
            read_table(tmp_path / "boxes.csv", videos, None)


def test_ground_truth_has_actions(tmp_path):
    (tmp_path / "boxes.csv").write_text(OURS)
    table = read_table(tmp_path / "boxes.csv", ["day/a.mp4"], NAMES)
    first, second = truths_of(table, "day/a.mp4", 3.0, NAMES)
    assert [names for _, names in first.people] == [["walk", "sit"], []]
    assert second.time == 1.5 and [names for _, names in second.people] == [["walk"]]


def test_tables_of_ava_begin_at_second_900(tmp_path):
    (tmp_path / "ava.csv").write_text(AVA)
    table = read_table(tmp_path / "ava.csv", ["a.mkv"], None)
    moments = moments_of(table, "a.mkv", 60.0)
    assert [(m.time, len(m.boxes)) for m in moments] == [(2.0, 2), (4.0, 1)]
    table = read_table(tmp_path / "ava.csv", ["a.mkv"], NAMES, first_second=902)
    truths = truths_of(table, "a.mkv", 60.0, NAMES)
    assert [t.time for t in truths] == [0.0, 2.0] and truths[1].people[0][1] == ["sit"]


def test_pickles_of_mmaction2(tmp_path):
    rows = {"a,0903": np.array([[0.1, 0.2, 0.3, 0.4, 0.95], [0.5, 0.5, 0.9, 0.9, 0.2]])}
    (tmp_path / "boxes.pkl").write_bytes(pickle.dumps(rows))
    table = read_table(tmp_path / "boxes.pkl", ["a.mp4"], None, score_threshold=0.5)
    (moment,) = moments_of(table, "a.mp4", 10.0)
    assert moment.time == 3.0 and moment.boxes.shape == (1, 4) and moment.ids.tolist() == [0]
    with pytest.raises(ValueError, match="no actions"):
        read_table(tmp_path / "boxes.pkl", ["a.mp4"], NAMES)


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file of boxes"):
        read_table(tmp_path / "none.csv", ["a.mp4"], None)
    (tmp_path / "ava.csv").write_text(AVA)
    table = read_table(tmp_path / "ava.csv", ["a.mp4"], None, first_second=0)
    with pytest.raises(ValueError, match="902 to 904, and the video has 0 to 10; --first-second"):
        moments_of(table, "a.mp4", 10.0)
