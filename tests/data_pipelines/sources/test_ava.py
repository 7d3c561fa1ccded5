"""AVA's files are read as the original reads them; errors in rows are refused."""

import json
import logging

import numpy as np
import pytest

from data_pipelines.sources import ava
from data_pipelines.video.image_files import FrameFiles
from tests.support.paths import PARITY, REAL, needs_parity, needs_real

FOLDER = PARITY / "data" / "ava"
ROW = "vA,0902,0.1,0.2,0.5,0.6,12,0\n"


@pytest.fixture(scope="module")
def recorded():
    return json.loads((FOLDER / "ava.json").read_text())


def read_split(split: str, threshold: float, full: bool = True):
    if split == "train":
        return ava.read_boxes(
            [FOLDER / "ava_train_v2.2.csv"], [FOLDER / "ava_train_predicted.csv"],
            score_threshold=threshold,
        )
    return ava.read_boxes(
        predicted=[FOLDER / "ava_val_predicted_boxes.csv"], score_threshold=threshold,
        every=4 if split == "val" and not full else 1,
    )


def write(folder, *rows: str, name: str = "boxes.csv"):
    path = folder / name
    path.write_text("".join(rows))
    return path


@needs_parity
@pytest.mark.parametrize("threshold", [0.8, 0.9])
@pytest.mark.parametrize(
    ("split", "full"), [("train", True), ("val", True), ("val", False), ("test", False)]
)
def test_boxes_labels_and_keyframes_equal_those_of_the_original(recorded, split, full, threshold):
    key = f"{split}|full={full}|thresh={threshold}"
    moments = read_split(split, threshold, full)
    found = {
        video: {
            f"{time:g}": [
                [list(box), [label + 1 for label in labels] or [-1]]
                for box, labels, _ in moment.boxes.values()
            ]
            for time, moment in times.items()
        }
        for video, times in moments.items()
    }
    assert found == recorded[f"boxes_and_labels|{key}"]

    # Enough frames for all keyframes; the recorded videos have too few.
    sources = {
        video: FrameFiles(video, 600, f"{video}_{{:06d}}.png")
        for video in ava.read_frame_list(FOLDER / "val.csv")
    }
    frames = ava.keyframes(moments, sources)
    expected = recorded[f"keyframes|{key}"]
    rows = expected["keyframe_indices(video_idx,sec_idx,sec,frame)"]
    assert [
        [list(sources).index(k.video), k.time, round((k.time - k.origin) * k.fps)] for k in frames
    ] == [[video, second, frame] for video, _, second, frame in rows]
    assert sum(len(k.boxes) for k in frames) == expected["num_boxes"]


@needs_parity
def test_boxes_are_merged_by_their_text(recorded, tmp_path):
    case = recorded["boxes_are_merged_by_text"]
    moments = ava.read_boxes(predicted=[write(tmp_path, case["csv"])])
    boxes = moments["vA"][902.0].boxes
    assert [[list(box), [label + 1 for label in labels]] for box, labels, _ in boxes.values()] == [
        [box, sorted(set(labels))] for box, labels in case["boxes"]
    ]
    assert [score for _, _, score in boxes.values()] == [0.99, 0.99]


@needs_parity
def test_frame_lists():
    frames = ava.read_frame_list(FOLDER / "train.csv", path_prefix="/data")
    assert {video: files.count for video, files in frames.items()} == {
        "vA": 140, "vB": 140, "vC": 100
    }
    assert frames["vB"].path(139) == "/data/vB/vB_000140.png"


@needs_parity
def test_a_keyframe_past_the_last_frame_is_refused():
    frames = ava.read_frame_list(FOLDER / "val.csv")
    with pytest.raises(ValueError, match=(
        r"ava_val_predicted_boxes.csv:21: time 908 of vA lies outside its 140 frames, which span "
        r"900..904.633 s at 30 fps"
    )):
        ava.keyframes(read_split("val", 0.8), frames)


