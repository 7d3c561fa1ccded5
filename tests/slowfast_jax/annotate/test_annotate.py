"""From videos to projects of VIA and CVAT, and back to our table."""

import csv
import itertools
import json
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from data_pipelines.prepare import cvat, via
from data_pipelines.sources.box_tables import read_tables
from data_pipelines.video.encoding import write_video
from slowfast_jax.annotate import __main__ as annotate
from slowfast_jax.detectors.detections import Detections, Detector
from tests.support.paths import REAL, needs_real

HEIGHT, WIDTH, FPS, SECONDS = 48, 96, 10, 4
SIZE = 12  # pixels of a person
FIRST, OTHER = (6, 70), 40  # left edges: of one who walks from the left, of one who stands
LATE = 1.5  # seconds at which the other comes


def frame(seconds):
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    lefts = [round(np.interp(seconds, (0, SECONDS), FIRST))]
    tops = [4, 30]
    if seconds >= LATE:
        lefts.append(OTHER)
    for left, top in zip(lefts, tops, strict=False):
        picture[top : top + SIZE, left : left + SIZE] = 255
    return picture


def find_bright(picture):
    """A detector of the squares: one in each half of the picture."""
    boxes = []
    for top in (0, 24):
        rows, columns = np.nonzero(picture[top : top + 24, :, 0] > 128)
        if len(rows):
            edges = columns.min(), top + rows.min(), columns.max() + 1, top + rows.max() + 1
            boxes.append(np.divide(edges, (WIDTH, HEIGHT, WIDTH, HEIGHT)))
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.9, np.float32)
    )


@pytest.fixture
def detector(monkeypatch):
    """Replaces the network; tests may change what it finds."""
    made = {"find": find_bright}
    monkeypatch.setattr(
        annotate, "load_detector",
        lambda spec, threshold: Detector(spec, lambda picture: made["find"](picture)),
    )
    return made


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    (folder / "day").mkdir(parents=True)
    frames = [frame(number / FPS) for number in range(SECONDS * FPS + 1)]
    write_video(folder / "a.mp4", frames, fps=FPS)
    write_video(folder / "day/b c.mkv", frames[:25], fps=FPS)
    return folder


def rows_of(table):
    with open(table, newline="") as file:
        return list(csv.DictReader(file))


def same_persons(table, expected):
    """Whether two tables have the same boxes and numbers of persons at the same times."""

    def key(row):
        return row["video"], float(row["time"]), row["person"]

    ours, theirs = (sorted(rows_of(path), key=key) for path in (table, expected))
    assert list(map(key, ours)) == list(map(key, theirs))
    corners = ("x1", "y1", "x2", "y2")
    values = [[[float(row[c]) for c in corners] for row in rows] for rows in (ours, theirs)]
    np.testing.assert_allclose(*values, atol=2e-4)  # CVAT has hundredths of a pixel
    return ours


def run(videos, out, *options):
    return annotate.cli([str(videos), str(out), *options])


def test_persons_are_followed(videos, tmp_path, detector, capsys):
    assert run(videos, tmp_path / "out") == 0
    assert "2 videos, 6 frames to label, 10 boxes\n" in capsys.readouterr().out
    rows = rows_of(tmp_path / "out/people.csv")
    assert [(row["video"], row["time"], row["person"]) for row in rows] == [
        ("a.mp4", "1.0", "1"), *(("a.mp4", t, p) for t in ("2.0", "3.0", "4.0") for p in "12"),
        ("day/b c.mkv", "1.0", "1"), ("day/b c.mkv", "2.0", "1"), ("day/b c.mkv", "2.0", "2"),
    ]
    expected = np.interp(2, (0, SECONDS), FIRST) / WIDTH
    assert float(rows[1]["x1"]) == pytest.approx(expected, abs=0.02)
    assert {row["score"] for row in rows} == {"0.9000"}


