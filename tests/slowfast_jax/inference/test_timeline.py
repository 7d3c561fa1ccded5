"""Scores over time: which clips make a window, and that a long video streams."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data_pipelines.video.encoding import write_video
from data_pipelines.video.image_files import frame_files
from slowfast_jax.inference.timeline import Plan, WindowCombiner, plan, score_windows

FPS, FRAMES = 10, 61
SAMPLING = dict(num_frames=2, sampling_rate=3, target_fps=30.0, crop=16)  # a clip takes 0.2 s


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A video whose frame i is gray i * 4, as a file and as frames."""
    folder = tmp_path_factory.mktemp("videos")
    frames = np.stack([np.full((16, 24, 3), 4 * i, np.uint8) for i in range(FRAMES)])
    write_video(folder / "a.mp4", frames, fps=FPS, options={"preset": "ultrafast", "crf": "0"})
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{i:03d}.png")
    names = sorted(path.name for path in folder.glob("*.png"))
    return str(folder / "a.mp4"), replace(frame_files("a", names, folder), fps=float(FPS))


def brightness(clips):
    """Two scores: the number of the mean frame of each clip, and 1."""
    frame = clips.mean((1, 2, 3, 4)) / 4
    return np.stack([frame, np.ones_like(frame)], 1)


def scored(video, window, stride, batch_size=4, **changes):
    return list(score_windows(
        brightness, video, SAMPLING | changes, window=window, stride=stride, method="sum",
        batch_size=batch_size,
    ))


@pytest.mark.parametrize(("clip", "window", "stride", "expected"), [
    (2, 2, 2, (2, 2, 1, 1)),  # a clip each
    (2, 10, 10, (10, 2, 5, 5)),
    (2, 10, 5, (10, 5 / 3, 3, 6)),  # clips are shared by windows that overlap
    (1.6, 10, 10, (10, 10 / 7, 7, 7)),
    (2, 1, 1, (2, 1, 1, 1)),  # a window is at least a clip
    (2, 2, 0.5, (2, 0.5, 1, 1)),
    (2, 4, 0.5, (4, 0.5, 1, 5)),
    (2, 2, 10, (2, 2, 5, 1)),  # gaps between windows
])
def test_clips_of_a_window(clip, window, stride, expected):
    assert plan(clip, window, stride) == pytest.approx(expected)


def test_windows_have_the_clips_that_were_not_left_out():
    combined = WindowCombiner(Plan(2.0, 1.0, 2, 2), 2.0, "sum")  # of clips 0 and 1, 2 and 3, ...
    rows = np.eye(7, dtype=np.float32)
    assert list(combined.add(0, rows[0])) == []
    found = list(combined.add(5, rows[5], (0.0, 0.25)))
    assert [window[:2] for window in found] == [(0.0, 2.0), (4.0, 6.25)]
    np.testing.assert_array_equal([window.scores for window in found], rows[[0, 5]])
    assert list(combined.last()) == []
    assert list(combined.add(6, rows[6])) == []
    combined.duration = 7.5
    assert [window[:2] for window in combined.last()] == [(6.0, 7.5)]


@pytest.mark.parametrize("clip", [0.5, 1.6, 2.13])
@pytest.mark.parametrize("window", [0.3, 1.6, 2.0, 5.0, 30.0])
@pytest.mark.parametrize("stride", [0.1, 1.0, 1.6, 5.0, 7.0])
def test_the_clips_of_a_window_fill_it(clip, window, stride):
    planned = plan(clip, window, stride)
    assert planned.every * planned.step == pytest.approx(stride)
    assert planned.step <= clip * (1 + 1e-5)  # no gap between clips
    reach = (planned.count - 1) * planned.step + clip
    assert planned.length - planned.step < reach + 1e-4
    assert reach < planned.length + clip / 2 + 1e-4


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_windows_are_the_means_of_their_clips(videos, kind, batch_size):
    found = scored(videos[kind], 2.0, 1.0, batch_size)
    assert [w.start for w in found] == pytest.approx([0, 1, 2, 3, 4, 5])
    assert [w.end for w in found] == pytest.approx([2, 3, 4, 5, 6, 6.1])
    for window in found[:5]:
        assert window.scores.dtype == np.float32
        first = window.start * FPS
        assert window.scores == pytest.approx([first + 9.5, 1], abs=0.3)  # frames first..first+19


def test_gaps_between_windows(videos):
    found = scored(videos[0], 0.2, 3.0)
    assert [w.start for w in found] == pytest.approx([0, 3, 6])
    assert [w.end for w in found] == pytest.approx([0.2, 3.2, 6.1])
    assert [w.scores[0] for w in found] == pytest.approx([0.5, 30.5, 60], abs=0.3)


@pytest.mark.parametrize(("window", "stride", "ends"), [
    (100, 100, [6.1]), (6.1, 6.1, [6.1]), (3, 3, [3, 6, 6.1]), (4, 2, [4, 6, 6.1]), (0.1, 2, None),
])
def test_the_last_window_ends_with_the_video(videos, window, stride, ends):
    found = scored(videos[1], window, stride)
    if ends:
        assert [w.end for w in found] == pytest.approx(ends)
    assert all(0 < w.end - w.start <= max(window, 0.2) + 1e-6 for w in found)


def test_windows_come_while_the_video_is_read(videos, monkeypatch):
    calls = []

    def predict(clips):
        calls.append(len(clips))
        return brightness(clips)

    stream = score_windows(
        predict, videos[0], SAMPLING, window=0.4, stride=0.4, method="sum", batch_size=2
    )
    next(stream)
    assert len(calls) <= 2
    assert len(list(stream)) == 15 and set(calls) == {2}  # one shape


def test_strides_below_a_frame_are_refused(videos):
    with pytest.raises(ValueError, match="10 frames .*, too few for a clip every 0.01 seconds,"):
        scored(videos[0], 1.0, 0.01)
