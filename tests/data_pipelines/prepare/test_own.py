"""`prepare own`: three lists of any videos in class folders, and what is said of missing videos."""

import os
import re
import shlex
import shutil
from collections import Counter

import pytest

from data_pipelines.doctor import __main__ as doctor
from data_pipelines.prepare import __main__ as prepare
from data_pipelines.prepare.dividing import SPLITS, divide
from data_pipelines.sources.video_lists import read_list
from data_pipelines.video.decoding import probe
from slowfast_jax.config import load_config
from tests.data_pipelines.video import test_finding as kinds
from tests.data_pipelines.video.test_extracting import write


@pytest.fixture
def run(command):
    return command(prepare.cli)


@pytest.fixture
def mine(tmp_path):
    """A function that fills the folder `mine` with copies of a short video, by names."""
    write(tmp_path / "video.mp4", 3)

    def fill(*names):
        for name in names:
            path = tmp_path / "mine" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "video.mp4", path)
        return tmp_path / "mine"

    return fill


def listed(folder, split):
    """(name, class) of the rows of a list; every file exists."""
    samples = read_list(folder / f"{split}.csv", path_prefix=folder)
    assert all((folder / sample.path).is_file() for sample in samples)
    return [
        (sample.path.removeprefix(f"{folder}/videos/{split}/"), sample.label) for sample in samples
    ]


@pytest.mark.parametrize("count", [*range(3, 45), 100, 1000, 1001])
def test_every_class_is_in_every_list(count):
    splits = divide(["jump", *["run"] * count])
    assert splits[0] == "train"
    counts = Counter(splits[1:])
    assert counts["val"] == counts["test"] >= 1 and counts["train"] >= counts["val"]
    if count >= 10:
        assert 0.1 <= counts["val"] / count <= 0.2
    assert splits == divide(["jump", *["run"] * count])


def test_three_lists_and_the_commands_that_follow(mine, tmp_path, run):
    videos = mine(*(f"{label}/{n}.mp4" for label in ("jump", "run") for n in range(8)))
    out = tmp_path / "my out"
    status, lines, text = run("own", out, "--videos", videos)
    assert (status, lines) == (0, [])
    for split, count in (("train", 6), ("val", 1), ("test", 1)):
        assert [label for _, label in listed(out, split)] == [0] * count + [1] * count
    names = [name for split in SPLITS for name, _ in listed(out, split)]
    assert len(set(names)) == len(names) == 16
    assert (out / "classes.txt").read_text() == "jump\nrun\n"
    checking, training = (
        shlex.split(line) for line in text.splitlines() if line.startswith("    python -m ")
    )
    assert checking == ["python", "-m", "data_pipelines.doctor", str(out), "--clip", "48"]
    assert training == [
        "python", "-m", "slowfast_jax.main", "--config", "kinetics/x3d_xs_finetune",
        f"--config.data.root={out}", "--workdir", "RUN",
    ]
    protocol = load_config(training[4]).protocol
    assert protocol.num_frames * protocol.sampling_rate == 48
    before = [listed(out, split) for split in SPLITS]
    assert run("own", out, "--videos", videos)[0] == 0
    assert [listed(out, split) for split in SPLITS] == before


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_videos_are_never_called_well(mine, tmp_path, run, count):
    videos = mine(*(f"jump/{n}.mp4" for n in range(count)), *(f"run/{n}.mp4" for n in range(count)))
    status, _, text = run("own", tmp_path / "out", "--videos", videos)
    assert status == 2 and f"too few videos: jump ({count}), run ({count})" in text
    assert "at least one class needs 3" in text and not (tmp_path / "out").exists()
    mine("run/a.mp4", "run/b.mp4", "run/c.mp4")
    status, (line,), _ = run("own", tmp_path / "out", "--videos", videos)
    assert status == 1 and f"few videos: jump ({count}): a class needs at least 3" in line
    held_out = [label for split in ("val", "test") for _, label in listed(tmp_path / "out", split)]
    assert held_out == ([1, 0, 1] if count == 2 else [1, 1])


def test_videos_of_every_suffix_are_prepared(tmp_path, run):
    folder = tmp_path / "mine"
    for label in ("jump", "run"):
        (folder / label).mkdir(parents=True)
        for number, (suffix, (codec, form)) in enumerate(kinds.WRITTEN.items()):
            kinds.write(folder / label / f"{number:02d}{suffix.upper()}", codec, form)
    status, lines, _ = run("own", tmp_path / "out", "--videos", folder)
    assert (status, lines) == (0, [])
    assert sum(len(listed(tmp_path / "out", s)) for s in SPLITS) == 2 * len(kinds.WRITTEN)


