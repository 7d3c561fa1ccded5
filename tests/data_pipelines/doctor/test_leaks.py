"""Videos in two tables of boxes, and persons and actions that lack labels or examples."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from data_pipelines.doctor import __main__ as doctor
from data_pipelines.video.encoding import encode, write_video

HEADER = "video,time,x1,y1,x2,y2,action\n"
BOX = "0.1,0.2,0.5,0.6"


@pytest.fixture
def run(command):
    return command(doctor.cli)


def noise(seed, size=(48, 64)):
    """Frames of slowly changing blobs."""
    random = np.random.default_rng(seed)
    ends = random.integers(0, 256, (2, 6, 8, 3))
    for share in np.linspace(0, 1, 60):
        small = Image.fromarray((ends[0] + share * (ends[1] - ends[0])).astype(np.uint8))
        yield np.asarray(small.resize(size[::-1], Image.Resampling.BICUBIC))


@pytest.fixture
def data(tmp_path):
    """train.csv and test.csv, of videos that differ."""
    videos = tmp_path / "videos"
    videos.mkdir()
    for seed, name in enumerate(("a", "b", "c")):
        write_video(videos / f"{name}.mp4", noise(seed))
    rows = [f"{v},1,{BOX},{action}\n" for v in "ab" for action in ("wave", "sit")]
    (tmp_path / "train.csv").write_text(HEADER + "".join(rows))
    (tmp_path / "test.csv").write_text(HEADER + f"c,1,{BOX},wave\nc,1,{BOX},sit\n")
    return tmp_path


def leaks(lines):
    return [line for line in lines if "in two lists" in line]


def test_different_videos_are_no_leak(data, run):
    status, lines, _ = run(data)
    assert (status, lines) == (0, [])


def test_videos_of_different_lengths_are_no_leak(data, run):
    frames = list(noise(1))  # of b
    write_video(data / "videos/c.mp4", [*frames, *frames[-1:] * 3])
    assert run(data)[:2] == (0, [])


def test_the_same_video(data, run):
    with open(data / "test.csv", "a") as file:
        file.write(f"b.mp4,1.5,{BOX},sit\n")
    status, lines, _ = run(data)
    (line,) = leaks(lines)
    assert status == 1 and "train.csv: in two lists: it shares 1 video with test.csv" in line
    assert "such as b, which is b.mp4 there; keep each video in one list" in line


@pytest.mark.parametrize("copy", [
    shutil.copy,
    lambda source, target: encode(source, target, short_side=24),
])
def test_the_same_content_under_another_name(data, run, copy):
    (data / "videos/c.mp4").unlink()
    copy(data / "videos/a.mp4", data / "videos/c.mp4")
    status, lines, _ = run(data)
    (line,) = leaks(lines)
    assert status == 1 and "it shares 1 video with test.csv, such as a, which is c there" in line


def test_actions_only_in_test(data, run):
    with open(data / "test.csv", "a") as file:
        file.write(f"c,1.5,{BOX},jump\n")
    status, lines, _ = run(data)
    assert status == 1 and "test.csv:4: invalid row: action is 'jump'; expected one" in lines[0]


def test_persons_without_labels_and_rare_actions(data, run):
    other = "0.6,0.2,0.9,0.6"
    with open(data / "train.csv", "a") as file:
        file.write(f"a,1,{other},\nb,1.2,{BOX},\n")
    (data / "people.csv").write_text(
        "video,time,x1,y1,x2,y2,score\n"
        f"a,1,{BOX},0.9\nb,1,{BOX},0.9\nb,1,{other},0.9\nb,1,{other},0.1\n"
    )
    _, _, table = run(data / "train.csv", "--predicted", data / "people.csv")

    def fact(name):
        return re.search(f"{re.escape(name)}  +(.*)", table)[1]

    assert fact("train.csv: boxes without action beside others that have one") == "1 (from line 2)"
    assert fact("train.csv: keyframes without any action") == "1"
    assert fact("people.csv at these keyframes: boxes that match no annotated one") == "1"
    assert fact("train.csv: actions with fewer than 10 boxes") == "sit (2), wave (2)"