def test_via_and_back(videos, tmp_path, detector):
    out, table = tmp_path / "out", tmp_path / "train.csv"
    assert run(videos, out) == 0
    project = json.loads((out / "via.json").read_text())
    assert project["project"]["vid_list"] == ["1", "2"]
    prefix = project["config"]["file"]["loc_prefix"]["3"]
    assert prefix + project["file"]["2"]["src"] == (videos / "day/b c.mkv").as_uri()
    assert via.cli([str(out / "via.json"), str(videos), str(table)]) == 0
    assert all(row["action"] == "" for row in same_persons(table, out / "people.csv"))

    for region in project["metadata"].values():  # what a user does in VIA
        if region["av"]["3"] == "2":
            region["av"]["2"] = "sit, wave"
    (out / "via.json").write_text(json.dumps(project))
    table.unlink()
    assert via.cli([str(out / "via.json"), str(videos), str(table)]) == 0
    keyframes, names = read_tables([table], folder=videos)
    assert names == ["sit", "wave"]
    labels = {(k.video, k.time): k.labels for k in keyframes}
    assert labels["a", 1.0] == ((),) and labels["a", 3.0] == ((), (0, 1))


def test_cvat_and_back(videos, tmp_path, detector):
    out, table = tmp_path / "out", tmp_path / "train.csv"
    assert run(videos, out) == 0
    files = [str(out / "cvat/a.mp4.xml"), str(out / "cvat/day/b c.mkv.xml")]
    with pytest.raises(SystemExit):
        cvat.cli(files[:1])
    assert cvat.cli([*files, str(videos), str(table)]) == 0  # though CVAT knows no folders
    assert all(row["action"] == "" for row in same_persons(table, out / "people.csv"))

    table.unlink()
    tree = as_cvat_exports(ElementTree.parse(files[0]).getroot())
    for track in tree.iter("track"):
        for box in track:
            if (name := box.find("attribute[@name='action']")) is not None:
                name.text = "sit, wave" if track.get("id") == "1" else ""
    ElementTree.ElementTree(tree).write(files[0])
    assert cvat.cli([files[0], str(videos), str(table)]) == 0
    keyframes, names = read_tables([table], folder=videos)
    assert names == ["sit", "wave"]
    labels = {(k.video, k.time): k.labels for k in keyframes}
    assert labels["a", 1.0] == ((),) and labels["a", 3.0] == ((), (0, 1))


def test_who_is_absent_in_a_frame_is_absent_after_cvat(videos, tmp_path, detector):
    numbers = itertools.count()

    def find(picture):
        found = find_bright(picture)
        absent = 28 <= next(numbers) <= 32  # around 3 seconds
        return Detections(found.boxes[:1], found.scores[:1]) if absent else found

    detector["find"] = find
    out, table = tmp_path / "out", tmp_path / "train.csv"
    assert run(videos / "a.mp4", out) == 0
    present = [(row["time"], row["person"]) for row in rows_of(out / "people.csv")]
    assert [time for time, _ in present] == ["1.0", "2.0", "2.0", "3.0", "4.0", "4.0"]
    assert present[4:] == [("4.0", "1"), ("4.0", "2")]
    assert cvat.cli([str(out / "cvat/a.mp4.xml"), str(videos), str(table)]) == 0
    same_persons(table, out / "people.csv")


def test_the_task_is_as_cvat_demands(videos, tmp_path, detector):
    """What its importer and its editor of labels check (load_anno, validateParsedLabel)."""
    out = tmp_path / "out"
    assert run(videos / "a.mp4", out, "--actions", "wave,sit") == 0
    (label,) = json.loads((out / "cvat/labels.json").read_text())
    assert label["name"] == "person" and label["type"] == "rectangle"
    kinds = {}
    for each in label["attributes"]:
        assert isinstance(each["mutable"], bool) and 0 < len(each["name"]) <= 64
        assert each["values"] and all(isinstance(value, str) for value in each["values"])
        kinds[each["name"]] = each["input_type"]
    assert kinds == {"wave": "checkbox", "sit": "checkbox", "person": "text"}

    tracks = ElementTree.parse(out / "cvat/a.mp4.xml").getroot().findall("track")
    assert len(tracks) == 2
    for track in tracks:
        assert track.get("label") == label["name"] and len(track)
        frames = [int(box.get("frame")) for box in track]
        assert frames == sorted(set(frames)) and 0 <= frames[0] <= frames[-1] <= SECONDS * FPS
        for box in track:
            assert (box.tag, box.get("keyframe")) == ("box", "1")
            assert box.get("outside") in ("0", "1") and box.get("occluded") == "0"
            assert int(box.get("z_order")) == 0
            left, top, right, bottom = (float(box.get(edge)) for edge in cvat.EDGES)
            assert 0 <= left < right <= WIDTH and 0 <= top < bottom <= HEIGHT
            values = {each.get("name"): each.text for each in box}
            assert values.keys() == kinds.keys()
            assert {values["wave"], values["sit"]} <= {"true", "false"}