def test_files_left_out_are_named(mine, tmp_path, run):
    videos = mine(*(f"{label}/{n}.mp4" for label in ("jump", "run") for n in range(3)))
    (videos / "run/a.zip").write_bytes(b"PK")
    (videos / "run/notes.txt").write_text("of use to nobody")
    (videos / "run/Thumbs.db").write_bytes(b"x")
    (videos / "sit").mkdir()
    (videos / "swim").mkdir()
    (videos / "swim/a.m4a").write_bytes(b"no video")
    status, lines, text = run("own", tmp_path / "out", "--videos", videos)
    assert status == 1
    assert sorted(line.removeprefix(f"{videos}/").split(": ")[:2] for line in lines) == [
        ["run/a.zip", "left out"], ["sit", "no videos"], ["swim", "no videos"],
        ["swim/a.m4a", "left out"],
    ]
    assert "passed over files of text or data (1): notes.txt" in text and "Thumbs" not in text


@pytest.mark.parametrize(("train", "val", "test", "options"), [
    ("train", "val", "test", []), ("Training", "Validation", "Testing", []),
    ("train", "valid", None, ["--config.data.test_list=val.csv"]),
    ("train", None, "test", ["--config.data.val_list=test.csv"]),
])
def test_own_splits(mine, tmp_path, run, train, val, test, options):
    folders = {"train": train, "val": val, "test": test}
    for folder in filter(None, folders.values()):
        videos = mine(f"{folder}/jump/{folder}.mp4", f"{folder}/run/{folder}.mp4")
    out = tmp_path / "out"
    status, lines, text = run("own", out, "--videos", videos)
    assert (status, lines) == (0, [])
    for split, folder in folders.items():
        assert (out / f"{split}.csv").exists() == bool(folder)
        if folder:
            assert listed(out, split) == [
                (f"{label}/{folder}.mp4", number) for number, label in enumerate(("jump", "run"))
            ]
    (training,) = (shlex.split(line) for line in text.splitlines() if "slowfast_jax.main" in line)
    assert [word for word in training if "_list=" in word] == options


@pytest.mark.parametrize(("names", "message"), [
    (["train/jump/a.mp4"], "none for validation or test"),
    (["train/a.mp4", "test/b.mp4"], "test: holds videos directly; expected a folder for each clas"),
    (["train/jump/a.mp4", "val/jump/b.mp4", "more/jump/c.mp4"], "more: lies beside folders of spl"),
    (["train/jump/a.mp4", "val/jump/b.mp4", "valid/jump/b.mp4"], "valid: .*/val is for val alrea"),
    (["jump/a.mp4", "b.mp4"], "b.mp4: is not in a class folder, but other videos are, such as"),
    ([f"{name}/{n}.mp4" for n in "abc" for name in ("Run", "run")], "'Run' and 'run' have the sa"),
])
def test_folders_that_cannot_be_understood(mine, tmp_path, run, names, message):
    status, lines, text = run("own", tmp_path / "out", "--videos", mine(*names))
    assert status == 2 and lines == [] and re.search(message, text), text
    assert text.count("\n") == 1


def test_a_class_may_be_called_train(mine, tmp_path, run):
    videos = mine(*(f"{label}/{n}.mp4" for label in ("bus", "train") for n in range(3)))
    assert run("own", tmp_path / "out", "--videos", videos)[:2] == (0, [])
    assert (tmp_path / "out/classes.txt").read_text() == "bus\ntrain\n"


def test_one_class_and_broken_videos_are_reported(mine, tmp_path, run):
    videos = mine(*(f"run/{n}.mp4" for n in range(3)))
    status, (line,), _ = run("own", tmp_path / "out", "--videos", videos)
    assert status == 1 and "train.csv: missing: all videos have one class, run; tr" in line
    for number in range(3):
        mine(f"jump/{number}.mp4")
        (videos / f"jump/{number}.mp4").write_bytes(b"no video")
        (videos / f"run/{number}.mp4").unlink()
    mine("run/0.mp4", "run/1.mp4", "run/2.mp4")
    (videos / "run/2.mp4").write_bytes(b"no video")
    status, lines, _ = run("own", tmp_path / "out2", "--videos", videos)
    assert status == 1
    assert [line.rpartition("/")[2] for line in lines if ": missing: " in line] == [
        "train.csv: missing: no videos of jump, of 2 classes; add some",
        "val.csv: missing: the list is empty: no video of it could be encoded",
    ]


