"""Custom tables of boxes: names and numbers, every column, and every invalid row."""

import numpy as np
import pytest

from data_pipelines.doctor.__main__ import find_format
from data_pipelines.examples.keyframe_clips import load_keyframe
from data_pipelines.sources.box_tables import (
    name_in_table,
    names_in_table,
    read_moments,
    read_row_by_row,
    read_tables,
)
from data_pipelines.video.encoding import write_video
from data_pipelines.video.image_files import FrameFiles

HEADER = "video,time,x1,y1,x2,y2,action\n"
ROW = "a,1.5,0.1,0.2,0.5,0.6,wave\n"


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.mkv", "day1/c.mp4"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, [np.full((48, 64, 3), 90, np.uint8)] * 60)
    return tmp_path / "videos"


def write(folder, *rows: str, name: str = "boxes.csv"):
    path = folder.parent / name
    path.write_text("".join(rows))
    return path


def test_a_table_with_names(folder):
    path = write(
        folder, HEADER, ROW, ROW.replace("wave", "run"), ROW.replace("wave", ""),
        "b.mkv,0,0.1,0.2,0.5,0.6,\n", "a.mp4,1.50,0,0,1,1,jump up\n", "a,0.5,0,0,1,1,run\n",
        "day1/c,1,0,0,1,1,run\n",
    )
    keyframes, names = read_tables([path], folder=folder)
    assert names == ["jump up", "run", "wave"]
    assert [(k.video, k.time, k.labels) for k in keyframes] == [
        ("a", 0.5, ((1,),)), ("a", 1.5, ((2, 1), (0,))), ("b", 0.0, ((),)), ("day1/c", 1.0, ((1,),))
    ]
    assert keyframes[0].source == str(folder / "a.mp4") and keyframes[0].origin == 0.0
    assert keyframes[1].boxes.tolist()[0] == np.float32([0.1, 0.2, 0.5, 0.6]).tolist()
    element = load_keyframe(
        keyframes[1], num_frames=4, sampling_rate=2, crop=32, max_boxes=3, num_classes=len(names),
        rng=None,
    )
    assert element["label"].tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("change", [
    lambda text: text.replace(",", ";"), lambda text: text.replace(",", "\t"),
    lambda text: "\ufeff" + text.replace("\n", "\r\n"), lambda text: text.replace(",", ", "),
    lambda text: text.replace("video", "Video").replace("action", "ACTION"),
    lambda text: "\n" + text + "\n\n", lambda text: text.replace("wave", '"wave"'),
    lambda text: "\ufeff" + text.replace(",", ";"),
])
def test_tables_as_spreadsheets_write_them(folder, change):
    path = write(folder, change(HEADER + ROW + ROW.replace("1.5", "2.5")))
    (keyframe, _), names = read_tables([path], folder=folder)
    assert (keyframe.video, keyframe.time, names) == ("a", 1.5, ["wave"])
    assert find_format(path, " ", "") == "boxes"


def test_numbers_count_from_1(folder):
    path = write(folder, HEADER, ROW.replace("wave", "2"), ROW.replace("wave", "4"))
    keyframes, names = read_tables([path], folder=folder)
    assert names == ["action 1", "action 2", "action 3", "action 4"]
    assert keyframes[0].labels == ((1, 3),)
    keyframes, names = read_tables([path], folder=folder, class_names=["a", "b", "c", "d", "e"])
    assert keyframes[0].labels == ((1, 3),) and names[4] == "e"


def test_predicted_boxes_with_columns_in_another_order(folder):
    path = write(
        folder, "score,video,x1,y1,x2,y2,time\n", "0.9,a,0.1,0.2,1.01,0.6,1\n",
        "0.4,a,0.3,0.2,1.0,0.6,1\n", name="predicted.csv",
    )
    keyframes, _ = read_tables(
        predicted=[path], folder=folder, class_names=["wave"], score_threshold=0.5
    )
    (keyframe,) = keyframes
    assert keyframe.labels == ((),) and keyframe.scores.tolist() == [np.float32(0.9)]
    both, names = read_tables([write(folder, HEADER, ROW.replace("1.5", "1"))], [path],
                              folder=folder)
    assert names == ["wave"] and both[0].scores.tolist() == [1.0, *np.float32([0.9, 0.4])]