def as_cvat_exports(root):
    """Adds the boxes between those of a track, as CVAT does."""
    for track in root.iter("track"):
        boxes = list(track)
        for box, following in zip(boxes, boxes[1:], strict=False):
            first, last = int(box.get("frame")), int(following.get("frame"))
            for number in range(first + 1, last):
                between = ElementTree.fromstring(ElementTree.tostring(box))
                between.attrib |= {"frame": str(number), "keyframe": "0"}
                share = (number - first) / (last - first)
                for edge in cvat.EDGES:
                    ends = float(box.get(edge)), float(following.get(edge))
                    between.set(edge, f"{ends[0] + share * (ends[1] - ends[0]):.2f}")
                track.append(between)
    return root


def test_actions_to_choose_from(videos, tmp_path, detector):
    out, table = tmp_path / "out", tmp_path / "train.csv"
    assert run(videos / "a.mp4", out, "--actions", "wave, sit") == 0
    project = json.loads((out / "via.json").read_text())
    assert project["attribute"]["2"]["options"] == {"0": "wave", "1": "sit"}
    for region in project["metadata"].values():
        region["av"]["2"] = "0,1"
    (out / "via.json").write_text(json.dumps(project))
    assert via.cli([str(out / "via.json"), str(videos), str(table)]) == 0
    assert [row["action"] for row in rows_of(table)][:2] == ["wave", "sit"]

    (label,) = json.loads((out / "cvat/labels.json").read_text())
    assert [each["name"] for each in label["attributes"]] == ["wave", "sit", "person"]
    assert label["type"] == "rectangle"  # CVAT refuses labels without a type
    text = (out / "cvat/a.mp4.xml").read_text()
    text = text.replace('<attribute name="sit">false', '<attribute name="sit">true')
    (out / "cvat/a.mp4.xml").write_text(text)
    table.unlink()
    assert cvat.cli([str(out / "cvat/a.mp4.xml"), str(videos), str(table)]) == 0
    assert {row["action"] for row in rows_of(table)} == {"sit"}


def test_the_actions_may_be_in_a_file(videos, tmp_path, detector, capsys):
    (tmp_path / "names.txt").write_text("wave\nsit\n")
    options = "--actions", str(tmp_path / "names.txt"), "--every", "2"
    assert run(videos / "a.mp4", tmp_path / "out", *options) == 0
    assert "2 frames to label" in capsys.readouterr().out
    assert '"0": "wave"' in (tmp_path / "out/via.json").read_text()
    for wrong in ("a,,b", "a,a", "wave,Person", "a" * 65):
        assert run(videos, tmp_path / "other", "--actions", wrong) == 2
        assert f"error: --actions {wrong!r}: expected" in capsys.readouterr().err


def test_frames_near_the_ends_may_be_left_out(videos, tmp_path, detector, capsys):
    assert run(videos, tmp_path / "out", "--margin", "1.5") == 0
    rows = rows_of(tmp_path / "out/people.csv")
    times = {(row["video"], row["time"]) for row in rows}
    assert times == {("a.mp4", "2.0"), ("day/b c.mkv", "1.2")}  # the middle of the short one
    with pytest.raises(SystemExit):
        run(videos, tmp_path / "other", "--margin", "-1")
    assert "expected 0 or a larger number" in capsys.readouterr().err