def test_videos_of_the_same_name_are_kept_apart(mine, tmp_path, run):
    videos = mine(
        "run/day1/a.mp4", "run/day2/a.mp4", "run/b.mp4", "run/b.m4v", "run/c.mp4", "jump/1.mp4",
        "jump/2.mp4", "jump/3.mp4",
    )
    assert run("own", tmp_path / "out", "--videos", videos)[:2] == (0, [])
    names = [f"{split}/{name}" for split in SPLITS for name, _ in listed(tmp_path / "out", split)]
    assert len(names) == len(set(names)) == 8
    assert doctor.cli([str(tmp_path / "out/train.csv"), "--root", str(tmp_path / "out"),
                       "--clip", "1"]) == 0


def test_results_do_not_go_among_the_videos(mine, run):
    videos = mine("run/a.mp4")
    status, _, text = run("own", videos, "--videos", videos)
    assert status == 2 and "choose another folder for the results" in text


@pytest.mark.parametrize("kind", ["ava", "kinetics", "ssv2", "charades", "own"])
@pytest.mark.parametrize(("name", "what"), [("file", "is not a"), ("file/x/y", "file is not a")])
def test_results_do_not_go_into_a_file(mine, tmp_path, run, kind, name, what):
    options = {
        "ava": [], "ssv2": ["--annotations", "x"], "charades": ["--annotations", "x"],
    }.get(kind, ["--videos", mine("run/a.mp4")])
    (tmp_path / "file").write_text("mine")
    status, lines, text = run(kind, tmp_path / name, *options)
    assert (status, lines) == (2, []) and text.count("\n") == 1
    assert text.startswith(f"error: {tmp_path / name}: ") and what in text
    assert (tmp_path / "file").read_text() == "mine"


def test_replaced_videos_are_encoded_again(mine, tmp_path, run):
    videos, out = mine(*(f"{label}/{n}.mp4" for label in ("jump", "run") for n in range(3))), (
        tmp_path / "out"
    )
    assert run("own", out, "--videos", videos)[:2] == (0, [])
    made = {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")}
    source = videos / "jump/0.mp4"
    before = source.stat()
    write(source, 9)
    os.utime(source, (before.st_atime - 1000, before.st_mtime - 1000))  # older than its result
    assert run("own", out, "--videos", videos)[:2] == (0, [])
    changed = [path for path, time in made.items() if path.stat().st_mtime_ns != time]
    assert [path.parts[-2:] for path in changed] == [("jump", "0.mp4")]
    assert probe(changed[0]).frames == 9
    (out / ".sources.json").unlink()  # of an earlier version
    os.utime(videos / "run/1.mp4", (before.st_atime + 1000, before.st_mtime + 1000))
    source.write_bytes(b"no video")
    os.utime(source, (before.st_atime + 1000, before.st_mtime + 1000))
    for _ in range(2):  # its old result is not used, also not by a second run
        status, lines, _ = run("own", out, "--videos", videos)
        assert status == 1 and lines[0].startswith(f"{source}: broken: ")
        assert "jump/0.mp4" not in {name for split in SPLITS for name, _ in listed(out, split)}
    newer = [path for path, time in made.items() if path.stat().st_mtime_ns != time]
    assert {path.parts[-2:] for path in newer} == {("jump", "0.mp4"), ("run", "1.mp4")}


def test_folders_of_the_system_and_links_to_classes(mine, tmp_path, run):
    names = [f"{label}/{n}.mp4" for label in ("jump", "run") for n in range(3)]
    videos = mine(*names, "__MACOSX/run/a.mp4", "__MACOSX/run/._0.mp4")
    (videos / "@eaDir").mkdir()
    (videos / "run/@eaDir").mkdir()
    (videos / "run/@eaDir/thumb.jpg").write_bytes(b"no picture")
    assert run("own", tmp_path / "out", "--videos", videos)[:2] == (0, [])
    assert (tmp_path / "out/classes.txt").read_text() == "jump\nrun\n"
    (videos / "leap").symlink_to(videos / "jump")
    status, (line,), _ = run("own", tmp_path / "out", "--videos", videos)
    assert status == 1 and line.startswith(f"{videos}/leap: same folder: is the same folder as ")
    assert f"{videos}/jump, by a link" in line


@pytest.mark.parametrize(("classes", "message"), [
    (["1", "2", "3"], None), (["0", "1", "other"], None), (["10", "other"], None),
    (["1", "2", "other"], "class '1' has the number 0, and 1 is the number of class '2'; rename"),
])
def test_classes_that_are_numbers(mine, tmp_path, run, classes, message):
    videos = mine(*(f"{label}/{n}.mp4" for label in classes for n in range(3)))
    status, _, text = run("own", tmp_path / "out", "--videos", videos)
    assert status == (2 if message else 0) and (message or "") in text
    if not message:
        assert [label for _, label in listed(tmp_path / "out", "test")] == [*range(len(classes))]
