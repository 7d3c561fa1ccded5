"""Conversion of CVAT's annotations: tasks and projects, and errors in files and tracks."""

import zipfile

import numpy as np
import pytest

from data_pipelines.prepare import cvat, via
from data_pipelines.video.encoding import write_video

TASK = """<task><id>{id}</id><size>60</size><mode>interpolation</mode>
<original_size><width>64</width><height>48</height></original_size><source>{source}</source></task>
"""
BOX = (
    '<box frame="{frame}" keyframe="{keyframe}" outside="{outside}" occluded="0" '
    'xtl="{x}" ytl="12.00" xbr="48.00" ybr="36.00" z_order="0">'
)
TABLE = """video,time,x1,y1,x2,y2,action,person
a.mp4,1.0,0.100000,0.250000,0.750000,0.750000,wave,1
a.mp4,1.0,0.100000,0.250000,0.750000,0.750000,sit,1
a.mp4,1.0,0.200000,0.250000,0.750000,0.750000,,7
"""


def box(frame, x=6.4, outside=0, keyframe=1, **attributes):
    inner = "".join(
        f'<attribute name="{name}">{value}</attribute>' for name, value in attributes.items()
    )
    return BOX.format(frame=frame, x=x, outside=outside, keyframe=keyframe) + inner + "</box>"


def track(*boxes, number=0, label="person", more=""):
    return f'<track id="{number}" label="{label}" {more}>{"".join(boxes)}</track>'


A_TASK = TASK.format(id=5, source="a.mp4")
A_JOB = """<job><id>9</id><mode>interpolation</mode></job>
<original_size><width>64</width><height>48</height></original_size>"""


def document(*tracks, meta=A_TASK):
    return f"<annotations><version>1.1</version><meta>{meta}</meta>{''.join(tracks)}</annotations>"


FIRST = track(box(0), box(30, action=" wave, sit,wave"), box(31, outside=1))
SECOND = track(box(20, x=9.6, person=7), box(40, x=16, person=7), number=1)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "a.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 50)
    (folder / "c.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture
def run(tmp_path, videos):
    def run(text, *options):
        (tmp_path / "a.xml").write_text(text)
        arguments = tmp_path / "a.xml", videos, tmp_path / "out.csv"
        return cvat.cli([*map(str, arguments), *options])

    return run


def test_a_task(run, tmp_path, capsys):
    assert run(document(FIRST, track(box(3), label="dog"), SECOND)) == 0
    assert (tmp_path / "out.csv").read_text() == TABLE  # the second box lies between two others
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path}/out.csv: 3 rows\n"
    assert captured.err == "warning: tracks of other labels than person left out: dog\n"


def test_an_archive_and_two_files(tmp_path, videos, run):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("annotations.xml", document(FIRST))
    other = TASK.format(id=9, source="folder/a.mp4")
    (tmp_path / "b.xml").write_text(document(SECOND, meta=other))
    files = tmp_path / "a.zip", tmp_path / "b.xml", videos, tmp_path / "out.csv"
    assert cvat.cli(list(map(str, files))) == 0
    assert (tmp_path / "out.csv").read_text() == TABLE


