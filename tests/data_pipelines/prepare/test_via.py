"""Conversion of VIA 3 projects: every kind of attribute, and errors in projects and regions."""

import copy
import json

import numpy as np
import pytest
from PIL import Image

from data_pipelines.prepare import via
from data_pipelines.sources.box_tables import read_tables
from data_pipelines.video.encoding import write_video

PROJECT = {
    "project": {"pid": "__VIA_PROJECT_ID__", "vid_list": ["1", "2"]},
    "attribute": {
        "1": {"aname": "TEMPORAL-SEGMENTS", "anchor_id": "FILE1_Z2_XY0", "type": 4, "options": {}},
        "2": {
            "aname": "pose", "anchor_id": "FILE1_Z1_XY1", "type": 3,
            "options": {"0": "sit", "1": "stand, still"}, "default_option_id": "0",
        },
        "3": {
            "aname": "other", "anchor_id": "FILE1_Z1_XY1", "type": 2,
            "options": {"0": "wave", "1": "talk", "2": "sit"},
        },
        "4": {"aname": "notes", "anchor_id": "FILE1_Z1_XY1", "type": 1, "options": {}},
        "5": {"aname": "Person", "anchor_id": "FILE1_Z1_XY1", "type": 1, "options": {}},
    },
    "file": {
        "1": {"fid": "1", "fname": "a.mp4", "type": 4, "loc": 1, "src": ""},
        "2": {"fid": 2, "fname": "http://videos.org/day1/b.mkv", "type": 4, "loc": 2},
        "3": {"fid": 3, "fname": "c.mp4", "type": 4, "loc": 1},
    },
    "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": [2]}, "3": {"fid_list": [3]}},
    "metadata": {
        "1_a": {"vid": "1", "flg": 0, "z": [1.5], "xy": [2, 6.4, 12, 32, 24],
                "av": {"2": "1", "3": "0,1", "4": "run , wave,", "5": "7"}},
        "1_b": {"vid": "1", "flg": 0, "z": [1.5], "xy": [2, 0, 0, 64, 48], "av": {"3": ""}},
        "1_c": {"vid": "1", "flg": 0, "z": [0.2, 1.7], "xy": [], "av": {"1": "_DEFAULT"}},
        "2_d": {"vid": "2", "flg": 0, "z": [0], "xy": [2, 6.4, 12, 32.001, 24.002], "av": {}},
    },
}
TABLE = """video,time,x1,y1,x2,y2,action,person
a.mp4,1.5,0.100000,0.250000,0.600000,0.750000,"stand, still",7
a.mp4,1.5,0.100000,0.250000,0.600000,0.750000,wave,7
a.mp4,1.5,0.100000,0.250000,0.600000,0.750000,talk,7
a.mp4,1.5,0.100000,0.250000,0.600000,0.750000,run,7
a.mp4,1.5,0.000000,0.000000,1.000000,1.000000,,
b.mkv,0.0,0.100000,0.250000,0.600016,0.750042,,
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name in ("a.mp4", "b.mkv"):
        write_video(folder / name, [np.full((48, 64, 3), 90, np.uint8)] * 60)
    (folder / "c.mp4").write_bytes(b"no video")
    return folder


def run(tmp_path, videos, project) -> int:
    text = project if isinstance(project, str) else json.dumps(project)
    (tmp_path / "via.json").write_text(text)
    return via.cli([str(tmp_path / "via.json"), str(videos), str(tmp_path / "out.csv")])


def test_a_project(tmp_path, videos, capsys):
    assert run(tmp_path, videos, PROJECT) == 0
    assert (tmp_path / "out.csv").read_text() == TABLE
    out, err = capsys.readouterr()
    assert out == f"{tmp_path}/out.csv: 6 rows\n"
    assert err == "warning: segments of time without a box skipped: 1\n"
    keyframes, names = read_tables([tmp_path / "out.csv"], folder=videos)
    assert names == ["run", "stand, still", "talk", "wave"]
    assert [(k.video, k.time, k.labels) for k in keyframes] == [
        ("a", 1.5, ((1, 3, 2, 0), ())), ("b", 0.0, ((),))
    ]


def test_an_edited_table_is_kept(tmp_path, videos, capsys):
    table = tmp_path / "out.csv"
    assert run(tmp_path, videos, PROJECT) == run(tmp_path, videos, PROJECT) == 0
    edited = TABLE.replace("wave", "waves")
    table.write_text(edited)
    capsys.readouterr()
    assert run(tmp_path, videos, PROJECT) == 1
    assert f"error: {table}: exists already with other rows" in capsys.readouterr().err
    assert table.read_text() == edited
    table.write_bytes(b"\xff")
    assert run(tmp_path, videos, PROJECT) == 1 and table.read_bytes() == b"\xff"


def test_without_persons_the_table_has_no_person_column(tmp_path, videos):
    project = copy.deepcopy(PROJECT)
    del project["metadata"]["1_a"]["av"]["5"], project["metadata"]["1_c"]
    assert run(tmp_path, videos, project) == 0
    table = (tmp_path / "out.csv").read_text().splitlines()
    assert table[0] == "video,time,x1,y1,x2,y2,action" and table[2].endswith(",wave")


def changed(**fields):
    """PROJECT with these fields of region 1_a changed."""
    project = copy.deepcopy(PROJECT)
    project["metadata"]["1_a"] |= fields
    return project


def with_file(entry):
    """PROJECT with another entry of its first file."""
    return PROJECT | {"file": PROJECT["file"] | {"1": entry}}


@pytest.mark.parametrize(("project", "reason"), [
    ("# Exported using VGG Image Annotator\n", ":1: not JSON (Expecting value); expected a p"),
    ("[]", ": holds a list; expected a project saved by VIA 3 or VIA 2, a"),
    ({"_via_settings": {}, "_via_img_metadata": {}}, ": has no regions; expected rectangles"),
    ({"_via_img_metadata": [1]}, ": _via_img_metadata is [1]; expected pictures by name"),
    ({"_via_img_metadata": {"a": 5}}, ":'a': found 5; expected filename and regions"),
    ({"pid": 1}, ": lacks the part 'file' of a project"),
    (PROJECT | {"metadata": ["1_a"]}, ": lacks the part 'metadata' of a project"),
    (PROJECT | {"metadata": {}}, ": has no regions; expected rectangles"),
    (changed(z=[-1]), ":1_a: rectangle at -1 s lies outside a.mp4, which lasts 2.00 s; draw it"),
    (changed(z=[100]), ":1_a: rectangle at 100 s lies outside a.mp4, which lasts 2.00 s"),
    (changed(xy=[3, 1, 2, 3]), ":1_a: region circle at 1.5; expected a rectangle: draw it again"),
    (changed(xy=[8, 1, 2, 3, 4, 5, 6, 7, 8]), ":1_a: region extreme rectangle at 1.5; expected a"),
    (changed(xy=[2, 1, 2]), ":1_a: region rectangle at 1.5; expected a rectangle"),
    (changed(xy=["2", 1, 2, 3, 4]), ":1_a: region ['2', 1, 2, 3, 4] at 1.5; expected a rectangle"),
    (changed(xy=[2, 1, None, 3, 4]), ":1_a: xy is 'None'; expected a number"),
    (changed(xy=[2, 1, 2, 0, 4]), ":1_a: box 0.015625,0.041667,0.015625,0.125000 has no area"),
    (changed(xy=[2, 1, 2, 100, 4]), ":1_a: box 0.015625,0.041667,1.578125,0.125000 reaches outsi"),
    (changed(xy="12345"), ":1_a: region '12345' at 1.5; expected a rectangle"),
    (changed(xy=[2, 1, 10**400, 3, 4]), ":1_a: xy is '1000"),
    (changed(z=3), ":1_a: rectangle at 0 times; expected it"),
    (changed(z=[[1]]), ":1_a: time is '[1]'; expected a number"),
    (changed(av=["3"]), ":1_a: attributes ['3']; expected a dictionary"),
    (changed(av={"4": "\ud800"}), ": a name cannot be written as UTF-8"),
    ("[" * 99_999, ": this JSON cannot be parsed"),
    (PROJECT | {"view": {"1": {"fid_list": 1}}}, ":1_a: view '1' shows 0 files; expected one"),
    (with_file({"fname": "a" * 9999}), ":1_a: video 'aaaa"),
    (with_file({"fname": ["a"]}), ":1_a: video \"['a']\" not found in"),
    (changed(z=[]), ":1_a: rectangle at 0 times; expected it in one frame of a video"),
    (changed(z=["0:01"]), ":1_a: time is '0:01'; expected a number"),
    (changed(av={"9": "x"}), ":1_a: attribute '9' is not defined in the project; expected one of"),
    (changed(av={"3": "0,7"}), ":1_a: option '7' of 'other'; expected one of 0, 1, 2"),
    (changed(vid="9"), ":1_a: view '9' shows 0 files; expected one video"),
    (PROJECT | {"view": {"1": {"fid_list": [1, 2]}}}, ":1_a: view '1' shows 2 files; expected one"),
    (with_file({"fname": "z.mp4"}), ":1_a: video 'z.mp4' not found in "),
    (changed(vid="3"), "c.mp4: cannot be opened"),
])
def test_invalid_projects_are_refused(tmp_path, videos, capsys, project, reason):
    assert run(tmp_path, videos, project) == 1
    error = capsys.readouterr().err
    assert reason in error and error.startswith("error: ")
    assert ("via.json" in error) == (reason[0] == ":") and not (tmp_path / "out.csv").exists()


def test_missing_files_are_reported(tmp_path, videos, capsys):
    assert via.cli([str(tmp_path / "none.json"), str(videos), str(tmp_path / "out.csv")]) == 1
    assert "none.json: no such project of VIA" in capsys.readouterr().err
    assert run(tmp_path, tmp_path / "none", PROJECT) == 1
    assert "none: no such folder of videos" in capsys.readouterr().err


def pictures(*names):
    """A project of VIA 3 with a rectangle in each picture."""
    return {
        "project": {"pid": "a"}, "config": {},
        "attribute": {"1": {"aname": "act", "type": 2, "options": {"0": "sit", "1": "run"}}},
        "file": {f"{i}": {"fid": i, "fname": name, "type": 2} for i, name in enumerate(names)},
        "view": {f"{i}": {"fid_list": [f"{i}"]} for i in range(len(names))},
        "metadata": {
            f"{i}_a": {"vid": f"{i}", "z": [], "xy": [2, 6.4, 12, 32, 24], "av": {"1": "0,1"}}
            for i in range(len(names))
        },
    }


def via2(*names, project=True):
    """A project of VIA 2, or its export, with a rectangle in each picture."""
    shape = {"name": "rect", "x": 6.4, "y": 12, "width": 32, "height": 24}
    content = {
        f"{name}99": {"filename": name, "size": 99, "file_attributes": {}, "regions": [{
            "shape_attributes": shape,
            "region_attributes": {"act": {"sit": True, "run": True, "no": False}},
        }]} for name in names
    }
    return {"_via_settings": {}, "_via_img_metadata": content, "_via_attributes": {}} if (
        project
    ) else content


@pytest.mark.parametrize("make", [pictures, via2, lambda *names: via2(*names, project=False)])
@pytest.mark.parametrize(("names", "times"), [
    (("a_000001.jpg", "a_000031.jpg"), (0, 1)), (("a_00000.PNG", "a_00030.PNG"), (0, 1)),
    (("a/img_00016.jpg", "a/img_00031.jpg"), (0.5, 1)), (("x/a-000031.jpg",), (1,)),
    (("a/000031.jpg",), (1,)), (("C:\\data\\a_31.jpeg",), (1,)), (("a.mp4_000031.jpg",), (1,)),
    (("a_frame_31.jpg",), (1,)), (("b/frame31.bmp", "a_1.jpg"), (1, 0)),
])
def test_projects_of_pictures(tmp_path, videos, capsys, make, names, times):
    assert run(tmp_path, videos, make(*names)) == 0
    keyframes, actions = read_tables([tmp_path / "out.csv"], folder=videos)
    assert actions == ["run", "sit"]
    found = [(k.video, k.time) for k in sorted(keyframes, key=lambda k: (k.video == "a", k.time))]
    videos_of = ["b" if name[0] == "b" else "a" for name in names]
    assert found == sorted(zip(videos_of, times, strict=True), key=lambda p: (p[0] == "a", p[1]))
    np.testing.assert_allclose(keyframes[0].boxes, [[0.1, 0.25, 0.6, 0.75]], atol=1e-6)
    assert sorted(keyframes[0].labels[0]) == [0, 1]
    assert "are taken as numbered at 30 fps" in capsys.readouterr().err


def test_rates_of_pictures(tmp_path, capsys):
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "a.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 30, fps=15)

    def times(*arguments, names=("a_000001.jpg", "a_000016.jpg")):
        (tmp_path / "via.json").write_text(json.dumps(pictures(*names)))
        (tmp_path / "out.csv").unlink(missing_ok=True)
        status = via.cli([
            str(tmp_path / "via.json"), str(folder), str(tmp_path / "out.csv"), *arguments
        ])
        if status:
            return capsys.readouterr().err
        return [k.time for k in read_tables([tmp_path / "out.csv"], folder=folder)[0]]

    assert times() == [0, 1]  # at the rate of the video
    assert "numbered at 15 fps; if they were extracted at another" in capsys.readouterr().err
    assert times("--fps", "30") == [0, 0.5]
    assert capsys.readouterr().err == ""
    assert times(names=("a_000001.jpg", "a_000031.jpg")) == [0, 1]  # 30 fps: at 15 it has ended
    assert "a_000099.jpg' lies beyond the end of a.mp4" in times(names=("a_000099.jpg",))
    assert times("--fps", "100", names=("a_000099.jpg",)) == [0.98]
    with pytest.raises(SystemExit):
        times("--fps", "0")


def test_sizes_of_pictures(tmp_path, videos):
    """Boxes are fractions of the picture, which may be smaller than the video."""
    Image.new("RGB", (128, 96)).save(tmp_path / "a_000031.jpg")
    assert run(tmp_path, videos, pictures("a_000031.jpg")) == 0
    assert ",0.050000,0.125000,0.300000,0.375000," in (tmp_path / "out.csv").read_text()


def test_pictures_of_folders_of_frames(tmp_path):
    folder = tmp_path / "videos"
    (folder / "v").mkdir(parents=True)
    for number in range(1, 91):
        Image.new("RGB", (64, 48)).save(folder / f"v/v_{number:06d}.jpg")
    assert run(tmp_path, folder, pictures("v_000061.jpg")) == 0
    (keyframe,), _ = read_tables([tmp_path / "out.csv"], folder=folder, fps=30)
    assert (keyframe.video, keyframe.time) == ("v", 2)


@pytest.mark.parametrize("make", [pictures, via2])
@pytest.mark.parametrize(("name", "reason"), [
    ("a.jpg", "picture 'a.jpg' has no number; expected names of video and frame, such as"),
    ("z_000031.jpg", "picture 'z_000031.jpg': no video 'z' or 'z_' in "),
    ("a_000061.jpg", "picture 'a_000061.jpg' lies beyond the end of a.mp4"),
    ("31.jpg", "picture '31.jpg': no video 31.jpg in "),
])
def test_pictures_of_no_frame(tmp_path, videos, capsys, make, name, reason):
    assert run(tmp_path, videos, make(name)) == 1
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1


def test_shapes_of_via2(tmp_path, videos, capsys):
    project = via2("a_000001.jpg")
    (picture,) = project["_via_img_metadata"].values()
    region = picture["regions"][0]
    region["region_attributes"] = {"act": "sit, run", "person": "7"}
    assert run(tmp_path, videos, project) == 0
    assert [line.split(",")[-2:] for line in (tmp_path / "out.csv").read_text().split()[1:]] == [
        ["sit", "7"], ["run", "7"]
    ]
    (tmp_path / "out.csv").unlink()
    region["shape_attributes"] = {"name": "circle", "cx": 1, "cy": 2, "r": 3}
    assert run(tmp_path, videos, project) == 1
    assert "a_000001.jpg, region 1: region circle at no time; expected a rectangle" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(("attribute", "value", "ends"), [
    ({"aname": "Person ID", "type": 1, "options": {}}, "3", ["sit,3"]),
    ({"aname": "person_id", "type": 1}, "3", ["sit,3"]),
    ({"aname": "act", "type": 2, "options": ["wave", "run"]}, "1", ["sit", "run"]),
    ({"aname": "act", "type": 2, "options": {"0": "wave", "1": "run"}}, ["0", "1"],
     ["sit", "wave", "run"]),
    ({"aname": "act", "type": 1, "options": {"": ""}}, "walk", ["sit", "walk"]),
    ({"aname": "act", "type": 2, "options": {"": ""}}, "walk", ["sit", "walk"]),
])
def test_attributes_as_versions_of_via3_write_them(tmp_path, videos, attribute, value, ends):
    project = copy.deepcopy(PROJECT)
    project["attribute"]["9"] = attribute
    project["metadata"] = {"1_a": project["metadata"]["1_a"] | {"av": {"2": "0", "9": value}}}
    assert run(tmp_path, videos, project) == 0
    rows = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert [row.split(",", 6)[6] for row in rows] == ends


@pytest.mark.parametrize(("defined", "values", "result"), [
    ({"type": "dropdown", "options": {"1": "sit", "2": "sit, down"}}, ["1", "2", ""],
     ["sit", '"sit, down"', ""]),
    ({"type": "radio", "options": {"sit": "", "r": "run"}}, ["sit", "r"], ["sit", "run"]),
    ({"type": "checkbox", "options": {"1": "sit", "2": "run"}}, [{"1": True, "2": True}, {}],
     ["sit", "run", ""]),
    ({"type": "text"}, ["1", "sit"], ["1", "sit"]),
    ({"type": "dropdown", "options": {"1": "sit"}}, ["run"],
     "option 'run' of 'act'; expected one of 1"),
    ({}, [{"sit": True}, "run"],
     "attribute 'act' is 'run' here, but a choice of options in other regions; give it one type"),
    ({}, ["run", {"sit": True}], "attribute 'act' is {'sit': True} here, but a text in other"),
])
def test_attributes_of_via2(tmp_path, videos, capsys, defined, values, result):
    project = via2("a_000001.jpg")
    project["_via_attributes"] = {"region": {"act": defined}}
    (picture,) = project["_via_img_metadata"].values()
    picture["regions"] = [
        picture["regions"][0] | {"region_attributes": {"act": value}} for value in values
    ]
    status = run(tmp_path, videos, project)
    if isinstance(result, str):
        assert status == 1 and f"a_000001.jpg99': {result}" in capsys.readouterr().err
    else:
        rows = (tmp_path / "out.csv").read_text().splitlines()[1:]
        assert [row.split(",", 6)[6] for row in rows] == result
