"""Problems found in intact, unusual and broken videos."""

import numpy as np
import pytest
from PIL import Image

from data_pipelines.video.encoding import write_video
from data_pipelines.video.image_files import frame_files
from data_pipelines.video.inspection import inspect
from tests.data_pipelines.conftest import numbered_frames


def kinds(inspection):
    return [problem.kind for problem in inspection.problems]


@pytest.mark.parametrize("name", ["numbered", "bframes", "ntsc", "turned90"])
def test_intact_videos(videos, name):
    found = inspect(str(videos[name]))
    assert found.problems == () and found.frames > 1 and 29 < found.fps <= 30


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("empty", "broken", "the file is empty; copy or download it again"),
        ("text", "broken", "it is truncated or not a video"),
        ("nothing_decodes", "broken", "no frame can be decoded (codec h264)"),
        ("truncated", "broken", "the header promises 60 frames, but the file has 30"),
        ("broken_middle", "broken", "of 60 packets cannot be decoded"),
        ("audio", "no video", "no video stream (found: audio)"),
        ("song", "no video", "no video stream (found: audio, cover)"),
    ],
)
def test_unusable_videos(videos, name, kind, text):
    (problem,) = inspect(str(videos[name])).problems
    assert (problem.kind, problem.usable) == (kind, False) and text in problem.text


def test_a_missing_video(tmp_path):
    found = inspect(str(tmp_path / "none.mp4"))
    assert (found.frames, found.fps, kinds(found)) == (0, 0.0, ["missing"])


def test_unusual_and_variable_rates(videos, tmp_path):
    found = inspect(str(videos["variable"]))
    variable = found.problems[-1]
    assert (variable.kind, variable.usable) == ("variable rate", True)
    assert "of 19 intervals" in variable.text
    write_video(tmp_path / "slow.mp4", numbered_frames(6), fps=2)
    (odd,) = inspect(str(tmp_path / "slow.mp4")).problems
    assert (odd.kind, odd.usable) == ("unusual rate", True)
    assert odd.text.startswith("2 frames per second")
    # Matroska rounds times to milliseconds; that does not count as a variable rate.
    write_video(tmp_path / "rounded.mkv", numbered_frames(30))
    assert inspect(str(tmp_path / "rounded.mkv")).problems == ()


def test_short_videos(videos):
    path = str(videos["five"])
    assert inspect(path, clip_seconds=5 / 30).problems == ()
    (short,) = inspect(path, clip_seconds=0.2).problems
    assert (short.kind, short.usable) == ("short", True)
    assert "5 frames, 0.17 s; a clip takes 0.20 s" in short.text


def test_a_picture_that_changes_its_size_is_reported(tmp_path):
    parts = []
    for height in (48, 64):
        write_video(tmp_path / f"{height}.ts", [np.zeros((height, 64, 3), np.uint8)] * 4)
        parts.append((tmp_path / f"{height}.ts").read_bytes())
    (tmp_path / "sizes.ts").write_bytes(b"".join(parts))
    found = {p.kind: p for p in inspect(str(tmp_path / "sizes.ts")).problems}["size changes"]
    assert "from 64x48 to 64x64 at frame 4" in found.text and not found.usable


def test_videos_stored_as_images(tmp_path):
    for number in range(1, 6):
        Image.new("RGB", (8, 6)).save(tmp_path / f"{number}.jpg")
    files = frame_files("a", [f"{number}.jpg" for number in range(1, 6)], tmp_path)
    assert inspect(files, clip_frames=5).problems == () and inspect(files).frames == 5
    (short,) = inspect(files, clip_frames=6).problems
    assert short.kind == "short" and "5 frames; a clip takes 6" in short.text
    (tmp_path / "2.jpg").unlink()
    (missing,) = inspect(files).problems
    assert missing.kind == "missing" and "1 of 5 images: " in missing.text
    Image.new("RGB", (8, 8)).save(tmp_path / "4.jpg")
    (tmp_path / "5.jpg").write_bytes(b"no image")
    (broken,) = inspect(files).problems
    assert broken.kind == "broken" and "3 of 5 images: " in broken.text
    assert "2.jpg: no such file, and 2 other images" in broken.text
