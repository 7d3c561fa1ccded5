"""Frames and crops of MMAction2: numbers worked out by hand, and its formulas in NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from data_pipelines import sampling
from data_pipelines.examples.clip_options import Augmentation, Sampling
from data_pipelines.examples.clips import load_clip
from data_pipelines.examples.eval_views import iterate_views, view_indices
from data_pipelines.examples.keyframe_clips import load_keyframe
from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.sources.video_lists import Sample
from data_pipelines.transforms import resize
from data_pipelines.video.decoding import VideoInfo
from data_pipelines.video.encoding import write_video
from tests.data_pipelines.conftest import frame_numbers

PROTOCOL = dict(num_frames=4, sampling_rate=2, target_fps=30, clips=3, crops=3, test_crop=32)
INFO = VideoInfo(
    frames=1, fps=25.0, width=4, height=4, rotation=0, duration=1.0, codec="h264", warning=""
)
# num_frames, sampling_rate of the published networks, and a tiny one
CLIPS = [(32, 2), (4, 16), (8, 8), (4, 3)]


@pytest.mark.parametrize(("frames", "index", "clips", "expected"), [
    (20, 0, 1, [6, 8, 10, 12]),  # 20 - 7 = 13 frames of room, half of it rounded down
    (21, 0, 1, [7, 9, 11, 13]),
    (20, 0, 3, [0, 2, 4, 6]),
    (20, 1, 3, [6, 8, 10, 12]),  # 6.5 is rounded to the even number
    (22, 1, 3, [8, 10, 12, 14]),  # so is 7.5
    (20, 2, 3, [13, 15, 17, 19]),
    (7, 0, 1, [0, 2, 4, 6]),
    (7, 9, 10, [0, 2, 4, 6]),
    (6, 0, 1, [0, 2, 4, 0]),  # frame 6 is the first one again
    (5, 2, 3, [0, 2, 4, 1]),
    (2, 1, 3, [0, 0, 0, 0]),
    (1, 0, 1, [0, 0, 0, 0]),
])
def test_clips_start_over_after_the_last_frame(frames, index, clips, expected):
    assert sampling.looped_indices(frames, 4, 2, index, clips).tolist() == expected


def test_ten_clips_of_a_ten_second_video():
    """32 x 2 frames of 300: 300 - 63 = 237 frames of room, 26 1/3 between starts."""
    starts = [sampling.looped_indices(300, 32, 2, i, 10)[0] for i in range(10)]
    assert starts == [0, 26, 53, 79, 105, 132, 158, 184, 211, 237]
    old = [sampling.looped_middle_indices(300, 32, 2, i, 10)[0] for i in range(10)]
    assert old == [11, 35, 59, 82, 106, 130, 154, 177, 201, 225]  # 237 / 10 * (i + 1/2)


@pytest.mark.parametrize(("frames", "index", "clips", "expected"), [
    (20, 0, 1, [6, 8, 10, 12]),  # 20 - 8 + 1 = 13 starts
    (20, 0, 3, [2, 4, 6, 8]),  # 13 / 3 * 1/2 = 2.17
    (20, 1, 3, [6, 8, 10, 12]),  # 6.5, rounded down
    (20, 2, 3, [10, 12, 14, 16]),  # 10.83
    (8, 0, 1, [0, 2, 4, 6]),  # one start: 1/2, rounded down
    (7, 2, 3, [0, 2, 4, 6]),
    (5, 2, 3, [0, 2, 4, 1]),
])
def test_clips_of_old_versions_lie_in_the_middle_of_a_part(frames, index, clips, expected):
    assert sampling.looped_middle_indices(frames, 4, 2, index, clips).tolist() == expected


@pytest.mark.parametrize(("num_frames", "rate"), CLIPS)
@pytest.mark.parametrize("clips", [1, 2, 3, 10])
def test_test_clips_equal_the_formulas(num_frames, rate, clips):
    number, step = np.arange(clips), np.arange(num_frames) * rate
    for frames in [*range(1, 140), 250, 299, 300]:
        info = replace(INFO, frames=frames)
        options = dict(num_frames=num_frames, sampling_rate=rate, target_fps=30, clips=clips)
        room = max(0, frames - 1 - (num_frames - 1) * rate)
        if clips == 1:
            starts = np.array([np.floor(room / 2)])
        else:
            starts = np.round(number * (room / float(clips - 1)))
        expected = np.mod(starts[:, None] + step, frames)
        np.testing.assert_array_equal(
            view_indices(info, sampling="mmaction2", **options), expected
        )
        average = (frames - num_frames * rate + 1) / float(clips)
        starts = np.trunc(number * average + average / 2) if average > 0 else 0 * number
        expected = np.mod(starts[:, None] + step, frames)
        np.testing.assert_array_equal(
            view_indices(info, sampling="mmaction2_v0", **options), expected
        )


@pytest.mark.parametrize(("frames", "draws", "starts"), [
    (20, [0.0], [0]), (20, [0.999], [12]), (20, [0.5], [6]),  # one of 13 starts
    (8, [0.999], [0]), (7, [0.999], [0]), (3, [0.7], [0]),
    (20, [0.0, 0.0], [0, 6]), (20, [0.99, 0.99], [5, 11]),  # 6 starts each; the 13th is left out
    (10, [0.9, 0.1, 0.5, 0.4], [0, 1, 1, 2]),  # 3 starts for 4 clips: each of them, sorted
    (9, [0.9, 0.1, 0.6], [0, 1, 1]),  # 2 starts for 3 clips
    (8, [0.9, 0.1, 0.6], [0, 0, 1]),  # one start: 0, 1/3 and 2/3, rounded
    (7, [0.9, 0.1, 0.6], [0, 0, 0]), (4, [0.9, 0.1], [0, 0]),
])
def test_training_clips(frames, draws, starts):
    found = sampling.random_looped_indices(frames, 4, 2, np.array(draws))
    assert found.tolist() == [[(start + 2 * k) % frames for k in range(4)] for start in starts]


@pytest.mark.parametrize(("rate", "values"), [
    (1, [-1, 0]), (2, [-1, 0]), (3, [-2, -1, 0, 1]), (8, range(-4, 4)), (16, range(-8, 8)),
])
def test_frames_around_a_keyframe_are_shifted(rate, values):
    plain = sampling.keyframe_indices(500, 4, rate, 1000)
    found = {
        tuple(sampling.jittered_keyframe_indices(500, 4, rate, 1000, np.full(4, draw)) - plain)
        for draw in np.linspace(0, 1, 500, endpoint=False)
    }
    assert found == {(value,) * 4 for value in values}
    draws = np.array([0.0, 0.99, 0.5, 0.5])
    found = sampling.jittered_keyframe_indices(10, 4, 4, 15, draws)
    assert found.tolist() == [0, 7, 10, 14]  # 2 - 2, 6 + 1, 10 + 0, and 14 + 0


def test_clip_numbers_are_checked():
    for function in (sampling.looped_indices, sampling.looped_middle_indices):
        with pytest.raises(ValueError, match="clip index 3 is outside 0..2"):
            function(20, 4, 2, 3, 3)


def test_views_hold_these_frames(videos):
    new = list(iterate_views(videos["numbered"], sampling="mmaction2", **PROTOCOL))
    assert [frame_numbers(view[0]) for view in new] == [
        [0, 2, 4, 6], [26, 28, 30, 32], [53, 55, 57, 59]
    ]
    old = list(iterate_views(videos["numbered"], sampling="mmaction2_v0", **PROTOCOL))
    assert [frame_numbers(view[0]) for view in old] == [
        [8, 10, 12, 14], [26, 28, 30, 32], [44, 46, 48, 50]
    ]
    (short,) = iterate_views(
        videos["five"], sampling="mmaction2", **PROTOCOL | dict(clips=1, crops=1)
    )
    assert short.shape == (1, 4, 32, 32, 3) and frame_numbers(short[0]) == [0, 2, 4, 1]


def test_training_and_validation_hold_these_frames(videos):
    sample = Sample(str(videos["five"]), 0)
    options = Sampling(num_frames=4, sampling_rate=2, target_fps=30, mode="mmaction2")
    crop = Augmentation(crop=32, jitter=(32, 32), flip=False)
    validated = load_clip(sample, options, crop, rng=None)["clip"]
    assert frame_numbers(validated) == [0, 2, 4, 1]
    sample = Sample(str(videos["numbered"]), 0)
    assert frame_numbers(load_clip(sample, options, crop, rng=None)["clip"]) == [26, 28, 30, 32]
    several = Sampling(
        num_frames=4, sampling_rate=2, target_fps=30, mode="mmaction2_v0", num_clips=2
    )
    for seed in range(3):
        clips = load_clip(sample, several, crop, rng=np.random.default_rng(seed))["clip"]
        first, second = (frame_numbers(clip) for clip in clips)
        assert np.diff(first).tolist() == np.diff(second).tolist() == [2, 2, 2]
        assert 0 <= first[0] < 26 <= second[0] < 52  # 53 starts, 26 for each clip


def test_training_clips_of_keyframes_hold_these_frames(videos):
    keyframe = Keyframe(
        video="v", time=1.0, source=videos["numbered"], origin=0.0, fps=30.0,
        boxes=np.array([[0.1, 0.1, 0.9, 0.9]], np.float32), labels=((0,),),
        scores=np.ones(1, np.float32),
    )
    options = dict(
        num_frames=4, sampling_rate=8, crop=32, max_boxes=1, num_classes=2, jitter=(32, 32),
        flip=False,
    )

    def frames(seed, **keywords):
        rng = None if seed is None else np.random.default_rng(seed)
        found = load_keyframe(keyframe, rng=rng, **options, **keywords)
        return np.array(frame_numbers(found["clip"]))

    plain = frames(0)
    assert (frames(None, frame_jitter=True) == plain).all()
    shifts = np.concatenate([frames(seed, frame_jitter=True) - plain for seed in range(20)])
    assert set(shifts.tolist()) <= set(range(-4, 4)) and len(set(shifts.tolist())) > 4


@pytest.mark.parametrize(("source", "size", "expected"), [
    ((340, 256), 256, (340, 256)), ((240, 320), 256, (256, 341)), ((272, 480), 256, (256, 452)),
    ((720, 1280), 256, (256, 455)), ((480, 272), 256, (452, 256)), ((100, 100), 32, (32, 32)),
    ((2, 5), 3, (3, 8)),  # 7.5 is rounded up
])
def test_the_longer_side_is_rounded_to_the_nearest_pixel(source, size, expected):
    assert resize.short_side_size(*source, size, nearest=True) == expected


@pytest.mark.parametrize(("width", "lefts"), [(9, (0, 2, 4)), (10, (0, 3, 6)), (4, (0, 0, 0))])
def test_three_crops_are_evenly_spaced(width, lefts):
    """MMAction2's right crop of an odd rest leaves out the last column."""
    frames = np.arange(4 * width).reshape(1, 4, width, 1)
    for index, left in enumerate(lefts):
        expected = frames[:, :, left : left + 4]
        np.testing.assert_array_equal(resize.even_crop(frames, 4, index), expected)
        standing = resize.even_crop(frames.swapaxes(1, 2), 4, index)
        np.testing.assert_array_equal(standing, expected.swapaxes(1, 2))
    with pytest.raises(ValueError, match="does not fit"):
        resize.even_crop(frames, 5, 1)


def test_crops_are_cut_as_in_mmaction2(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (4, 48, 85, 3), dtype=np.uint8)
    write_video(tmp_path / "noise.mkv", pictures, codec="ffv1", pixel_format="bgr0")
    protocol = PROTOCOL | dict(sampling_rate=1, clips=1, sampling="mmaction2")
    (three,) = iterate_views(tmp_path / "noise.mkv", **protocol)
    scaled = resize.resize(pictures, 32, 57)  # 56.67
    for index, left in enumerate((0, 12, 24)):
        np.testing.assert_array_equal(three[index], scaled[:, :, left : left + 32])
    (one,) = iterate_views(
        tmp_path / "noise.mkv", **protocol | dict(crops=1), train_jitter_min=37
    )
    scaled = resize.resize(pictures, 37, 66)  # 65.52
    np.testing.assert_array_equal(one[0], scaled[:, 2:34, 17:49])