def test_short_videos_are_labeled_in_the_middle(videos, tmp_path, detector):
    write_video(tmp_path / "short.mp4", [frame(0.5)] * 7, fps=FPS)
    assert run(tmp_path / "short.mp4", tmp_path / "out") == 0
    assert [row["time"] for row in rows_of(tmp_path / "out/people.csv")] == ["0.3"]
    table = tmp_path / "a.csv"
    arguments = [str(tmp_path / "out/cvat/short.mp4.xml"), str(tmp_path), str(table)]
    assert cvat.cli(arguments) == 0
    same_persons(table, tmp_path / "out/people.csv")


def test_what_exists_is_refused_before_the_work(videos, tmp_path, detector, capsys):
    detector["find"] = lambda picture: pytest.fail("work began")
    out = tmp_path / "out"
    for name in ("via.json", "cvat", "people.csv"):
        (out / name).mkdir(parents=True)
        assert run(videos, out) == 2
        assert f"{out / name}: exists already and may have your lab" in capsys.readouterr().err
        (out / name).rmdir()
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file/out"):
        assert run(videos, place) == 2
        assert "not a folder; choose another folder" in capsys.readouterr().err
    assert list(out.iterdir()) == []
    if sys.platform == "linux":  # where nobody may write, not even root
        assert run(videos, "/proc/out") == 2
        assert "/proc cannot be written to" in capsys.readouterr().err


def test_wrong_videos(videos, tmp_path, detector, capsys):
    out = tmp_path / "out"
    assert run(tmp_path / "none", out) == 2
    assert "none: no such folder of videos" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", out) == 2
    assert "contains no videos" in capsys.readouterr().err
    (videos / "a.avi").write_bytes(b"")
    assert run(videos, out) == 2
    assert "a.mp4: has the name of a.avi but for the suffix" in capsys.readouterr().err
    (videos / "a.avi").rename(videos / "bad.avi")
    assert run(videos, out) == 1  # the others are written
    captured = capsys.readouterr()
    assert "bad.avi: broken" in captured.out and "2 videos, 6 frames" in captured.out
    assert run(videos / "bad.avi", tmp_path / "other") == 2
    assert "no video can be read" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_no_persons(videos, tmp_path, detector, capsys):
    detector["find"] = lambda picture: Detections(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    )
    assert run(videos / "a.mp4", tmp_path / "out") == 0
    assert f"warning: {videos / 'a.mp4'}: nobody was found" in capsys.readouterr().err
    assert json.loads((tmp_path / "out/via.json").read_text())["metadata"] == {}


def test_an_interrupted_command_keeps_whole_videos(videos, tmp_path, detector):
    pictures = iter(range(1000))

    def find(picture):
        if next(pictures) > SECONDS * FPS + 1:
            raise KeyboardInterrupt
        return find_bright(picture)

    detector["find"] = find
    assert run(videos, tmp_path / "out") == 130
    assert {row["video"] for row in rows_of(tmp_path / "out/people.csv")} == {"a.mp4"}


def test_a_detector_that_cannot_be_loaded(videos, tmp_path, capsys):
    assert run(videos, tmp_path / "out", "--detector", "none.onnx") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: detector 'none.onnx'") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit):
        run(videos, tmp_path / "out", "--threshold", "50")


def test_without_the_extra_one_sentence_names_it(videos, tmp_path, detector, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "trackers", None)
    assert run(videos, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "install the extra demo" in error and error.count("\n") == 1


@pytest.mark.slow
@needs_real
def test_two_persons_of_a_real_video_keep_their_numbers(tmp_path):
    network = str(REAL / "detector/yolox_nano_coco.onnx")
    video = REAL / "videos/mmaction2_demo_skeleton.mp4"
    assert run(video, tmp_path / "out", "--detector", network) == 0
    rows = rows_of(tmp_path / "out/people.csv")
    times = {row["time"] for row in rows}
    assert {row["person"] for row in rows} == {"1", "2"} and len(rows) == 2 * len(times)
