"""The doctor on box tables of AVA and custom ones: valid tables, and every kind of problem."""

import csv
import pickle
import re

import numpy as np
import pytest

from data_pipelines.doctor import __main__ as doctor
from data_pipelines.doctor.boxes import recall
from data_pipelines.mini import datasets, own_boxes
from data_pipelines.sources import ava, box_tables
from data_pipelines.video.encoding import write_video
from tests.data_pipelines.conftest import numbered_frames

SMALL = {"seconds": 4, "fps": 10, "height": 32, "width": 48}
PREDICTED = "person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv"


@pytest.fixture
def run(command):
    return command(doctor.cli)


@pytest.fixture
def folder(tmp_path):
    """AVA with four videos and an example of each class."""
    datasets.write_ava(tmp_path / "ava", seed=1, train_videos=2, val_videos=2, **SMALL)
    annotations = tmp_path / "ava/annotations"
    evaluated = annotations / "ava_action_list_v2.2_for_activitynet_2019.pbtxt"
    used = [
        {row[6] for row in read(annotations / f"ava_{split}_v2.2.csv")}
        for split in ("train", "val")
    ]
    evaluated.write_text("".join(
        f'item {{\n  name: "action {number}"\n  id: {number}\n}}\n' for number in used[0] & used[1]
    ))
    return tmp_path / "ava"


