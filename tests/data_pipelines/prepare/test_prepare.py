"""The prepare command on generated data sets, whose results the project's readers read back."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from data_pipelines.doctor import __main__ as doctor
from data_pipelines.findings import Findings
from data_pipelines.prepare import __main__ as prepare
from data_pipelines.prepare import common, downloads
from data_pipelines.sources import ava, box_tables, frame_lists
from data_pipelines.sources.video_lists import read_list
from data_pipelines.video import decoding
from data_pipelines.video.encoding import write_video
from tests.data_pipelines.video.test_extracting import number_in, write
from tests.support.paths import ROOT

PART = ("--begin", "1", "--seconds", "3")  # the films last five seconds
ROWS = "{0},0902,0.1,0.2,0.5,0.9,12,1\n{0},0903,0.1,0.2,0.5,0.9,12,1\n"


@pytest.fixture
def run(command):
    return command(prepare.cli)


@pytest.fixture
def films(tmp_path):
    """AVA with two short films, at 25 and at 30 frames a second."""
    (tmp_path / "AVA/videos").mkdir(parents=True)
    (tmp_path / "AVA/annotations").mkdir()
    for name, fps in (("-a_1.mp4", 25), ("b2.mkv", 30)):
        write(tmp_path / "AVA/videos" / name, 5 * fps, fps=fps)
    for split, video_name in (("train", "-a_1"), ("val", "b2")):
        path = tmp_path / f"AVA/annotations/ava_{split}_v2.2.csv"
        path.write_text(ROWS.format(video_name))
    return tmp_path / "AVA"


def number_of(path):
    return number_in(np.asarray(Image.open(path)))


def test_ava(films, run):
    status, lines, table = run("ava", films, *PART)
    assert (status, lines) == (0, [])
    assert re.search(r"videos +2\n", table) and re.search(r"frames +180\n", table)
    for video_name, fps in (("-a_1", 25), ("b2", 30)):
        info = decoding.probe(films / f"videos_15min/{video_name}.mp4")
        assert (info.frames, round(info.fps)) == (3 * fps, fps)
        files = sorted((films / "frames" / video_name).iterdir())
        assert [path.name for path in files] == [
            f"{video_name}_{number:06d}.jpg" for number in range(1, 91)
        ]
        assert [number_of(files[30 * second]) for second in range(3)] == [fps, 2 * fps, 3 * fps]
    lists = ava.read_frame_list(films / "frame_lists/val.csv", path_prefix=films / "frames")
    assert lists["b2"].count == 90 and lists.keys() == {"b2"}
    moments = ava.read_boxes([films / "annotations/ava_val_v2.2.csv"])
    keyframe = ava.keyframes(moments, lists)[0]
    assert number_of(keyframe.source.path(60)) == 90
    assert doctor.cli([str(films), "--root", str(films / "frames")]) == 0
    (films / "videos").rename(films / "films")
    assert doctor.cli([str(films)]) == 0  # checks the cuts


def test_ava_continues_after_an_interruption(films, run):
    assert run("ava", films, *PART, "--no-frames")[0] == 0
    assert not (films / "frames").exists()
    part = films / "frames/.b2.part"  # left by a killed process
    part.mkdir(parents=True)
    (part / "b2_000001.jpg").write_bytes(b"half")
    before = (films / "videos_15min/b2.mp4").stat().st_mtime_ns
    (films / "videos_15min/-a_1.mp4").unlink()
    assert run("ava", films, *PART)[0] == 0
    assert (films / "videos_15min/b2.mp4").stat().st_mtime_ns == before
    assert not part.exists() and len(list((films / "frames/b2").iterdir())) == 90
    # Without films, existing cuts are used.
    (films / "videos").rename(films / "elsewhere")
    assert run("ava", films, *PART)[0] == 0


def test_incomplete_ava(films, run):
    write(films / "videos/c.mp4", 60)
    (films / "videos/d.mp4").write_bytes(b"no video")
    (films / "annotations/ava_val_v2.2.csv").unlink()
    with open(films / "annotations/ava_train_v2.2.csv", "a") as file:
        file.write(ROWS.format("e"))
    status, lines, _ = run("ava", films, *PART, "--short-side", 32)
    assert status == 1
    reported = {line.split(": ")[1]: line for line in lines}
    assert "d.mp4: broken: cannot be opened" in reported["broken"]
    assert "c.mp4: short: lasts 1.0 s instead of 3 s" in reported["short"]
    assert sum(": missing: " in line for line in lines) == 2
    assert any("1 of its 2 videos not found in" in line and "such as e;" in line for line in lines)
    assert any("prepare ava --downloads" in line for line in lines)
    assert Image.open(films / "frames/c/c_000001.jpg").size == (42, 32)
    status, _, err = run("ava", films / "nothing")
    assert status == 2 and "no such folder of videos" in err


def test_broken_results_of_earlier_runs_are_reported(films, run, tmp_path):
    (films / "videos_15min").mkdir()
    (films / "videos_15min/b2.mp4").write_bytes(b"no video")
    status, (line,), _ = run("ava", films, *PART, "--no-frames")
    assert status == 1 and "b2.mp4: broken: cannot be opened" in line
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine/a.mp4", 30)
    (tmp_path / "out/videos").mkdir(parents=True)
    (tmp_path / "out/videos/a.mp4").write_bytes(b"no video")
    status, (line,), _ = run("own", tmp_path / "out", "--videos", tmp_path / "mine")
    assert status == 1 and "out/videos/a.mp4: broken: cannot be opened" in line


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"{", b"[1]", b'"a"\n,,\n'])
@pytest.mark.parametrize("kind", ["charades", "ssv2", "kinetics"])
def test_annotations_that_cannot_be_read(tmp_path, run, kind, content):
    for name in ("Charades_v1_train.csv", "Charades_v1_test.csv", "labels.json", "train.json",
                 "validation.json"):
        (tmp_path / name).write_bytes(content)
    options = ["--train", tmp_path / "Charades_v1_train.csv"] if kind == "kinetics" else [
        "--annotations", tmp_path
    ]
    (tmp_path / "videos").mkdir()
    write(tmp_path / "videos/a.mp4", 3)
    status, _, error = run(kind, tmp_path / "out", "--videos", tmp_path / "videos", *options)
    assert status == 2 and str(tmp_path) in error and error.count("\n") == 1, error


def test_a_killed_process_leaves_only_complete_results(films):
    for number in range(3):
        write(films / f"videos/long{number}.mp4", 3000)
    arguments = ["ava", str(films), "--begin", "1", "--seconds", "90"]
    process = subprocess.Popen(
        [sys.executable, "-m", "data_pipelines.prepare", *arguments], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + 60
    while not list(films.glob("frames/.long*.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(films.glob("frames/.*.part"))
    for folder in films.glob("frames/[!.]*"):
        assert len(list(folder.iterdir())) == (2700 if "long" in folder.name else 120)
    assert prepare.cli(arguments) == 1  # two films are shorter, which is reported
    assert not list(films.glob("frames/.*.part"))
    assert all(len(list(films.joinpath(f"frames/long{n}").iterdir())) == 2700 for n in range(3))


@pytest.fixture
def downloaded(tmp_path):
    """Three classes of videos in the layout of Kinetics, and annotations."""
    for label, names in {
        "air drumming": ["AA_AAAAAAAA_000003_000013", "BBBBBBBBBBB_000000_000010"],
        'petting cat': ["CCCCCCCCCCC_000100_000110"], "waving": ["DDDDDDDDDDD"],
    }.items():
        for name in names:
            path = tmp_path / "down" / label / f"{name}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, 150 if name[0] == "D" else 20)
    header = "label,youtube_id,time_start,time_end,split"
    for split, rows in {
        "train": ["air drumming,AA_AAAAAAAA,3,13,train", '"petting cat",CCCCCCCCCCC,100,110,train',
                  "waving,DDDDDDDDDDD,1,3,train", "waving,EEEEEEEEEEE,1,3,train"],
        "validate": ["air drumming,BBBBBBBBBBB,0.0,10.0,validate"],
    }.items():
        (tmp_path / f"{split}.csv").write_text("\n".join([header, *rows]) + "\n")
    return tmp_path


def listed(folder, split):
    return [
        (sample.path.removeprefix(f"{folder}/videos/{split}/"), sample.label)
        for sample in read_list(folder / f"{split}.csv", path_prefix=folder)
    ]


def test_kinetics(downloaded, run):
    out = downloaded / "out"
    command = [
        "kinetics", out, "--videos", downloaded / "down", "--train", downloaded / "train.csv",
        "--val", downloaded / "validate.csv", "--short-side", 32,
    ]
    status, lines, _ = run(*command)
    assert status == 1 and len(lines) == 1
    assert "train.csv: missing: 1 of its 4 videos" in lines[0] and "EEEEEEEEEEE_0000" in lines[0]
    assert listed(out, "train") == [
        ("air_drumming/AA_AAAAAAAA_000003_000013.mp4", 0),
        ("petting_cat/CCCCCCCCCCC_000100_000110.mp4", 1),
        ("waving/DDDDDDDDDDD_000001_000003.mp4", 2),
    ]
    assert listed(out, "val") == [("air_drumming/BBBBBBBBBBB_000000_000010.mp4", 0)]
    info = decoding.probe(read_list(out / "train.csv", path_prefix=out)[2].path)
    assert (info.frames, info.height, info.width) == (60, 32, 42)  # cut out of the whole
    assert (out / "classes.txt").read_text() == "air drumming\npetting cat\nwaving\n"
    assert doctor.cli([str(out / "train.csv"), "--root", str(out), "--clip", "2"]) == 0
    names = downloaded / "names.txt"
    names.write_text("waving\nPetting cat\nair drumming\n")
    assert run(*command, "--classes", names)[0] == 1
    assert [label for _, label in listed(out, "train")] == [2, 1, 0]
    names.write_text("waving\n")
    status, _, err = run(*command, "--classes", names)
    assert status == 2 and "do not include air drumming, petting cat" in err


def test_kinetics_in_folders(downloaded, run):
    broken = downloaded / "down/waving/broken.mp4"
    broken.write_bytes(b"no video")
    out = downloaded / "out"
    status, lines, table = run("kinetics", out, "--train", downloaded / "down")
    assert status == 1 and len(lines) == 1 and lines[0].startswith(f"{broken}: broken: ")
    assert [label for _, label in listed(out, "train")] == [0, 0, 1, 2]
    assert re.search(r"train.csv: videos +4\n", table)


def test_ucf101_and_hmdb51(tmp_path, run):
    videos = tmp_path / "videos"
    for label in ("ApplyLipstick", "Archery"):
        for name in ("v_one_g01", f"v_{label}_g02"):
            path = videos / label / f"{name}.avi"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, 4, codec="mpeg4", options={})
    ucf = tmp_path / "ucf"
    ucf.mkdir()
    (ucf / "trainlist01.txt").write_text(
        "ApplyLipstick/v_ApplyLipstick_g02.avi 1\nArchery/v_Archery_g02.avi 2\n"
    )
    (ucf / "testlist01.txt").write_text("Archery/v_one_g01.avi\n")
    command = ["kinetics", tmp_path / "out", "--videos", videos]
    split = ["--train", ucf / "trainlist01.txt", "--test", ucf / "testlist01.txt"]
    assert run(*command, *split)[:2] == (0, [])
    out = tmp_path / "out"
    assert [label for _, label in listed(out, "train")] == [0, 1]
    assert listed(out, "test") == [("Archery/v_one_g01.mp4", 1)]
    for label in ("ApplyLipstick", "Archery"):
        (ucf / f"{label}_test_split1.txt").write_text(f"v_{label}_g02.avi 1 \nv_one_g01.avi 2 \n")
    files = sorted(ucf.glob("*_test_split1.txt"))
    out = command[1] = tmp_path / "hmdb"
    assert run(*command, "--train", *files, "--test", *files)[:2] == (0, [])
    assert [label for _, label in listed(out, "train")] == [0, 1]
    assert listed(out, "test") == [
        ("ApplyLipstick/v_one_g01.mp4", 0), ("Archery/v_one_g01.mp4", 1)
    ]
    (ucf / "trainlist01.txt").write_text("nonsense\n")
    assert "trainlist01.txt:1: found 'nonsense'" in run(*command, *split)[2]


def test_ssv2(tmp_path, run):
    labels, webm = tmp_path / "labels", tmp_path / "webm"
    labels.mkdir(), webm.mkdir()
    for number in range(3):
        write(webm / f"{number}.webm", 24, fps=12, codec="libvpx-vp9",
              options={"deadline": "realtime", "cpu-used": "8"})
    (labels / "labels.json").write_text(json.dumps({"Moving something": "0", "Nothing": "1"}))
    for name, ids in (("train", "01"), ("validation", "29")):
        (labels / f"{name}.json").write_text(json.dumps(
            [{"id": number, "template": "Moving [something]"} for number in ids]
        ))
    out = tmp_path / "out"
    status, lines, _ = run("ssv2", out, "--videos", webm, "--annotations", labels)
    assert status == 1 and len(lines) == 1 and "1 of its 2 videos" in lines[0]
    for split, end, ids in (("train", "train", "01"), ("val", "validation", "2")):
        samples = frame_lists.read_ssv2(
            out / f"{split}.csv", class_list=out / "something-something-v2-labels.json",
            labels=out / f"something-something-v2-{end}.json", path_prefix=out / "frames",
        )
        assert [(sample.path, sample.label, sample.frames.count) for sample in samples] == [
            (number, 0, 60) for number in ids
        ]
    # What FFmpeg 4 extracts from 12 frames a second with times rounded to milliseconds.
    assert [number_of(samples[0].frames.path(i)) for i in range(8)] == [0, 0, 1, 1, 2, 2, 2, 3]
    assert doctor.cli([str(out / "val.csv"), "--root", str(out / "frames"), "--clip", "60"]) == 0
    assert run("ssv2", out, "--annotations", labels)[0] == 1  # from the frames
    assert "choose another folder" in run("ssv2", labels, "--annotations", labels)[2]


CHARADES = (
    "id,subject,script,actions,length\n"
    'AAAAA,X,"He walks, then sits.",c092 0.50 1.00;c147 0.00 0.60,2.0\n'
    "BBBBB,Y,Nothing,,2.0\n"
)


def test_charades(tmp_path, run):
    tables, videos = tmp_path / "Charades", tmp_path / "mp4"
    tables.mkdir(), videos.mkdir()
    (tables / "Charades_v1_train.csv").write_text(CHARADES)
    (tables / "Charades_v1_test.csv").write_text(CHARADES.replace("AAAAA", "CCCCC"))
    for name in ("AAAAA", "BBBBB", "CCCCC"):
        write(videos / f"{name}.mp4", 48, fps=24)
    out = tmp_path / "out"
    command = ["charades", out, "--annotations", tables]
    assert run(*command)[0] == 2
    assert run(*command, "--videos", videos)[:2] == (0, [])
    first, second = frame_lists.read_charades(
        out / "train.csv", path_prefix=out / "frames", num_classes=157, per_frame=True
    )
    assert (first.path, first.label, first.frames.count) == ("AAAAA", (92, 147), 48)
    assert first.frames.path(0) == f"{out}/frames/AAAAA/AAAAA-000001.jpg"
    assert [number_of(first.frames.path(i)) for i in (0, 20, 47)] == [0, 20, 47]
    expected = [
        tuple(c for c, begin, end in ((92, 0.5, 1), (147, 0, 0.6)) if begin <= i / 24 <= end)
        for i in range(48)
    ]
    assert first.frame_labels == tuple(expected)
    assert (second.label, second.frames.count) == ((), 48)
    (tables / "Charades_v1_train.csv").write_text(CHARADES.replace("c147", "c157"))
    assert "Charades_v1_train.csv:2: action 'c157" in run(*command)[2]


def test_own(tmp_path, run):
    videos = tmp_path / "mine"
    videos.mkdir()
    write(videos / "one.mov", 75)
    write(videos / "two.mp4", 20)
    out = tmp_path / "out"
    status, lines, text = run("own", out, "--videos", videos)
    assert (status, lines) == (0, []) and f"Fill in {out}/boxes.csv, then check it:" in text
    table = out / "boxes.csv"
    assert table.read_text() == (
        "video,time,x1,y1,x2,y2,action,person\n"
        "one.mp4,1,,,,,,\none.mp4,2,,,,,,\ntwo.mp4,0.333,,,,,,\n"
    )
    assert doctor.cli([str(table)]) == 1  # not filled in yet
    assert "exists already" in run("own", out, "--videos", videos)[2]
    table.write_text(table.read_text().replace(",,,,,,", ",0.1,0.1,0.5,0.9,wave,1"))
    assert doctor.cli([str(table)]) == 0
    keyframes, names = box_tables.read_tables([table], folder=out / "videos")
    assert len(keyframes) == 3 and names == ["wave"]


def test_write_errors(downloaded, run, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = downloaded / "out"
    command = ["kinetics", out, "--train", downloaded / "down"]
    with monkeypatch.context() as patch:
        patch.setattr("data_pipelines.prepare.videos.encode", full)
        status, lines, err = run(*command)
        assert status == 2 and "No space left on device" in err and str(out) in err
    out.rmdir() if out.exists() else None
    out.write_text("a file in the way")
    status, lines, err = run(*command)
    assert status == 2 and str(out) in err


def test_a_file_that_grows_too_large(tmp_path):
    """An error in the middle of writing is reported and leaves no partial file."""
    videos = tmp_path / "mine"
    videos.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (40, 96, 128, 3), np.uint8)
    write_video(videos / "large.mp4", noise, options={"crf": "1"})
    write(videos / "small.mp4", 30)
    code = (
        "import resource, signal, sys; from data_pipelines.prepare import __main__ as prepare;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000));"
        f"sys.exit(prepare.cli(['own', {str(tmp_path / 'out')!r}, '--videos', {str(videos)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "large.mp4: not written: File too large" in done.stdout
    assert [path.name for path in (tmp_path / "out/videos").iterdir()] == ["small.mp4"]


@pytest.mark.parametrize("kind", downloads.COMMANDS)
def test_downloads(kind, capsys):
    with pytest.raises(SystemExit) as end:
        prepare.cli([kind, "--downloads"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.count("# ") >= len(downloads.COMMANDS[kind]) and "https://" in text
    assert not re.search(r"[{}]|\s$", text.strip())


def test_two_videos_of_one_name_are_refused(tmp_path):
    for suffix in ("mp4", "mkv"):
        (tmp_path / f"a.{suffix}").touch()
    with pytest.raises(ValueError, match="has the same name as"):
        common.by_name(common.videos_in(tmp_path, Findings()))
