"""The doctor on lists: valid lists, and every kind of problem."""

import json
import re
import shutil

import pytest
from PIL import Image

from data_pipelines.doctor import __main__ as doctor
from data_pipelines.mini import datasets
from data_pipelines.sources.frame_lists import read_charades
from data_pipelines.sources.video_lists import read_frame_list, read_list
from tests.data_pipelines.support.encodings import CODECS
from tests.data_pipelines.support.encodings import write as write_encoded


@pytest.fixture
def run(command):
    return command(doctor.cli)


@pytest.fixture
def folder(videos, tmp_path):
    """A folder of videos, three of them valid."""
    for name in ("numbered", "bframes", "ntsc", "truncated", "audio", "five"):
        shutil.copy(videos[name], tmp_path / videos[name].name)
    return tmp_path


def write(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def kinds(lines):
    """The problems as pairs (line, kind); the line is "" for the list as a whole."""
    places = [line.split(": ")[:2] for line in lines]
    return [(where.rpartition(".csv")[2].lstrip(":"), kind) for where, kind in places]


def test_a_valid_list(folder, run):
    path = write(folder, "a.csv", "numbered.mp4 0\nbframes.mp4 1\n")
    status, lines, table = run(path, "--root", folder, "--clip", 20, "--classes", 2)
    assert status == 0 and lines == []
    assert "no problems found" in table and "decoding: 2/2" in table
    clean = folder / "clean.csv"
    assert run(path, "--path-prefix", folder, "--clip", 20, "--clean", clean)[0] == 0
    assert clean.read_text() == path.read_text()


def test_every_problem_of_a_list(folder, run):
    path = write(folder, "a.csv", (
        "numbered.mp4 0\n"
        "none.mp4 0\n"
        "truncated.mp4 1\n"
        "audio.m4a 1\n"
        "five.mp4 2\n"
        "./numbered.mp4 1\n"
        "\n"
        "numbered.mp4 0\n"
        "bframes.mp4 7\n"
        "bframes.mp4 one\n"
        "a b c d\n"
        "ntsc.mp4 ignored 1\n"
    ))
    clean = folder / "clean.csv"
    status, lines, table = run(
        path, "--root", folder, "--clip", 10, "--classes", 5, "--clean", clean
    )
    assert status == 1
    assert sorted(kinds(lines)) == sorted([
        ("2", "missing"), ("3", "broken"), ("4", "no video"), ("5", "short"), ("6", "duplicate"),
        ("8", "duplicate"), ("9", "invalid row"), ("10", "invalid row"), ("11", "invalid row"),
        ("", "classes without examples"),
    ])
    reported = {kind: line for line, (_, kind) in zip(lines, kinds(lines), strict=True)}
    assert "2 of the classes 0..4: 3, 4;" in reported["classes without examples"]
    assert any("with label 0 instead of 1; keep the row that is right" in line for line in lines)
    assert any("at " in line and "; remove one of the rows" in line for line in lines)
    assert re.search(r"invalid row +3\n", table) and "problems: 10\n" in table
    assert [(s.path, s.label) for s in read_list(clean)] == [
        (f"{folder}/{name}", label)
        for name, label in (("numbered.mp4", 0), ("five.mp4", 2), ("ntsc.mp4", 1))
    ]


def test_problems_that_are_alike_are_one_line_after_the_first(folder, run):
    rows = [f"none{n}.mp4 0\n" for n in range(1203)] + ["numbered.mp4 x\n", "bframes.mp4 y\n"]
    path = write(folder, "a.csv", "".join(rows))
    first, last = (f"{path}:{row}: missing: {folder}/none{row - 1}.mp4" for row in (1, 1203))
    status, lines, table = run(path, "--root", folder, "--clip", 20)
    assert status == 1
    missing = [line for line in lines if ": missing: " in line]
    assert len(missing) == 6 and missing[0].startswith(first)
    assert missing[-1].startswith(f"1,198 more like these, the last: {last}")
    assert sum(": invalid row: " in line for line in lines) == 2
    assert re.search(r"problem: missing +1203\n", table)
    lines = run(path, "--root", folder, "--clip", 20, "--every")[1]
    assert sum(": missing: " in line for line in lines) == 1203
    assert not [line for line in lines if "more like these" in line]


def test_lists_with_names_separators_and_several_labels(folder, run):
    path = write(folder, "a.csv", "numbered.mp4,0,2\nbframes.mp4,3\n")
    names = write(folder, "names.txt", "a\nb\nc\n")
    status, lines, _ = run(
        path, "--root", folder, "--separator", ",", "--multi-label", "--classes", names,
        "--clip", 1,
    )
    assert status == 1
    assert kinds(lines) == [("2", "invalid row"), ("", "classes without examples")]


def test_lists_in_json(folder, run):
    entries = [
        {"filename": "numbered.mp4", "label": 0}, {"filename": "ntsc.mp4"}, 5,
        {"filename": 7, "label": 0}, {"filename": "bframes.mp4", "label": 1},
    ]
    path = write(folder, "a.json", json.dumps(entries))
    status, lines, _ = run(path, "--root", folder, "--clip", 1, "--clean", folder / "clean.json")
    assert status == 1 and [line.split(": ")[0] for line in lines] == [
        f"{path}, entry {number}" for number in (2, 3, 4)
    ]
    assert json.loads((folder / "clean.json").read_text()) == [entries[0], entries[-1]]


def test_lists_with_a_header_and_names_of_classes(folder, run):
    shutil.copy(folder / "numbered.mp4", folder / "my run (1).mp4")
    path = write(folder, "a.csv", "label,path\nsit,my run (1).mp4\nrun,bframes.mp4\nrun,none.mp4\n")
    write(folder, "classes.txt", "run\nsit\n")
    clean = folder / "clean.csv"
    status, lines, _ = run(path, "--clip", 1, "--clean", clean)  # the videos are beside the list
    assert status == 1 and kinds(lines) == [("4", "missing")]
    assert [(sample.path, sample.label) for sample in read_list(clean)] == [
        (f"{folder}/my run (1).mp4", 1), (f"{folder}/bframes.mp4", 0)
    ]
    names = write(folder, "other.txt", "sit\nrun\n")
    assert run(path, "--clip", 1, "--classes", names)[0] == 1
    status, (line,), _ = run(write(folder, "k.csv", "label,youtube_id,time_start,time_end\n"))
    assert status == 1 and "prepare kinetics OUT" in line


@pytest.fixture
def charades(tmp_path):
    datasets.write_charades(tmp_path, count=4, seed=0, frames=6, height=16, width=24)
    return tmp_path


def test_folders_of_frames(charades, run):
    frames = charades / "frames"
    rows = "V0000 6 0\nV0001 6 1\nV0002 7 0\nV0003 6\n"
    path = write(charades, "a.csv", rows)
    status, lines, _ = run(
        path, "--root", frames, "--template", "x{:06d}.jpg", "--clip", 6, "--format", "rawframes"
    )
    found = [kind for _, kind in kinds(lines)]
    assert status == 1 and found == ["invalid row", "frame names", *["missing"] * 3]
    assert "names differ from folder to folder; rename the files to --template=x{:06d}" in lines[1]
    for folder in frames.iterdir():
        for image in folder.iterdir():
            image.rename(folder / image.name[6:])
    clean = charades / "clean.csv"
    status, lines, _ = run(
        path, "--root", frames, "--template", "{:06d}.jpg", "--clip", 6, "--clean", clean
    )
    assert status == 1
    assert kinds(lines) == [("4", "invalid row"), ("3", "missing")]  # the format is detected
    assert [sample.path for sample in read_frame_list(clean)] == ["V0000", "V0001"]


@pytest.mark.parametrize("first", [0, 1, 100])
def test_folders_of_frames_begin_at_any_number(tmp_path, run, first):
    for number in range(first, first + 8):
        path = tmp_path / f"a/img_{number:05d}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6)).save(path)
    arguments = "--root", tmp_path, "--clip", 3

    def problems(name, text, *more):
        """The problems of a list, apart from that its labels are of a single class."""
        _, lines, _ = run(write(tmp_path, name, text), *arguments, *more)
        return [line for line in lines if "one class" not in line]

    assert problems("a.csv", "a 8 0\n") == []
    (line,) = problems("b.csv", "a 9 0\n")
    assert f"img_{first + 8:05d}.jpg: no such file" in line
    assert problems("c.csv", "a 0 4 0\na 4 4 0\n", "--frame-offset") == []
    (line,) = problems("d.csv", "a 5 4 0\n", "--frame-offset")
    assert f"img_{first + 8:05d}.jpg: no such file" in line
    (line,) = problems("a.csv", "a 8 0\n", "--format", "rawframes", "--frame-start", first + 1)
    assert f"img_{first + 8:05d}.jpg: no such file" in line
    (line,) = problems("e.csv", "a 0 8 0\n")
    assert "data.frame_offset" in line


def test_gaps_and_wrong_rates_are_reported(tmp_path, run):
    write_encoded(tmp_path / "gap.mkv", CODECS["h264"], count=60, time=lambda n: n + n // 30 * 9000)
    write_encoded(tmp_path / "rate.mkv", CODECS["h264"], rate=9000, time=lambda n: 300 * n)
    path = write(tmp_path, "a.csv", "gap.mkv 0\nrate.mkv 1\n")
    status, lines, table = run(path, "--root", tmp_path, "--clip", 9)
    assert status == 1 and kinds(lines) == [("1", "time gap"), ("2", "wrong rate")]
    assert "a gap of 300.0 s after frame 29" in lines[0] and "; 30 is used" in lines[1]
    assert re.search(r"valid rows +2\n", table)  # both can be used


def test_lists_of_frames(charades, run):
    path = charades / "val.csv"
    arguments = (path, "--root", charades, "--clip", 6, "--classes")
    status, lines, table = run(*arguments, 4)
    assert status == 0 and re.search(r"valid videos +4\n", table)
    moved = write(charades, "moved.csv", path.read_text().replace(" frames/V0001/", " nope/"))
    status, lines, _ = run(moved, "--root", charades, "--clip", 6)
    assert status == 1 and len(lines) == 1
    assert re.search(
        r"missing: V0001: there is no folder \S+/nope, in which its \d+ images are listed; check "
        "--root, or leave the video out$", lines[0],
    )
    (charades / "frames/V0001/V0001-000003.jpg").write_bytes(b"no image")
    rows = path.read_text().splitlines()
    rows[1] += " 6"  # V0000
    rows[14] = rows[13]  # V0002
    path.write_text("\n".join(rows) + "\n")
    clean = charades / "clean.csv"
    status, lines, _ = run(*arguments, 3, "--clean", clean)
    assert status == 1
    found = kinds(lines)
    assert ("2", "invalid row") in found and ("8", "broken") in found
    assert ("14", "duplicate") in found
    assert sum(kind == "invalid row" for _, kind in found) > 1  # labels beyond the classes
    left = read_charades(clean, num_classes=3)
    assert {sample.path for sample in left} <= {"V0000", "V0003"} and left


def test_usage_errors(folder, run, videos):
    path = write(folder, "a.csv", "numbered.mp4 0\n")
    for arguments, message in (
        ((folder / "none.csv",), "none.csv: no such file or folder"),
        ((path, "--root", folder / "none"), "none: no such folder"),
        ((path, "--classes", "kinetics4"), "--classes: class names 'kinetics4': neither"),
        ((path, "--format", "rawframes", "--template", "x.jpg"), "--template: "),
        ((path, "--predicted", path), "--predicted is only for your own tables"),
        ((path, "--clean", path), "exists already"),
        ((videos["numbered"],), "is not text"),
        ((folder, "--format", "ava"), "has no folder annotations"),
        ((path, "--format", "boxes", "--root", folder, "--predicted", "p.csv"), "p.csv: no such"),
        ((folder, "--clean", folder / "c"), "--clean writes one list; name the list instead"),
    ):
        status, _, text = run(*arguments)
        assert status == 2 and text.startswith("error: ") and message in text
    with pytest.raises(SystemExit) as caught:
        run(path, "--what")
    assert caught.value.code == 2


def test_an_empty_list(folder, run):
    status, lines, _ = run(write(folder, "a.csv", "\n\n"))
    assert status == 1 and lines == [f"{folder}/a.csv: invalid row: the list is empty; expected "
                                     "rows 'path label'"]
