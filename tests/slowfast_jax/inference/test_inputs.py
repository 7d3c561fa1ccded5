"""Which videos the arguments of the predict command name."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.video.encoding import write_video
from data_pipelines.video.image_files import FrameFiles
from slowfast_jax.inference.inputs import find_inputs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Videos, frames and other files; also the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.mp4", "a.mp4", "deep/er/C.MKV", "deep/.hidden.mp4", ".git/d.mp4"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        write_video(name, np.zeros((3, 16, 16, 3), np.uint8))
    os.rename("deep/er/C.MKV", "deep/er/C")  # no suffix: opened to see what it is
    Path("deep/notes.txt").write_text("This is text, which FFmpeg would play as a video.\n" * 50)
    Path("deep/data.bin").write_bytes(bytes(range(256)) * 9)
    Path("broken.mp4").write_bytes(b"broken")  # by its name, a video: to be reported
    for number in (9, 10, 11, 100):
        Path("frames").mkdir(exist_ok=True)
        Image.new("RGB", (16, 12), (number, 0, 0)).save(f"frames/img_{number}.png")
    Image.new("RGB", (9, 9)).save("deep/er/cover.jpg")
    return tmp_path


def names(*arguments):
    return list(find_inputs(arguments, 30.0).videos)


def test_folders_with_their_subfolders(folder):
    found = find_inputs(["."], 30.0)
    assert list(found.videos) == ["./a.mp4", "./b.mp4", "./broken.mp4", "./deep/er/C", "./frames"]
    assert not found.missing
    assert found.passed_over == ["./deep/data.bin", "./deep/notes.txt", "./deep/er/cover.jpg"]


def test_patterns_and_repetitions(folder):
    assert names("*.mp4") == ["a.mp4", "b.mp4", "broken.mp4"]
    assert names("**/C") == ["deep/er/C"]
    assert names("b.mp4", "./b.mp4", "*.mp4") == ["b.mp4", "a.mp4", "broken.mp4"]
    for arguments in (["deep", "deep"], ["deep", "./deep/", "deep/er/C"], ["deep/er/C", "deep"]):
        found = find_inputs(arguments, 30.0)
        assert [os.path.normpath(name) for name in found.videos] == ["deep/er/C"]
        assert not found.missing and len(found.passed_over) == 3
    assert not find_inputs(["frames", "frames"], 30.0).missing
    found = find_inputs(["deep", "deep/notes.txt"], 30.0)  # asked for after all
    assert "deep/notes.txt" in found.videos and "deep/notes.txt" not in found.passed_over
    Path("x[1].mp4").write_bytes(b"")
    assert names("x[1].mp4") == ["x[1].mp4"]  # a file of that name, before any pattern


def test_results_of_an_earlier_run_are_no_videos(folder):
    everything = ["./a.mp4", "./b.mp4", "./broken.mp4", "./deep/er/C", "./frames"]
    found = find_inputs(["."], 30.0, "deep/er")
    assert list(found.videos) == [name for name in everything if name != "./deep/er/C"]
    assert found.results == ["./deep/er/C"] and not found.missing
    assert not list(find_inputs(["**/C"], 30.0, "deep").videos)
    assert find_inputs(["**/C"], 30.0, "deep").missing.keys() == {"deep"}
    for argument in ("deep", "deep/er", "deep/er/C"):  # asked for by name
        found = find_inputs([argument], 30.0, "deep")
        assert len(found.videos) == 1 and not found.results
    assert list(find_inputs([".", "deep/er/C"], 30.0, "deep").videos)[-1] == "deep/er/C"
    # A file is checked by those who write it: it must not be replaced.
    assert list(find_inputs(["."], 30.0, "a.mp4").videos) == everything
    assert list(find_inputs(["."], 30.0, "not/yet").videos) == everything


def test_links_in_a_circle(folder):
    os.symlink("..", folder / "deep/up")
    assert len(names("deep")) == 5  # each video once, among them those above


def test_a_folder_of_pictures_is_one_video(folder):
    (frames,) = find_inputs(["frames"], 12.5).videos.values()
    assert isinstance(frames, FrameFiles) and frames.fps == 12.5
    count, read = frames.open()
    assert [int(read(i)[0, 0, 0]) for i in range(count)] == [9, 10, 11, 100]


def test_a_picture_is_a_video_of_one_frame(folder):
    (picture,) = find_inputs(["deep/er/cover.jpg"], 30.0).videos.values()
    assert picture.open()[0] == 1


@pytest.mark.parametrize(("argument", "reason"), [
    ("gone.mp4", "no such file or folder"),
    ("gone/*.mp4", "no file matches"),
    ("empty", "there are no videos or pictures in this folder"),
    ("dead.mp4", "a link to nowhere, which does not exist"),
    ("rtsp://127.0.0.1/cam", "streams and cameras are not read"),
    ("RTMP://host/live?key=[1]", "streams and cameras are not read"),
    ("udp://@:1234", "streams and cameras are not read"),
    ("0", "streams and cameras are not read"),
    ("/dev/video0", "streams and cameras are not read"),
    ("/dev/null", "streams and cameras are not read"),
    ("http://host/a.mp4", "addresses are not read; download the video"),
    ("https://host/*.mp4", "addresses are not read; download the video"),
    ("s3://bucket/a.mp4", "addresses are not read; download the video"),
    ("-", "standard input is not read"),
    ("pipe", "neither a file nor a folder"),
])
def test_what_cannot_be_predicted(folder, argument, reason):
    Path("empty").mkdir()
    Path("empty/.keep").touch()
    os.symlink("nowhere", "dead.mp4")
    os.mkfifo("pipe")
    found = find_inputs(["a.mp4", argument], 30.0)
    assert list(found.videos) == ["a.mp4"] and list(found.missing) == [argument]
    assert found.missing[argument].startswith(reason)


def test_a_file_named_like_a_camera(folder):
    os.rename("a.mp4", "0")
    assert names("0") == ["0"]