def test_persons_and_folders_of_frames(folder):
    path = write(folder, HEADER.replace("n\n", "n,person\n"), "f,6,0,0,1,1,wave,3\n")
    for number in range(30):
        frame = folder / "f" / f"{number:03d}.jpg"
        frame.parent.mkdir(exist_ok=True)
        frame.write_bytes(b"")
    (keyframe,), _ = read_tables([path], folder=folder, origin=5, fps=10)
    assert isinstance(keyframe.source, FrameFiles) and (keyframe.fps, keyframe.origin) == (10, 5)
    with pytest.raises(ValueError, match=r"boxes.csv:2: time 6 of f lies outside its 30 frames"):
        read_tables([path], folder=folder, fps=10)


@pytest.mark.parametrize(("row", "reason"), [
    ("a,1.5,0.1,0.2,0.5\n", "5 columns in 'a,1.5,0.1,0.2,0.5'; expected video,time,x1,y1"),
    (ROW.replace("1.5", "1:05"), "time is '1:05'; expected a number"),
    (ROW.replace("1.5", "1e308"), "time is '1e308'; expected a number"),
    (ROW.replace("wave", "9" * 5000), "action is '99.*; expected one of 2 classes"),
    (ROW.replace("1.5", "-1"), "time -1 of a lies before the beginning of the video, which is 0"),
    (ROW.replace("0.2", ""), "y1 is ''; expected a number"),
    (ROW.replace("0.5", "0.05"), "box 0.1,0.2,0.05,0.6 has no area"),
    ("a,1.5,12,20,50,60,wave\n", "box 12,20,50,60 reaches outside the frame; expected fractions"),
    (ROW.replace("wave", "wav"), "action is 'wav'; expected one of 2 classes .*, perhaps 'wave'"),
    (ROW.replace("wave", "3"), "action is '3'; expected one of 2 classes by name or number"),
    (ROW.replace("a,", ",", 1), "no video; expected the name of a file"),
    (ROW.replace("a,", "z,", 1), "video 'z' not found "),
    (ROW.replace("a,", "a.avi,", 1), "videos 'a.mp4' and 'a.avi'; names must differ"),
])
def test_bad_rows_are_refused(folder, row, reason):
    path = write(folder, HEADER, ROW.replace("a,", "a.mp4,", 1).replace("1.5", "0.5"), row)
    with pytest.raises(ValueError, match=rf"boxes\.csv:3: ({reason})"):
        read_tables([path], folder=folder, class_names=["wave", "run"])


@pytest.mark.parametrize(("header", "reason"), [
    ("video,time,x1,y1,x2,action\n", "no column y2 in"),
    ("a,1.5,0.1,0.2,0.5,0.6,wave\n", "no column video, time, x1"),
    (HEADER.replace("action", "action,scores"), "unknown column 'scores' in"),
    (HEADER.replace("action", "action,video"), "a column twice in"),
])
def test_bad_headers_are_refused(folder, header, reason):
    path = write(folder, header, ROW)
    with pytest.raises(ValueError, match=rf"boxes.csv:1: {reason}.*expected the header video"):
        read_tables([path], folder=folder, class_names=["wave"])


def test_tables_without_boxes_are_refused(folder):
    with pytest.raises(ValueError, match=r"boxes.csv: no boxes; expected rows below the header$"):
        read_tables([write(folder, HEADER)], folder=folder, class_names=["wave"])
    with pytest.raises(ValueError, match=r"boxes.csv: no actions; give class_names"):
        read_tables([write(folder, HEADER, ROW.replace("wave", ""))], folder=folder)
    with pytest.raises(ValueError, match=r"boxes.csv: action 999999999; expected names, or num"):
        read_tables([write(folder, HEADER, ROW.replace("wave", "9" * 9))], folder=folder)
    low = write(folder, HEADER.replace("n\n", "n,score\n"), ROW.replace("\n", ",0.1\n"))
    with pytest.raises(ValueError, match=r"no boxes; .* with a score of at least 0.5"):
        read_tables(predicted=[low], folder=folder, score_threshold=0.5)
    with pytest.raises(ValueError, match=r"boxes.csv:2: score is 95; expected it within 0..1"):
        write(folder, HEADER.replace("n\n", "n,score\n"), ROW.replace("\n", ",95\n"))
        read_tables(predicted=[low], folder=folder)
    with pytest.raises(FileNotFoundError, match="no such folder of videos"):
        read_tables([write(folder, HEADER, ROW)], folder=folder / "none")


