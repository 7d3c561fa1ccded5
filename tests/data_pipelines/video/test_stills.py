"""Uncropped frames for reports."""

import numpy as np
import pytest
from PIL import Image

from data_pipelines.video.decoding import VideoError
from data_pipelines.video.encoding import write_video
from data_pipelines.video.image_files import frame_files
from data_pipelines.video.stills import LARGEST, look, middle, play, still
from tests.data_pipelines.conftest import frame_numbers


def test_a_still_is_the_frame_at_its_time(videos):
    path = str(videos["numbered"])  # 60 frames, 30 a second
    seen = [still(path, seconds) for seconds in (0, 0.5, 1.01, 1.99, 5, -1)]
    assert frame_numbers(seen) == [0, 15, 30, 59, 59, 0]
    assert frame_numbers([middle(path), middle(str(videos["one_frame"]))]) == [30, 0]
    with pytest.raises(VideoError, match="no such file"):
        still("gone.mp4", 1.0)


def test_play_yields_frames_in_order(videos):
    path = str(videos["numbered"])
    numbers, frames = zip(*play(path, 3, 53), strict=True)
    assert numbers == tuple(range(3, 53)) and frame_numbers(frames) == list(numbers)
    assert [number for number, _ in play(path, 55)] == list(range(55, 60))
    assert list(play(path, 7, 7)) == [] and list(play(path, 60)) == []


def test_frames_stored_as_images(tmp_path):
    for number in range(4):
        Image.new("RGB", (8, 6), (60 * number,) * 3).save(tmp_path / f"{number:03d}.png")
    files = frame_files("walk", [f"{number:03d}.png" for number in range(4)], tmp_path)
    assert still(files, 0.5, fps=4)[0, 0, 0] == 120 and middle(files)[0, 0, 0] == 120
    assert [(n, picture[0, 0, 0]) for n, picture in play(files, 1, 9)] == [
        (1, 60), (2, 120), (3, 180)]


def test_large_pictures_are_reduced(tmp_path):
    picture = np.zeros((2 * LARGEST, 3 * LARGEST, 3), np.uint8)
    picture[:, ::2] = 200
    write_video(tmp_path / "large.mp4", [picture], options={"crf": "1"})
    info, pictures = look(str(tmp_path / "large.mp4"), lambda info: [0])
    assert pictures.shape == (1, LARGEST, round(1.5 * LARGEST), 3) and info.frames == 1
    assert np.abs(pictures.astype(int) - 100).max() < 20  # averaged, not every other column


@pytest.mark.parametrize(("name", "reason"), [
    ("empty", "is empty"), ("text", "cannot be opened"), ("audio", "no video stream"),
    ("song", "no video stream"), ("nothing_decodes", "no frame can be decoded"),
])
def test_unusable_files_are_refused(videos, name, reason):
    for read in (lambda path: list(play(path)), lambda path: list(play(path, 5, 9)), middle):
        with pytest.raises(VideoError, match=reason):
            read(str(videos[name]))


@pytest.mark.parametrize("name", ["truncated", "broken_middle"])
def test_damaged_files_are_played_as_far_as_they_go(videos, name):
    numbers = [number for number, _ in play(str(videos[name]))]
    assert 20 < len(numbers) <= 60 and numbers == sorted(set(numbers)) and numbers[0] == 0
