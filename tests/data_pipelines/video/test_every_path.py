"""All paths that pick frames give the pixels of a plain decode, for all codecs and containers."""

import itertools

import av
import numpy as np
import pytest
from PIL import Image

from data_pipelines.examples.clips import read_clip
from data_pipelines.examples.eval_views import iterate_views
from data_pipelines.examples.keyframe_clips import load_keyframe
from data_pipelines.examples.sliding_windows import iterate_windows
from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.transforms import geometry
from data_pipelines.video import decoding, seeking, stills
from data_pipelines.video.encoding import encode
from data_pipelines.video.extracting import extract
from tests.data_pipelines.support.encodings import (
    CODECS,
    CONTAINERS,
    COUNT,
    number_in,
    plain,
    write,
)
from tests.support.paths import ROOT

CLIPS = ROOT / "tests/fixtures/av1"
SIDE = 48  # height of the videos, so nothing is resized
SAMPLE = (
    ("h264", "mp4"), ("h264 with open groups", "ts"), ("h264 with one key frame", "mkv"),
    ("hevc with open groups", "mp4"), ("av1 by svt", "mp4"), ("av1 by svt for low delay", "webm"),
    ("av1 by aom", "mkv"), ("vp9 with hidden frames", "webm"), ("vp8", "mkv"), ("mpeg1", "ts"),
    ("mpeg1", "mpg"), ("mpeg2", "wmv"), ("mpeg4", "avi"), ("h264", "mxf"), ("prores", "mov"),
    ("mjpeg", "avi"),
)
NUMBERS = (0, 1, 2, 3, 11, 12, 13, 23, 24, 25, 38, 47, 48, 49)


def whole(height, width):
    return geometry.whole(height, width, short_side=min(height, width))


def read(path, indices, **keywords):
    """Pictures in the order of `indices`, as training clips are read."""
    def clamped(info):  # some headers claim a frame less
        return np.minimum(indices, info.frames - 1)

    return read_clip(str(path), clamped, whole, **keywords)[1]


def keyframe(path, number, frames=4, rate=2):
    moment = Keyframe(
        "v", number / 30, str(path), 0.0, 0.0, np.zeros((0, 4), np.float32), (),
        np.zeros(0, np.float32),
    )
    return load_keyframe(
        moment, num_frames=frames, sampling_rate=rate, crop=SIDE, max_boxes=1, num_classes=1,
        rng=None,
    )["clip"]


