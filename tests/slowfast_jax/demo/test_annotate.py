"""A video is annotated: its scores are those of the recognizer, and the film shows them."""

from fractions import Fraction

import av
import numpy as np
import pytest

import slowfast_jax
from data_pipelines.video.decoding import probe, select_frames
from data_pipelines.video.image_files import frame_files
from data_pipelines.video.opening import VideoError
from slowfast_jax.demo.annotate import Options, Progress, annotate_film
from slowfast_jax.demo.stages.persons import PeopleAt, given_people
from tests.support.films import gray_pictures, sound_of, times_of, write_film


@pytest.fixture
def recognizer(tiny):
    return slowfast_jax.load("test/tiny", weights="random")


@pytest.fixture
def video(tmp_path):
    write_film(tmp_path / "a.mp4", gray_pictures(75), sound="aac")
    return tmp_path / "a.mp4"


@pytest.mark.parametrize(("window", "stride"), [(None, None), (1.0, 0.4), (0.1, 0.9), (1.2, 2.0)])
def test_scores_are_those_of_score_windows(recognizer, video, window, stride):
    result = annotate_film(recognizer, video, options=Options(window, stride))
    length = window or 4 * 4 / 30  # frames of a clip of test/tiny at 30 per second
    expected = list(recognizer.score_windows(str(video), length, stride))
    assert len(result.windows) == len(expected) > 1
    for ours, theirs in zip(result.windows, expected, strict=True):
        assert (ours.start, ours.end) == pytest.approx((theirs.start, theirs.end))
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-6)


def test_the_film_has_all_frames_with_their_times_and_the_sound(recognizer, tmp_path):
    times = np.cumsum(np.tile([0.02, 0.05, 0.1], 20)) - 0.02  # a variable rate
    write_film(tmp_path / "a.mp4", gray_pictures(60), times=times, sound="aac")
    result = annotate_film(recognizer, tmp_path / "a.mp4", tmp_path / "b.mp4")
    np.testing.assert_allclose(times_of(tmp_path / "b.mp4"), times, atol=1e-3)
    codec, seconds = sound_of(tmp_path / "b.mp4")
    assert codec == "aac" and seconds == pytest.approx(times[-1], abs=0.2)
    assert set(result.timing.seconds) == {"decode", "recognize", "draw", "encode"}
    content = (tmp_path / "b.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # plays before all of it is there
    info = probe(tmp_path / "b.mp4")
    assert (info.codec, info.width, info.height) == ("h264", 320, 240)  # enlarged for the text


def test_frames_keep_their_order_and_their_scores_their_time(recognizer, tmp_path):
    """Several threads decode, recognize and encode."""
    numbers = np.arange(100)
    bits = numbers[:, None] >> np.arange(7) & 1
    pictures = np.zeros((100, 240, 320, 3), np.uint8)
    for picture, row in zip(pictures, bits, strict=True):
        picture[100:140, 20:300] = 255 * np.repeat(row, 40)[:, None]
    write_film(tmp_path / "a.mp4", list(pictures))
    events, seen = [], []
    annotate_film(
        recognizer, tmp_path / "a.mp4", tmp_path / "b.mp4", found=events.append,
        report=lambda progress: seen.append(progress.frames),
    )
    _, _, film = select_frames(tmp_path / "b.mp4", lambda info: range(info.frames))
    found = film[:, 120, 40:300:40, 0] > 128
    np.testing.assert_array_equal(found @ (1 << np.arange(7)), numbers)
    assert seen == list(range(1, 101))
    starts = [event.start for event in events]
    assert len(starts) > 3 and starts == sorted(starts)


def test_frames_are_shown_without_a_film(recognizer, video):
    shown = []
    annotate_film(recognizer, video, show=lambda frame, time: shown.append((frame.width, time)))
    assert len(shown) == 75 and {width for width, _ in shown} == {320}
    np.testing.assert_allclose([time for _, time in shown], np.arange(75) / 30, atol=1e-3)


def test_labels_and_the_time_bar_are_drawn(recognizer, tmp_path):
    recognizer.class_names = ["lie", "run", "sit", "wave"]
    write_film(tmp_path / "a.mp4", [np.full((240, 320, 3), 128, np.uint8)] * 30)
    annotate_film(recognizer, tmp_path / "a.mp4", tmp_path / "b.mp4")
    _, _, (first, last) = select_frames(tmp_path / "b.mp4", lambda info: [0, info.frames - 1])
    for picture in (first, last):
        assert (picture[8:30, 8:40] < 60).any() and (picture[8:30, 8:40] > 200).any()  # the panel
        assert np.abs(picture[100:150, 100:200].astype(int) - 128).max() < 6  # nothing else
    assert np.ptp(first[-2, 160].astype(int)) < 30 < np.ptp(last[-2, 160].astype(int))


def test_progress_is_reported_and_an_exception_keeps_the_film(recognizer, video, tmp_path):
    seen: list[Progress] = []

    def report(progress):
        seen.append(progress)
        if len(seen) == 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate_film(recognizer, video, tmp_path / "b.mp4", report=report)
    assert [progress.frames for progress in seen] == list(range(1, 61))
    assert seen[-1].time == pytest.approx(59 / 30) and seen[-1].duration == pytest.approx(2.5)
    assert 20 <= len(times_of(tmp_path / "b.mp4")) <= 60


def test_portrait_odd_sizes_and_videos_of_a_frame(recognizer, tmp_path):
    write_film(tmp_path / "a.mp4", gray_pictures(20, 48, 400), rotation=90)
    annotate_film(recognizer, tmp_path / "a.mp4", tmp_path / "b.mp4")
    info = probe(tmp_path / "b.mp4")
    assert (info.width, info.height, info.rotation) == (48 * 5, 400 * 5, 0)
    write_film(tmp_path / "one.mp4", gray_pictures(1))
    result = annotate_film(recognizer, tmp_path / "one.mp4", tmp_path / "c.mp4")
    assert len(result.windows) == 1 and len(times_of(tmp_path / "c.mp4")) == 1


@pytest.mark.parametrize(("rotation", "expected"), [(0, Fraction(16, 11)), (90, Fraction(11, 16))])
def test_pixels_that_are_not_square_keep_their_shape(recognizer, tmp_path, rotation, expected):
    pictures = gray_pictures(9, 240, 320)
    write_film(tmp_path / "a.mp4", pictures, rotation=rotation, aspect=Fraction(16, 11))
    annotate_film(recognizer, tmp_path / "a.mp4", tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as film:
        assert film.streams.video[0].sample_aspect_ratio == expected


def test_frames_stored_as_pictures(recognizer, tmp_path):
    from PIL import Image

    for number, picture in enumerate(gray_pictures(20, 201, 251)):
        Image.fromarray(picture).save(tmp_path / f"{number:03d}.png")
    names = [f"{number:03d}.png" for number in range(20)]
    files = frame_files("a", names, tmp_path)
    result = annotate_film(recognizer, files, tmp_path / "b.mp4", fps=10)
    assert result.info.duration == 2 and len(result.windows) > 1
    np.testing.assert_allclose(times_of(tmp_path / "b.mp4"), np.arange(20) / 10, atol=1e-3)
    assert (probe(tmp_path / "b.mp4").width, probe(tmp_path / "b.mp4").height) == (250, 200)


def test_a_damaged_video_gives_what_came_before(recognizer, tmp_path):
    write_film(tmp_path / "whole.avi", gray_pictures(75))
    content = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 3])
    result = annotate_film(recognizer, tmp_path / "cut.avi", tmp_path / "b.mp4")
    assert "but the file has" in result.error and len(result.windows) > 1
    assert len(times_of(tmp_path / "b.mp4")) > 30