def test_a_project_of_several_tasks(tmp_path, videos, run):
    write_video(videos / "b.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 31)
    tasks = TASK.format(id=5, source="a.mp4") + TASK.format(id=6, source="b.mp4")
    text = document(
        track(box(0), more='task_id="6"'), track(box(0), more='task_id="5"', number=1),
        meta=f"<project><id>1</id><tasks>{tasks}</tasks></project>",
    )
    assert run(text) == 0
    rows = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert [(row[:5], row[-1]) for row in rows] == [("a.mp4", "1"), ("b.mp4", "1")]


def test_tracks_without_a_person_get_the_numbers_that_are_left(run, tmp_path):
    numbered = [track(box(0, person=each), number=n) for n, each in enumerate((3, 1))]
    assert run(document(*numbered, track(box(0), number=2), track(box(0), number=3))) == 0
    rows = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert [row.rsplit(",", 1)[1] for row in rows] == ["3", "1", "2", "4"]


def test_the_interval(run, tmp_path):
    assert run(document(FIRST), "--every", "0.5") == 0
    rows = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == ["0.5", "1.0", "1.0"]
    with pytest.raises(SystemExit):
        run(document(FIRST), "--every", "0")


def test_boxes_that_hang_over_the_edge_are_cut(run, tmp_path):
    assert run(document(track(box(30, x=-3)))) == 0
    assert ",0.000000,0.250000,0.750000,0.750000,," in (tmp_path / "out.csv").read_text()


@pytest.mark.parametrize(("text", "reason"), [
    ("", ": cannot be read (no element found"),
    ("<annotations>", ": cannot be read (no element found"),
    ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotations/>", ": cannot be read (it defines entities)"),
    ("<html/>", ": holds <html>, not <annotations>; expected annotations that CVAT exported"),
    ("<annotations><image id='0'/></annotations>", ': holds pictures ("CVAT for images 1.1")'),
    ("<annotations/>", ": names no video; expected annotations that CVAT exported"),
    (document(FIRST, meta=A_JOB), ": holds a job, which does not name its video; export the task"),
    (document(meta="<task><source>a.mp4</source></task>"), ":meta: width is ''; expected a num"),
    (document(meta=TASK.format(id=1, source="a.mp4").replace("64", "0")), ": original_size is 0"),
    (document(), ": no boxes of the label 'person' in frames every 1 s"),
    (document(track(box(30), label="dog")), "every 1 s; left out were tracks of dog"),
    (document(track(box(30, outside=1))), ": no boxes of the label"),
    (document(FIRST, meta=TASK.format(id=5, source="z.mp4")), ": video 'z.mp4' not found in "),
    (document(track(box(30), more='task_id="9"')), ":track 0: its task '9' is not in the file"),
    (document(track(box("x"))), ":track 0:frame: frame is 'x'; expected a number"),
    (document(track(box(30, x="y"))), ":track 0:frame 30: xtl is 'y'; expected a number"),
    (document(track(box(30, x=48))), ":track 0:frame 30: box 0.750000,0.250000,0.750000,0.750000"),
    (document(track("<polygon frame='3'/>")), ":track 0:frame 3: polygon; expected an upright"),
    (document(track(box(3).replace("z_order", "rotation='20' z_order"))), "3: rotated box; exp"),
    (document(track(box(3).replace("z_order", "rotation='x' z_order"))), "rotation is 'x'; expec"),
])
def test_invalid_files_are_refused(run, tmp_path, capsys, text, reason):
    assert run(text) == 1
    error = capsys.readouterr().err
    assert reason in error and error.startswith("error: ") and error.count("\n") == 1
    assert "a.xml" in error and not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("tool", [via, cvat])
def test_a_table_that_cannot_be_written_is_refused_before_the_work(tool, tmp_path, videos, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "a.xml").write_text("not read")
    for table, reason in (
        (tmp_path, "is a folder; expected a .csv file to write"),
        (tmp_path / "file/out.csv", "file: is not a folder; choose another"),
    ):
        assert tool.cli([str(tmp_path / "a.xml"), str(videos), str(table)]) == 1
        assert reason in capsys.readouterr().err


def test_videos_in_subfolders(tmp_path, videos, run, capsys):
    places = [tmp_path / "films" / name for name in ("a", "b")]
    for place in places:
        place.mkdir(parents=True)
    (places[1] / "a.mp4").symlink_to(videos / "a.mp4")
    assert run(document(FIRST)) == 0
    arguments = tmp_path / "a.xml", tmp_path / "films", tmp_path / "other.csv"
    assert cvat.cli(list(map(str, arguments))) == 0
    rows = (tmp_path / "out.csv").read_text().replace("a.mp4", "b/a.mp4")
    assert (tmp_path / "other.csv").read_text() == rows
    (places[0] / "a.mp4").symlink_to(videos / "a.mp4")
    assert cvat.cli(list(map(str, arguments))) == 1
    assert "films as a/a.mp4, b/a.mp4; leave one of them there" in capsys.readouterr().err


def test_missing_files_and_broken_videos(tmp_path, videos, run, capsys):
    out = str(tmp_path / "out.csv")
    assert cvat.cli([str(tmp_path / "none.xml"), str(videos), out]) == 1
    assert "none.xml: no such file of annotations" in capsys.readouterr().err
    assert cvat.cli([str(tmp_path / "none.xml"), str(tmp_path / "none"), out]) == 1
    assert "none: no such folder of videos" in capsys.readouterr().err
    assert run(document(FIRST, meta=TASK.format(id=5, source="c.mp4"))) == 1
    assert "c.mp4: cannot be opened" in capsys.readouterr().err
    (tmp_path / "b.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    assert cvat.cli([str(tmp_path / "b.zip"), str(videos), out]) == 1
    assert "b.zip: cannot be read" in capsys.readouterr().err
