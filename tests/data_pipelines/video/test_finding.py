"""Which files of a folder are videos, whatever their suffix, and what is said of the others."""

import os
import shutil

import av
import numpy as np
import pytest
from PIL import Image

from data_pipelines.paths import VIDEO_SUFFIXES
from data_pipelines.sources.ava_kinetics import find_clips
from data_pipelines.sources.keyframes import find_sources
from data_pipelines.video import finding
from data_pipelines.video.finding import find_videos
from tests.data_pipelines.conftest import numbered_frames

# Suffix -> codec and format of files as cameras and programs write them.
WRITTEN = {
    ".m4v": ("libx264", "mp4"), ".ts": ("libx264", "mpegts"), ".flv": ("flv", "flv"),
    ".mpg": ("mpeg2video", "mpeg"), ".mpeg": ("mpeg1video", "mpeg"), ".wmv": ("wmv2", "asf"),
    ".3gp": ("libx264", "3gp"), ".3g2": ("libx264", "3g2"), ".mts": ("libx264", "mpegts"),
    ".m2ts": ("libx264", "mpegts"), ".vob": ("mpeg2video", "vob"), ".asf": ("wmv2", "asf"),
    ".divx": ("mpeg4", "avi"), ".f4v": ("libx264", "f4v"), ".mxf": ("mpeg2video", "mxf"),
    ".y4m": ("rawvideo", "yuv4mpegpipe"), ".gif": ("gif", "gif"), ".nut": ("mpeg4", "nut"),
    ".ivf": ("libvpx", "ivf"), ".h264": ("libx264", "h264"), ".265": ("libx265", "hevc"),
    ".swf": ("flv", "swf"), ".xvid": ("mpeg4", "avi"), ".old": ("libx264", "mp4"),
    "": ("libx264", "matroska"),
}


def write(path, codec, form, count=4):
    """A short video of gray frames."""
    with av.open(str(path), "w", format=form) as container:
        options = {"preset": "ultrafast", "log-level": "none"} if codec.startswith("libx") else {}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = 160, 120
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        for number, picture in enumerate(numbered_frames(count, 120, 160)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A video of every suffix of WRITTEN."""
    folder = tmp_path_factory.mktemp("written")
    for number, (suffix, (codec, form)) in enumerate(WRITTEN.items()):
        write(folder / f"{number:02d}{suffix}", codec, form)
    return folder


def test_every_video_is_found_whatever_its_suffix(written):
    found = find_videos(written)
    assert [path.suffix for path in found.videos] == list(WRITTEN)
    assert found.left_out == {} and found.companions == []


def test_videos_of_tables_are_found_whatever_their_suffix(written, tmp_path):
    names = [f"{number:02d}" for number in range(len(WRITTEN))]
    assert list(find_sources(written, names)) == names
    shutil.copy(written / "00.m4v", tmp_path / "A_000001_000003.M4V")
    shutil.copy(written / "23.old", tmp_path / "B_000001_000003.old")
    assert list(find_clips(tmp_path, ["A", "B"])) == ["A", "B"]
    # Beside other files of its name.
    shutil.copy(written / "01.ts", tmp_path / "c.ts")
    (tmp_path / "c.srt").write_text("1\n")
    (tmp_path / "c.jpg").write_bytes(b"x")
    assert find_sources(tmp_path, ["c"]) == {"c": f"{tmp_path}/c.ts"}


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_suffixes_count_in_any_case(tmp_path, suffix):
    names = [f"a{suffix}", f"b{suffix.upper()}", f"c{suffix.title()}"]
    for name in names:
        (tmp_path / name).write_bytes(b"damaged, which is reported when the file is read")
    assert [path.name for path in find_videos(tmp_path).videos] == names


def test_every_file_left_out_is_named(tmp_path, videos):
    folder = tmp_path / "day1"
    folder.mkdir()
    write(folder / "a.mp4", "libx264", "mp4")
    shutil.copy(folder / "a.mp4", folder / "b.mp4.part")
    shutil.copy(folder / "a.mp4", folder / "GL010001.LRV")
    shutil.copy(videos["audio"], folder / "sound.m4a")
    shutil.copy(videos["song"], folder / "song.mp3")
    write(folder / "still.gif", "gif", "gif", count=1)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "still.png")
    (folder / "archive.zip").write_bytes(b"PK\x03\x04" + os.urandom(99))
    (folder / "junk").write_bytes(os.urandom(5000))
    (folder / "words.asc").write_text("hello\n" * 100)
    (folder / "empty.xyz").write_bytes(b"")
    for number in range(3):
        (tmp_path / f"img_{number:05d}.JPG").write_bytes(b"x")
    for name in ("notes.txt", "a.srt", "labels.csv", "README"):
        (folder / name).write_text("text")
    for name in (".DS_Store", "._a.mp4", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "nothing").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "round").symlink_to(tmp_path)
    found = find_videos(tmp_path)
    assert [path.name for path in found.videos] == ["a.mp4"]
    reasons = {path.name: reason for path, reason in found.left_out.items()}
    for name, reason in {
        "b.mp4.part": "unfinished download", "GL010001.LRV": "small copy",
        "sound.m4a": "no video stream", "song.mp3": "no video stream",
        "still.gif": "single picture", "still.png": "a picture", "archive.zip": "cannot be opened",
        "junk": "cannot be opened", "words.asc": "", "empty.xyz": "empty",
        tmp_path.name: "holds 3 pictures such as img_00000.JPG",
    }.items():
        assert reason in reasons.pop(name), name
    assert reasons == {}
    assert sorted(path.name for path in found.companions) == [
        "README", "a.srt", "labels.csv", "notes.txt"
    ]
    assert found.empty == [tmp_path / "nothing"]


def test_folders_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="none: no such folder of videos"):
        find_videos(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file: is a file; expected a folder of videos"):
        find_videos(tmp_path / "file")
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(finding.os, "scandir", refuse)
    assert find_videos(tmp_path).left_out[tmp_path / "locked"] == (
        "cannot be read (Permission denied)"
    )


def test_names_that_no_list_can_hold(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    with open(name, "wb"):
        pass
    (reason,) = find_videos(tmp_path).left_out.items()
    assert "caf\\udce9.mp4" in str(reason[0]) and "not UTF-8" in reason[1]