def test_what_is_no_video_raises_before_anything_is_written(recognizer, tmp_path):
    (tmp_path / "a.mp4").write_text("this is a text")
    with pytest.raises(VideoError):
        annotate_film(recognizer, tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()


def test_a_film_that_cannot_be_written_is_an_error(recognizer, video, tmp_path):
    with pytest.raises(OSError, match="missing"):
        annotate_film(recognizer, video, tmp_path / "missing" / "b.mp4")


@pytest.mark.parametrize("stride", [0, -1, float("nan"), 0.001])
def test_bad_strides(recognizer, video, stride):
    with pytest.raises(ValueError, match="stride|every"):
        annotate_film(recognizer, video, options=Options(stride=stride))


def test_persons_of_a_network_that_takes_boxes(tiny, video, tmp_path):
    recognizer = slowfast_jax.load("test/tiny_boxes", weights="random")
    with pytest.raises(ValueError, match="detector"):
        annotate_film(recognizer, video)
    boxes = np.array([[0.1, 0.1, 0.4, 0.9], [0.5, 0.2, 0.9, 0.8]], np.float32)
    moments = [
        PeopleAt(0.5, boxes, np.array([1, 2])), PeopleAt(0.7, boxes[:1], np.array([1])),
        PeopleAt(1.1, np.zeros((0, 4), np.float32), np.zeros(0, int)),
        PeopleAt(2.0, boxes[1:], np.array([2])),
    ]
    options = Options(people=given_people(moments), stride=0.3)
    found = []
    result = annotate_film(recognizer, video, tmp_path / "b.mp4", options, found=found.append)
    assert [round(each.moment.time, 1) for each in result.persons] == [0.5, 1.1, 2.0]
    assert [each.scores.shape for each in result.persons] == [(2, 4), (0, 4), (1, 4)]
    assert len(found) == 3 + 4 and len(times_of(tmp_path / "b.mp4")) == 75