@needs_real
def test_real_rows():
    folder = REAL / "ava" / "rows_sample"
    moments = ava.read_boxes([folder / "ava_sample.csv"])
    assert moments["0f39OWEqJ24"][902.0].boxes["0.031,0.162,0.670,0.995"][1] == [11, 16, 78]
    assert ava.read_exclusions(folder / "ava_excluded_timestamps_sample.csv") == {
        ("0f39OWEqJ24", 903.0), ("_-Z6wFjXtGQ", 902.0)
    }
    labels = ava.read_label_map(REAL / "ava" / "ava_action_list_v2.1_for_activitynet_2018.pbtxt")
    assert len(labels) == 60 and labels[1].startswith("bend/bow") and max(labels) == 80


def test_annotations_listed_as_predictions(tmp_path, caplog):
    """The original's SHORT recipes do this: person 0 is below the threshold; other rows add
    nothing."""
    path = write(tmp_path, ROW, ROW.replace(",12,0", ",13,1").replace("0.1", "0.3"))
    with caplog.at_level(logging.WARNING):
        both = ava.read_boxes([path], [path])
        alone = ava.read_boxes(predicted=[path])
    assert both == ava.read_boxes([path])
    assert [list(m.boxes) for m in alone["vA"].values()] == [["0.3,0.2,0.5,0.6"]]
    assert "holds the numbers of persons, not scores" in caplog.records[0].message
    assert "rows whose number is below data.score_threshold are left out" in caplog.text


def test_scores_stay_with_their_boxes(tmp_path):
    annotated = write(tmp_path, ROW)
    predicted = write(
        tmp_path, ROW.replace(",12,0", ",,0.95"), ROW.replace("0.1", "0.3").replace(",12,0", ",,1"),
        ROW.replace("0.1", "0.4").replace(",12,0", ",,0.899"), name="predicted.csv",
    )
    sources = {"vA": FrameFiles("vA", 300, "{}.jpg")}
    (keyframe,) = ava.keyframes(ava.read_boxes([annotated], [predicted]), sources)
    assert keyframe.labels == ((11,), ()) and keyframe.scores.tolist() == [1.0, 1.0]
    (keyframe,) = ava.keyframes(ava.read_boxes(predicted=[predicted]), sources)
    np.testing.assert_array_equal(keyframe.scores, np.float32([0.95, 1]))
    assert keyframe.boxes.dtype == np.float32 and keyframe.boxes.shape == (2, 4)


def test_the_first_version_has_no_persons(tmp_path):
    moments = ava.read_boxes([write(tmp_path, "vA,0902,0.1,0.2,0.5,0.6,12\n")])
    assert moments["vA"][902.0].boxes["0.1,0.2,0.5,0.6"][1] == [11]


@pytest.mark.parametrize(("row", "reason"), [
    ("vA,0902,0.1,0.2,0.5\n", "5 columns in 'vA,0902,0.1,0.2,0.5'; expected video,time,x1"),
    ("vA 0902 0.1 0.2 0.5 0.6 12 0\n", "1 columns in"),
    (ROW.replace("0.2", "low"), "y1 is 'low'; expected a number"),
    (ROW.replace("0.2", "nan"), "y1 is 'nan'; expected a number"),
    (ROW.replace("0902", "9:02"), "time is '9:02'; expected a number"),
    (ROW.replace("0902", "0900"), r"time is '0900'; expected a whole second within 902..1798"),
    (ROW.replace("0902", "902.5"), r"time is '902.5'; expected a whole second within 902..1798"),
    (ROW.replace("0.5", "0.1"), "box 0.1,0.2,0.1,0.6 has no area; expected x1,y1,x2,y2 with"),
    (ROW.replace("0.6", "0.1"), "box 0.1,0.2,0.5,0.1 has no area"),
    (ROW.replace("0.6", "1.02"), r"box 0.1,0.2,0.5,1.02 reaches outside the frame; expected frac"),
    (ROW.replace("0.1", "-0.02"), "box -0.02,0.2,0.5,0.6 reaches outside the frame"),
    (ROW.replace(",12,", ",81,"), "action is '81'; expected one of 1..80, or nothing"),
    (ROW.replace(",12,", ",0,"), "action is '0'; expected one of 1..80"),
    (ROW.replace(",12,", ",sit,"), "action is 'sit'; expected one of 1..80"),
])
def test_bad_rows_are_refused(tmp_path, row, reason):
    path = write(tmp_path, ROW, "\n", row)
    with pytest.raises(ValueError, match=rf"boxes\.csv:3: {reason}"):
        ava.read_boxes([path])


