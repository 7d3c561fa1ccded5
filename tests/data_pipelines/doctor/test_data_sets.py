"""The doctor on folders: of lists, of tables of boxes, and of videos."""

import shutil

import pytest

from data_pipelines.doctor import __main__ as doctor
from data_pipelines.mini import own_boxes
from data_pipelines.prepare import __main__ as prepare
from tests.data_pipelines.video.test_extracting import write

CLIP = ("--clip", 1)


@pytest.fixture
def run(command):
    return command(doctor.cli)


@pytest.fixture
def prepared(tmp_path):
    """What `prepare own` makes of two classes of four videos."""
    for number in range(8):
        path = tmp_path / "mine" / ("jump", "run")[number % 2] / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, 3 + number)
    out = tmp_path / "out"
    assert prepare.cli(["own", str(out), "--videos", str(tmp_path / "mine")]) == 0
    return out


def kinds(lines):
    return sorted(line.split(": ")[1] for line in lines)


def test_what_prepare_writes_is_good(prepared, run):
    status, lines, table = run(prepared, *CLIP)
    assert (status, lines) == (0, [])
    for fact in ("train.csv: videos decoded", "val.csv: rows", "test.csv: classes"):
        assert fact in table


def test_every_problem_of_a_data_set(prepared, run):
    def change(split, text):
        (prepared / f"{split}.csv").write_text(text)

    train, val, test = ((prepared / f"{s}.csv").read_text() for s in ("train", "val", "test"))
    shutil.copy(prepared / val.split()[0], prepared / "copy.mp4")
    for split, text, expected in (
        ("val", train.splitlines()[0] + "\n", "in two lists: it shares 1 video with val.csv, such"),
        ("test", "copy.mp4 0\n", "in two lists: it shares 1 video with test.csv, such"),
        ("val", "", "val.csv: invalid row: the list is empty"),
        ("val", f"{val.split()[0]} 2\n", "label 2; expected a class within 0..1 (labels count"),
        ("train", train.replace(" 0\n", " 1\n"), "classes without examples: 1 of the classes 0..1"),
        ("train", "label,youtube_id,time_start,time_end\n", "is a table of Kinetics' annotations"),
    ):
        change(split, text)
        status, lines, _ = run(prepared, *CLIP)
        assert status == 1 and any(expected in line for line in lines), lines
        change("train", train), change("val", val), change("test", test)
    assert run(prepared, *CLIP)[0] == 0

    (prepared / "classes.txt").write_text("jump\nrun\nsit\n")
    status, (line,), _ = run(prepared, *CLIP)
    assert "train.csv: classes without examples: 1 of the classes 0..2: 2;" in line
    (prepared / "classes.txt").unlink()
    for split, text in (("train", train), ("val", val), ("test", test)):
        change(split, text.replace(" 1\n", " 0\n"))
    status, lines, _ = run(prepared, *CLIP)
    assert status == 1 and kinds(lines) == ["one class"]
    (prepared / "test.csv").unlink()
    status, lines, _ = run(prepared, *CLIP)
    assert status == 1 and kinds(lines) == ["missing list", "one class"]


def test_messages_name_the_flags_of_the_doctor(prepared, run):
    (prepared / "a.csv").write_text("copy.mp4 7\nnone.mp4 1\na b c 1 2 3\n")
    _, lines, _ = run(prepared / "a.csv", "--classes", 2)
    text = "\n".join(lines)
    assert "--classes" in text and "--root" in text and "--multi-label" in text
    assert "data." not in text.replace(str(prepared), "") and "model." not in text


def test_folders_of_tables_of_boxes(tmp_path, run):
    own_boxes.write_own(
        tmp_path, seed=0, train_videos=3, test_videos=2, seconds=4, fps=10, height=32, width=48
    )
    status, lines, table = run(tmp_path)
    assert "train.csv: keyframes" in table and "test.csv: videos decoded" in table
    assert not [line for line in lines if "missing list" in line] and status in (0, 1)


def test_folders_of_videos(prepared, run):
    mine = prepared.parent / "mine"
    assert run(mine, *CLIP)[:2] == (0, [])
    (mine / "run/a.m4v").write_bytes(b"no video")
    (mine / "run/b.zip").write_bytes(b"PK")
    (mine / "sit").mkdir()
    status, lines, table = run(mine, *CLIP)
    assert status == 1 and kinds(lines) == ["broken", "classes without examples", "left out"]
    assert "videos per class" in table
    shutil.rmtree(mine / "run")
    shutil.rmtree(mine / "sit")
    assert kinds(run(mine, *CLIP)[1]) == ["one class"]
    (mine.parent / "empty").mkdir()
    status, _, text = run(mine.parent / "empty")
    assert status == 2 and text.startswith("error: ") and "contains no videos, no lists" in text
