"""Sliding windows: which frames they show, and that no other frames stay in memory."""

import numpy as np
import pytest
from PIL import Image

from data_pipelines.examples import sliding_windows
from data_pipelines.examples.sliding_windows import iterate_windows
from data_pipelines.sampling import clip_indices
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.image_files import FrameFiles
from tests.data_pipelines.conftest import frame_numbers
from tests.data_pipelines.support.encodings import CODECS, write

CLIP = {"num_frames": 4, "sampling_rate": 2, "crop": 16}  # spans 8 frames


def shown(source, **keywords):
    found = list(iterate_windows(source, **CLIP, **keywords))
    assert all(w.clip.shape == (4, 16, 16, 3) and w.clip.dtype == np.uint8 for w in found)
    return found, [frame_numbers(w.clip) for w in found]


@pytest.mark.parametrize("frames", [1, 3, 5, 8, 11])
def test_windows_cover_the_video(videos, frames):
    """The video has 60 frames at 30 fps; strides are shorter or longer than a window."""
    found, numbers = shown(videos["numbered"], stride=frames / 30)
    starts = np.arange(len(found)) * frames
    expected = [clip_indices(60, start, 8, 4).tolist() for start in starts]
    assert numbers == expected
    assert starts[-1] < 60 and (starts[-1] + 8 >= 60 or starts[-1] + frames >= 60)
    np.testing.assert_allclose([w.begin for w in found], starts / 30)
    np.testing.assert_allclose([w.end for w in found], (starts + 8) / 30)


def test_a_video_shorter_than_a_clip_is_one_window(videos):
    _, numbers = shown(videos["five"], stride=1.0)
    assert numbers == [[0, 2, 4, 4]]
    assert shown(videos["one_frame"], stride=1.0)[1] == [[0, 0, 0, 0]]


def test_only_frames_of_current_windows_are_held(videos, monkeypatch):
    most = 0

    class Counted(sliding_windows.deque):
        def append(self, item):
            nonlocal most
            super().append(item)
            most = max(most, len(self))

    monkeypatch.setattr(sliding_windows, "deque", Counted)
    for frames in (3, 25):
        shown(videos["numbered"], stride=frames / 30)
        assert 0 < most <= 8


def test_frames_as_image_files(tmp_path):
    for number in range(20):
        Image.fromarray(np.full((20, 24, 3), 20 + 3 * number, np.uint8)).save(
            tmp_path / f"{number}.png"
        )
    files = FrameFiles("frames", 20, f"{tmp_path}/{{}}.png")
    assert shown(files, stride=0.2)[1] == [[0, 2, 4, 7], [6, 8, 10, 13], [12, 14, 16, 19]]


def test_errors(videos, tmp_path):
    with pytest.raises(ValueError, match="30 frames .*, too few for a clip every 0.01 seconds,"):
        list(iterate_windows(videos["numbered"], **CLIP, stride=0.01))
    for name in ("text", "nothing_decodes", "audio"):
        with pytest.raises(VideoError, match=videos[name].name):
            list(iterate_windows(videos[name], **CLIP, stride=1.0))


def test_times_count_gaps_between_recordings(tmp_path):
    path = write(tmp_path / "gap.mkv", CODECS["h264"], count=60, time=lambda n: n + n // 30 * 9000)
    windows = list(iterate_windows(
        str(path), num_frames=2, sampling_rate=3, stride=0.5, crop=48
    ))
    assert [(round(w.begin, 2), round(w.end, 2)) for w in windows] == [
        (0.0, 0.2), (0.5, 0.7), (301.0, 301.2), (301.5, 301.7)
    ]