@pytest.mark.parametrize(("row", "reason"), [
    (ROW.replace(",12,0", ",,95.3"), "score is 95.3; expected it within 0..1"),
    (ROW.replace(",12,0", ",,high"), "score is 'high'; expected a number"),
    (ROW.replace(",12,0", ",0.99"), "7 columns in"),
    ("vA,0902,32,20,120,200,,0.99\n", "box 32,20,120,200 reaches outside the frame"),
])
def test_bad_predicted_rows_are_refused(tmp_path, row, reason):
    path = write(tmp_path, ROW.replace(",12,0", ",,0.99"), row)
    with pytest.raises(ValueError, match=rf"boxes\.csv:2: {reason}"):
        ava.read_boxes(predicted=[path])


@pytest.mark.parametrize("predicted", [False, True])
def test_a_header_is_refused_and_all_bad_rows_are_named(tmp_path, predicted):
    row = ROW.replace(",12,0", ",12,0.99")
    header = "video_id,timestamp,x1,y1,x2,y2,action_id,score\n"
    path = write(tmp_path, header, row, row.replace("0902", "9:02"))
    with pytest.raises(ValueError) as error:
        ava.read_boxes(**{"predicted" if predicted else "annotated": [path]})
    first, second = str(error.value).splitlines()
    assert "boxes.csv:1: 'video_id,timestamp,x1,y1,x2,y2,action_id,score' is a header" in first
    assert "boxes.csv:3: time is '9:02'; expected a number" in second


def test_predicted_boxes_may_reach_a_little_outside(tmp_path):
    row = "vA,0902,-0.01,0.2,1.029,0.6,,0.99\n"
    moments = ava.read_boxes(predicted=[write(tmp_path, row)])
    assert moments["vA"][902.0].boxes["-0.01,0.2,1.029,0.6"][0] == (-0.01, 0.2, 1.029, 0.6)


def test_a_split_without_boxes_is_refused(tmp_path):
    low = write(tmp_path, ROW.replace(",12,0", ",,0.89"))
    with pytest.raises(ValueError, match=r"boxes.csv: no boxes left of 1 rows; .*reaches 0.9"):
        ava.read_boxes(predicted=[low])
    with pytest.raises(ValueError, match=r"no boxes left of 0 rows"):
        ava.read_boxes([write(tmp_path, "\n")])
    with pytest.raises(ValueError, match=r"no boxes left .* multiples of 4"):
        ava.read_boxes([write(tmp_path, ROW)], every=4)
    with pytest.raises(FileNotFoundError, match=r"none.csv: no such table of boxes"):
        ava.read_boxes([tmp_path / "none.csv"])
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"binary.csv: is not a csv file in UTF-8"):
        ava.read_boxes([tmp_path / "binary.csv"])


def test_invalid_files(tmp_path):
    with pytest.raises(ValueError, match=r"x.csv:1: 3 columns in 'vA,0902,1'; expected video,time"):
        ava.read_exclusions(write(tmp_path, "vA,0902,1\n", name="x.csv"))
    with pytest.raises(FileNotFoundError, match="no such label map"):
        ava.read_label_map(tmp_path / "none.pbtxt")
    with pytest.raises(ValueError, match="no items in it"):
        ava.read_label_map(write(tmp_path, "sit: 11\n", name="map.pbtxt"))
    item = 'item { name: "sit" id: 11 }\n'
    with pytest.raises(ValueError, match="the id 11 occurs twice"):
        ava.read_label_map(write(tmp_path, item, item, name="map.pbtxt"))