def read(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def add(path, *rows):
    with open(path, "a") as file:
        file.writelines(f"{row}\n" for row in rows)


def kinds(lines):
    """The problems as sorted pairs (file name and line, kind)."""
    places = [re.fullmatch(r".*?([^/]+?): (.*?): .*", line) for line in lines]
    return sorted((place[1], place[2]) for place in places)


def test_valid_ava(folder, run):
    status, lines, table = run(folder)
    assert (status, lines) == (0, [])
    for expected in (
        r"ava_train_v2.2.csv: keyframes +4\n", r"ava_val_v2.2.csv: keyframes +4\n",
        r"val_boxes_and_labels.csv at these keyframes: boxes per keyframe +\d.\d\d\n",
        r"val_boxes_and_labels.csv at these keyframes: recall at IoU 0.5 +\d+.\d%\n",
        r"videos decoded +4\n", r"frames +160\n", "no problems found",
    ):
        assert re.search(expected, table), expected


def test_every_problem_of_ava(folder, run):
    annotations, videos = folder / "annotations", folder / "videos"
    path = annotations / "ava_val_v2.2.csv"
    number = len(read(path))
    first = ",".join(read(path)[0])
    row = "val_001,0902,0.1,0.2,0.5,0.6,1,0"
    add(
        path, first, row.replace("0.5", "320"), row.replace("0.5", "0.1"),
        row.replace(",1,", ",81,"), row.replace("0902", "901"),
        row.replace("val_001", "val_007"), row + ",1",
        row.replace("0902", "1700"),
    )
    add(annotations / PREDICTED, "val_001,0902,0.1,0.2,0.5,0.6,,1.5")
    (videos / "train_001.mp4").write_bytes(b"no video")
    status, lines, _ = run(folder, "--clean", folder / "clean")
    assert status == 1
    detected = len(read(annotations / PREDICTED))
    train = next(
        line for line, row in enumerate(read(annotations / "ava_train_v2.2.csv"), 1)
        if row[0] == "train_001"
    )
    found = kinds(lines)
    assert [each for each in found if each[0].startswith("ava_val")] == [
        (f"ava_val_v2.2.csv:{number + line}", kind) for line, kind in (
            (1, "duplicate"), (2, "invalid row"), (3, "invalid row"), (4, "invalid row"),
            (5, "invalid row"), (6, "missing"), (7, "invalid row"), (8, "outside"),
        )
    ]
    assert (f"ava_detection_val_boxes_and_labels.csv:{detected}", "invalid row") in found
    assert (f"ava_train_v2.2.csv:{train}", "broken") in found and len(found) == 10

    for name in ("ava_val_v2.2.csv", "ava_train_v2.2.csv", PREDICTED):
        rows = read(folder / "clean" / name)
        assert rows == [
            row for row in read(annotations / name)[: number if "ava_val" in name else None]
            if row[0] != "train_001" and row[7] != "1.5"
        ]
    assert len(ava.read_boxes([folder / "clean/ava_val_v2.2.csv"])) == 2
    (folder / "annotations").rename(folder / "before")
    (folder / "clean").rename(folder / "annotations")
    _, lines, table = run(folder)
    assert {kind for _, kind in kinds(lines)} <= {"classes without examples"}
    assert re.search(r"videos decoded +3\n", table)


def test_predicted_boxes_in_a_pickle(folder, run):
    annotations = folder / "annotations"
    boxes = {}
    for video, second, *box, _, score in read(annotations / PREDICTED):
        boxes.setdefault(f"{video},{second}", []).append([*map(float, box), float(score)])
    arrays = {key: np.array(rows) for key, rows in boxes.items()}
    (annotations / PREDICTED).unlink()
    path = annotations / "ava_dense_proposals_val.pkl"
    path.write_bytes(pickle.dumps(arrays))
    status, lines, _ = run(folder)
    assert (status, lines) == (0, [])
    some = arrays["val_000,0902"]
    path.write_bytes(pickle.dumps(arrays | {
        "val_009,0902": some, "val_001": some, "val_000,0903": some * [100, 100, 100, 100, 1]
    }))
    clean = folder / "clean"
    status, lines, _ = run(folder, "--clean", clean)
    assert status == 1
    assert sorted(kind for _, kind in kinds(lines)) == ["invalid row", "invalid row", "missing"]
    left = pickle.loads((clean / path.name).read_bytes())
    assert left.keys() == arrays.keys() - {"val_000,0903"}
    np.testing.assert_array_equal(left["val_000,0902"], some)


def test_predicted_boxes_of_low_recall(folder, run):
    path = folder / "annotations" / PREDICTED
    rows = [[*row[:2], row[3], row[2], row[5], row[4], *row[6:]] for row in read(path)]
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    status, lines, _ = run(folder, "--score-threshold", 0.5)
    (low,) = [line for line in lines if ": low recall: " in line]
    assert status == 1 and f"{path}: low recall: its boxes match " in low
    status, lines, _ = run(folder, "--score-threshold", 1)
    assert any("no boxes left" in line for line in lines)


def test_recall():
    def moments(*boxes):
        rows = [ava.Row("t.csv", 1, "v", 902.0, str(box), box, 0, 1.0) for box in boxes]
        return ava.collect(rows)

    truth = moments((0.0, 0.0, 0.4, 0.4), (0.5, 0.5, 1.0, 1.0))
    assert recall(truth, moments((0.0, 0.0, 0.4, 0.2), (0.0, 0.0, 0.1, 0.1))) == (1, 2)
    assert recall(truth, moments((0.0, 0.0, 0.4, 0.19))) == (0, 2)
    assert recall(truth, {}) == (0, 2)


def test_the_first_second_and_the_default_folder(folder, run):
    status, lines, _ = run(folder, "--first-second", 0)
    assert status == 1 and {kind for _, kind in kinds(lines)} == {"outside"}
    assert re.search(r"lie outside, the first at \S+ s \(\S+\.csv:\d+, ", lines[0])
    (folder / "videos").rename(folder / "frames")
    assert run(folder)[0] == 0  # found in the folder for frames


@pytest.fixture
def own(tmp_path):
    own_boxes.write_own(tmp_path / "own", seed=0, train_videos=2, test_videos=2, **SMALL)
    return tmp_path / "own"


def test_a_valid_custom_table(own, run):
    people = own / "people.csv"
    status, lines, table = run(own / "test.csv", "--predicted", people)
    assert (status, lines) == (0, [])
    assert re.search(r"people.csv at these keyframes: recall at IoU 0.5 +\d", table)
    names = own / "names.txt"
    names.write_text("\n".join([*box_tables.find_actions([own / "test.csv"]), "never"]))
    status, lines, _ = run(own / "test.csv", "--classes", names)
    assert status == 1 and "1 of " in lines[0] and "never;" in lines[0]


def test_problems_of_a_custom_table(own, run):
    path = own / "test.csv"
    number = len(read(path))
    good = read(path)
    row = "val_000,2,0.1,0.2,0.5,0.6,wave,1"
    add(
        path, *[row] * 2, row.replace("wave", "wvae").replace("0.1", "0.11"),
        *(row.replace("0.1", f"0.{n}") for n in (12, 13, 14)), "val_000,2,0.1",
        row.replace(",2,", ",soon,"), row.replace("val_000", "val_5.mp4"),
        row.replace(",2,", ",7,"), row.replace("val_000", "still"),
    )
    write_video(own / "videos/still.mp4", numbered_frames(30), fps=2)
    clean = own / "clean.csv"
    status, lines, _ = run(path, "--clean", clean)
    assert status == 1
    assert kinds(lines) == sorted([
        ("test.csv", "rare action"), *((f"test.csv:{number + line}", kind) for line, kind in (
            (2, "duplicate"), (7, "invalid row"), (8, "invalid row"), (9, "missing"),
            (10, "outside"), (11, "unusual rate"),
        )),
    ])
    assert any("'wvae' occurs in 1 box; if it is a misspelling of 'wave'" in line for line in lines)
    added = read(clean)[len(good):]
    assert read(clean)[: len(good)] == good
    assert [each[0] for each in added] == ["val_000"] * 5 + ["still"]
    assert box_tables.read_tables([clean], folder=own / "videos")


def test_a_table_with_another_header(own, run):
    path = own / "test.csv"
    path.write_text(path.read_text().replace("action", "what", 1))
    status, lines, _ = run(path)
    assert status == 1 and len(lines) == 1 and "expected the header" in lines[0]


@pytest.mark.parametrize("factor", [1, 320])  # fractions and pixels
def test_a_table_without_a_header(own, run, factor):
    message = "expected the first line video,time,x1,y1,x2,y2,action (AVA's"
    (own / "test.csv").unlink()
    rows = [f"val_000,{n},{0.1 * factor:g},{0.2 * factor:g},{factor},{factor},wave"
            for n in (1, 2)]
    for name, extra in (("train", [""]), ("test", ["", ",1"])):
        text = "".join(f"{row}{each}\n" for row in rows for each in extra)
        (own / f"{name}.csv").write_text(text)
    for data in (own / "train.csv", own / "test.csv", own):
        status, lines, _ = run(data)
        assert status == 1 and len(lines) == 1
        assert "without a header above it" in lines[0] and message in lines[0]


def test_lists_of_several_labels_are_no_boxes():
    for row in ("a.mp4 0,1,2,3,4,5", "a.mp4 3,2,5,8,9,9", "a.mp4,1", "1,2"):
        assert not doctor._is_box_row(row)


def test_actions_that_a_label_map_lacks(folder, own, run):
    names = own / "names.pbtxt"
    names.write_text('item { name: "walk" id: 1 } item { name: "run" id: 4 }')
    table = own / "test.csv"
    table.write_text("video,time,x1,y1,x2,y2,action\n" + "".join(
        f"val_000,{time},0.1,0.2,0.5,0.6,{action}\n" for time, action in ((1, 1), (1, 3), (2, 4))
    ))
    status, lines, _ = run(table, "--classes", names)
    assert status == 1 and len(lines) == 1
    assert "actions without names: the file of names lacks ids that occur: 3;" in lines[0]
    assert run(table)[0] == 0 and run(table, "--classes", 4)[0] == 1  # 2 has no example
    evaluated = folder / "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt"
    number = int(read(folder / "annotations/ava_val_v2.2.csv")[0][6])
    evaluated.write_text(evaluated.read_text().replace(f"id: {number}\n", "id: 99\n"))
    _, _, table = run(folder)
    assert re.search(rf"ava_val_v2.2.csv: actions that the label map lacks .*\b{number}\b", table)
