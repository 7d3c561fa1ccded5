"""Extraction at a constant rate yields exactly the frames of FFmpeg 4's -r 30."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from data_pipelines.sources import ava
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.encoding import write_video
from data_pipelines.video.extracting import extract
from tests.data_pipelines.conftest import PLAIN, turned_picture

# Recorded with FFmpeg 4.1 on videos of 4 seconds. {frame rate of the video: (source frames of the
# first 24 frames extracted at 30 a second, number of extracted frames)}
SHOWN = {
    Fraction(24000, 1001): ("0 1 2 2 3 4 5 6 6 7 8 9 10 10 11 12 13 14 14 15 16 17 18 18", 119),
    24: ("0 1 2 2 3 4 5 6 6 7 8 9 10 10 11 12 13 14 14 15 16 17 18 18", 120),
    25: ("0 1 2 3 3 4 5 6 7 8 8 9 10 11 12 13 13 14 15 16 17 18 18 19", 120),
    Fraction(30000, 1001): ("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23", 119),
    30: ("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23", 120),
    12: ("0 0 1 1 1 2 2 3 3 3 4 4 5 5 5 6 6 7 7 7 8 8 9 9", 120),
    10: ("0 0 0 1 1 1 2 2 2 3 3 3 4 4 4 5 5 5 6 6 6 7 7 7", 120),
    50: ("0 1 2 3 4 5 7 9 10 12 14 15 17 19 20 22 24 25 27 29 30 32 34 35", 122),
}


def barcode(number: int) -> np.ndarray:
    """A picture that encodes its number in stripes, readable after any compression."""
    picture = np.full((48, 64, 3), 20, np.uint8)
    for bit in range(8):
        picture[:, 8 * bit : 8 * bit + 8] += 210 * (number >> bit & 1)
    return picture


def number_in(picture: np.ndarray) -> int:
    """The number of a `barcode`."""
    stripes = picture.mean(axis=(0, 2)).reshape(8, -1)[:, 2:-2].mean(axis=1) > 120
    return int((stripes << np.arange(8)).sum())


def write(path, count, **options):
    write_video(path, map(barcode, range(count)), **{"options": PLAIN} | options)
    return path


def numbers(folder):
    return [number_in(np.asarray(Image.open(path))) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("fps", SHOWN)
@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_frames_equal_those_of_ffmpeg(tmp_path, fps, suffix):
    video = write(tmp_path / f"v{suffix}", int(4 * fps), fps=fps)
    (tmp_path / "out").mkdir()
    shown, count = SHOWN[fps]
    assert extract(video, tmp_path / "out", stem="v_") == count
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == [f"v_{number:06d}.jpg" for number in range(1, count + 1)]
    assert numbers(tmp_path / "out")[:24] == [int(number) for number in shown.split()]


def test_b_frames_and_a_limited_duration(tmp_path):
    video = write(tmp_path / "v.mov", 50, fps=25, options={"bf": "3"})
    (tmp_path / "out").mkdir()
    assert extract(video, tmp_path / "out", stem="", seconds=1) == 30
    assert numbers(tmp_path / "out")[-2:] == [23, 24]
    assert extract(video, tmp_path / "out", stem="", fps=50) == 100


def test_a_keyframe_of_ava(tmp_path):
    """The frame of second s is the file of number (s - 900) * 30 + 1."""
    video = write(tmp_path / "v.mp4", 200, fps=25)
    folder = tmp_path / "frames" / "v"
    folder.mkdir(parents=True)
    assert extract(video, folder, stem="v_") == 240
    for second in range(900, 908):
        name = f"v_{(second - ava.FIRST_SECOND) * 30 + 1:06d}.jpg"
        assert number_in(np.asarray(Image.open(folder / name))) == (second - 900) * 25
    (frames,) = ava.find_sources(tmp_path / "frames", ["v"]).values()
    assert frames.count == 240


def test_size_and_orientation(videos, tmp_path):
    extract(videos["turned90"], tmp_path, stem="")
    picture = np.asarray(Image.open(tmp_path / "000001.jpg")).astype(int)
    assert picture.shape == (64, 48, 3)
    turned = np.rot90(turned_picture())
    assert np.median(np.abs(picture - turned)) < 8
    video = tmp_path / "big.mp4"
    write_video(video, [np.zeros((90, 160, 3), np.uint8)])
    for short_side, size in ((None, (160, 90)), (100, (160, 90)), (47, (84, 47))):
        extract(video, tmp_path, stem="big", short_side=short_side)
        assert Image.open(tmp_path / "big000001.jpg").size == size


@pytest.mark.parametrize("name", ["text", "truncated", "broken_middle", "nothing_decodes", "audio"])
def test_broken_videos_are_refused(videos, tmp_path, name):
    with pytest.raises(VideoError, match=name):
        extract(videos[name], tmp_path, stem="")