def test_rows_one_by_one_with_persons_and_without_scores(folder):
    path = write(
        folder, HEADER.replace("action", "action,person,score"),
        "a,1.5,0.1,0.2,0.5,0.6,wave,7,0.5\n", "a,1.5,0.1,0.2,0.5,0.6,,7,\n",
    )
    rows, written = read_row_by_row(path, ["run", "wave"], predicted=True)
    assert written == {"a": "a"}
    assert [(row.line, row.label, row.person, row.score) for row in rows] == [
        (2, 1, "7", 0.5), (3, None, "7", 1.0),
    ]
    with pytest.raises(ValueError, match=r"boxes.csv:2: action is 'wave'"):
        read_row_by_row(path, ["run"], predicted=True)
    assert [row.label for row in read_row_by_row(path, None, predicted=True)[0]] == [None, None]


@pytest.mark.parametrize("video, name", [
    ("/films/day1/c.mp4", "day1/c"), ("/films/c.mkv", "c"), ("day1/c", "day1/c"),
    ("/films/abc.mp4", None), ("d.mp4", None),
])
def test_the_name_of_a_video_is_the_end_of_its_path(video, name):
    assert name_in_table(video, ["c", "day1/c"]) == name


def test_a_file_with_a_rare_suffix_has_the_name_of_its_stem(tmp_path):
    (tmp_path / "a.1.old").write_bytes(b"")
    assert name_in_table(tmp_path / "a.1.old", ["a.1"]) == "a.1"
    assert name_in_table(tmp_path / "a.1", ["a"]) is None


@pytest.mark.parametrize(("rows", "videos", "expected"), [
    (["a", "b"], ["x/a.mp4", "y/b.mp4", "c.mp4"], ["a", "b", None]),
    (["x/a", "a"], ["x/a.mp4", "y/a.mp4"], ["x/a", "a"]),
    (["./x/a.mp4"], ["/films/x/a.mp4"], ["x/a"]),
    (["../x/a.mp4"], ["../x/a.mp4"], ["../x/a"]),
    (["a.mp4"], ["a.avi"], ["a"]),  # it was converted
    (["a.mp4"], ["x/a.mp4", "x/a.avi"], ["a", None]),
    (["a"], ["d/a.mp4", "d/x/a.mp4", "d/y/a.mp4"], ["a", None, None]),
    (["a"], ["a.mp4", "./a.mp4"], ["a", "a"]),  # the same file
    (["a"], [], []),
])
def test_which_videos_the_names_in_a_table_mean(tmp_path, rows, videos, expected):
    path = tmp_path / "boxes.csv"
    path.write_text(HEADER + "".join(ROW.replace("a,", f"{name},", 1) for name in rows))
    _, written = read_moments([path], [], class_names=None)
    assert names_in_table(path, written, videos) == dict(zip(videos, expected, strict=True))


def test_names_that_could_mean_several_videos_are_refused_together():
    videos = ["x/a.mp4", "y/a.mp4", "z/b.mp4", "z/b.avi", "z/c.mp4"]
    with pytest.raises(ValueError) as caught:
        names_in_table("t.csv", {"a": "a.mp4", "b": "b", "c": "c"}, videos)
    assert str(caught.value).splitlines() == [
        f"t.csv: {name!r} may be {both}; write the folder and suffix of the one that is meant, or "
        "pass no other"
        for name, both in (("a.mp4", "x/a.mp4 or y/a.mp4"), ("b", "z/b.mp4 or z/b.avi"))
    ]


def test_a_table_without_any_of_the_videos_is_refused():
    with pytest.raises(ValueError, match=r"^t.csv: has no boxes for x/d.mp4, but for a.mp4; "
                                         "expected the ends of the paths of videos, such as 'd'$"):
        names_in_table("t.csv", {"a": "a.mp4"}, ["x/d.mp4"])


def test_a_video_whose_boxes_are_all_dropped_is_in_the_table(folder):
    path = write(folder, HEADER.replace("n\n", "n,score\n"), ROW.replace("\n", ",0.1\n"),
                 ROW.replace("a,", "b,").replace("\n", ",0.9\n"))
    moments, written = read_moments([], [path], class_names=None, score_threshold=0.5)
    assert list(moments) == ["b"] and written == {"a": "a", "b": "b"}