def check_all_paths(path, expected, folder):
    """Reads a video in all ways, and compares with the frames of a plain decode."""
    last = len(expected) - 1
    info = decoding.probe(path)
    assert (info.frames, round(info.fps, 1), info.warning) == (len(expected), 30, "")

    def same(pictures, numbers, way):
        np.testing.assert_array_equal(pictures, expected[numbers], err_msg=f"{way} {numbers}")

    for number in NUMBERS:
        pair = np.array([number, min(number + 3, last)])
        threads = ("NONE", "AUTO")[number % 2]
        same(read(path, pair, thread_type=threads), pair, "clip")
        around = np.clip(np.arange(number - 4, number + 4, 2), 0, last)
        same(keyframe(path, number), around, "keyframe")
        same(stills.still(str(path), number / 30), number, "still")
    same(decoding.read_frames(path, NUMBERS), list(NUMBERS), "read_frames")
    numbers, played = zip(*stills.play(str(path)), strict=True)
    assert numbers == tuple(range(len(expected)))
    same(np.stack(played), list(numbers), "play")
    numbers, played = zip(*stills.play(str(path), 17, 29), strict=True)
    same(np.stack(played), list(range(17, 29)), "play")
    width = expected.shape[2]
    views = iterate_views(
        str(path), num_frames=4, sampling_rate=2, target_fps=30.0, clips=2, crops=3, test_crop=SIDE
    )
    for clip, start in zip(views, (0, (len(expected) - 8) / 2), strict=True):
        chosen = (start + np.arange(4) * 7 / 3 + 1e-6).astype(int)
        for crop, left in zip(clip, (0, (width - SIDE) // 2, width - SIDE), strict=True):
            np.testing.assert_array_equal(crop, expected[chosen, :, left : left + SIDE])
    windows = list(iterate_windows(
        str(path), num_frames=4, sampling_rate=1, stride=4 / 30, crop=SIDE
    ))
    left = (width - SIDE) // 2
    np.testing.assert_array_equal(windows[3].clip, expected[12:16, :, left : left + SIDE])
    (folder / "images").mkdir()
    assert extract(path, folder / "images", stem="x") == len(expected)
    images = [np.asarray(Image.open(file)) for file in sorted((folder / "images").iterdir())]
    assert list(map(number_in, images)) == list(map(number_in, expected))
    encode(path, folder / "copy.mp4", begin=0.5, seconds=0.5)  # as records are made
    assert list(map(number_in, plain(folder / "copy.mp4"))) == [
        number_in(expected[n]) for n in range(15, 30)
    ]


@pytest.mark.parametrize(("codec", "suffix"), [
    pytest.param(
        codec, suffix, id=f"{codec}.{suffix}",
        marks=() if (codec, suffix) in SAMPLE else pytest.mark.slow,
    )
    for codec, suffix in itertools.product(CODECS, CONTAINERS)
])
def test_codecs_and_containers(tmp_path, codec, suffix):
    try:
        path = write(tmp_path / f"v.{suffix}", CODECS[codec])
        expected = plain(path)
    except (av.error.FFmpegError, ValueError, IndexError):
        pytest.skip(f"{suffix} does not take {codec}")
    if suffix == "wmv" and codec.startswith("h264"):
        pytest.skip("FFmpeg guesses 30.3 fps from time stamps in milliseconds")
    assert len(expected) == COUNT
    check_all_paths(path, expected, tmp_path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
@pytest.mark.parametrize("encoder", ["aom", "rav1e"])
def test_av1_by_encoders_that_pyav_lacks(tmp_path, encoder, suffix):
    """Both have frames that refer to later ones, and frames that are not shown."""
    path = CLIPS / f"{encoder}.{suffix}"
    expected = plain(path)
    assert list(map(number_in, expected)) == list(range(COUNT))
    check_all_paths(path, expected, tmp_path)


@pytest.mark.parametrize(("suffix", "start"), [
    ("mp4", 3000), ("mkv", 3000), ("ts", 3000), ("mov", -7), ("mkv", -7), ("flv", -7),
])
def test_first_frames_far_from_zero(tmp_path, suffix, start):
    """In MP4 and MOV, an edit list hides the frames before 0."""
    path = write(tmp_path / f"v.{suffix}", CODECS["h264"], count=60, time=lambda n: n + start)
    expected = plain(path)
    hidden = 7 if (suffix, start) == ("mov", -7) else 0
    assert list(map(number_in, expected)) == list(range(hidden, 60))
    numbers = np.array([0, 1, 20, 21, 40, 52])
    np.testing.assert_array_equal(read(path, numbers), expected[numbers])
    np.testing.assert_array_equal(keyframe(path, 24), expected[20:28:2])
    played = np.stack([picture for _, picture in stills.play(str(path))])
    np.testing.assert_array_equal(played, expected)
    info, _, _ = seeking.select_frames(path, lambda info: [0])
    assert abs(info.frames - len(expected)) <= 2  # FLV counts the delay of B-frames


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_videos(videos, degrees):
    path = videos[f"turned{degrees}"]
    expected = np.rot90(plain(path), degrees // 90, (1, 2))
    numbers = np.array([0, 2])
    np.testing.assert_array_equal(read(path, numbers), expected[numbers])
    np.testing.assert_array_equal(stills.still(str(path), 1 / 30), expected[1])
    np.testing.assert_array_equal(keyframe(path, 1, 1, 1)[0], expected[1])
    played = np.stack([picture for _, picture in stills.play(str(path))])
    np.testing.assert_array_equal(played, expected)
