"""Seeking yields the same pixels as reading from the start but decodes far fewer frames."""

import gc
from fractions import Fraction

import av
import numpy as np
import pytest

from data_pipelines.video import decoding, playing, seeking
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.encoding import write_video
from tests.data_pipelines.conftest import frame_numbers, numbered_frames, turned_picture
from tests.data_pipelines.support.encodings import CODECS, write
from tests.support.paths import REAL, needs_real

X264_B = {"bf": "3", "g": "24", "preset": "fast", "threads": "1"}
FILES = {
    "bframes.mp4": ("libx264", X264_B),
    "open_gop.mp4": ("libx264", {**X264_B, "x264-params": "open-gop=1"}),
    "bframes.mkv": ("libx264", X264_B),
    "bframes.ts": ("libx264", X264_B),
    "bframes.flv": ("libx264", X264_B),
    "bframes.avi": ("libx264", X264_B),  # has no display times: read from the start
    "one_key.mov": ("libx264", {"bf": "3", "g": "1000", "preset": "fast", "threads": "1"}),
    "mpeg4.mp4": ("mpeg4", {"bf": "2", "g": "12"}),
    "mpeg2.mpg": ("mpeg2video", {"bf": "2", "g": "12"}),  # read from the start as well
    "mpeg2.mkv": ("mpeg2video", {"bf": "2", "g": "12"}),
    "vp9.webm": ("libvpx-vp9", {"g": "30", "deadline": "realtime", "cpu-used": "8"}),
    "hevc_open_gop.mp4": ("libx265", {
        "preset": "ultrafast",
        "x265-params": "keyint=24:open-gop=1:bframes=4:b-adapt=0:log-level=none",
    }),
}
FROM_THE_START = {"bframes.avi", "mpeg2.mpg"}


def moving_noise(count: int, height: int = 48, width: int = 64):
    blocks = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    picture = blocks.repeat(8, 0).repeat(8, 1)
    for number in range(count):
        yield np.roll(picture, (number, 2 * number), (0, 1))


@pytest.fixture
def decoded(monkeypatch):
    """Counts the frames that seeking decodes, and the reads from the start."""
    counts = {"frames": 0, "whole": 0}
    frames, whole = seeking.decoded_frames, decoding.select_frames

    def count_frames(*arguments):
        for frame in frames(*arguments):
            counts["frames"] += 1
            yield frame

    def count_whole(*arguments, **keywords):
        counts["whole"] += 1
        return whole(*arguments, **keywords)

    monkeypatch.setattr(seeking, "decoded_frames", count_frames)
    monkeypatch.setattr(decoding, "select_frames", count_whole)
    return counts


def read(path, indices, **keywords):
    """(info, pictures in the order of `indices`, clamped to the video)."""
    def clamped(info):
        return np.minimum(indices, info.frames - 1)

    info, found, pictures = seeking.select_frames(path, clamped, thread_type="NONE", **keywords)
    return info, pictures[np.searchsorted(found, clamped(info))]


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_of_a_full_decode(tmp_path, decoded, name):
    path = tmp_path / name
    codec, options = FILES[name]
    write_video(path, moving_noise(120), codec=codec, options=options)
    _, _, whole = decoding.select_frames(path, lambda info: range(info.frames))
    assert len(whole) == 120
    decoded["whole"] = 0
    starts = (0, 1, 5, 23, 24, 25, 47, 48, 60, 95, 96, 110, 119)
    for start in starts:
        indices = np.minimum(start + 2 * np.arange(4), 119)
        info, pictures = read(path, indices)
        np.testing.assert_array_equal(pictures, whole[indices], err_msg=f"from {start}")
    assert (info.height, info.width) == (48, 64)
    if name in FROM_THE_START:
        assert decoded["whole"] == len(starts)
    elif not name.endswith(".ts"):  # .ts cannot seek to its first key frame
        assert decoded["whole"] == 0


def test_a_clip_deep_in_a_long_video_decodes_little_of_it(tmp_path, decoded):
    path = tmp_path / "long.mp4"
    write_video(
        path, moving_noise(15 * 60 * 5), fps=5, options={**X264_B, "preset": "ultrafast", "g": "50"}
    )
    info, pictures = read(path, 14 * 60 * 5 + np.arange(8) * 2)
    assert info.frames == 4500 and len(pictures) == 8
    assert decoded["frames"] < 50 + 16 + 5 and decoded["whole"] == 0


def test_frames_between_the_chosen_ones_are_not_decoded(tmp_path, decoded):
    path = tmp_path / "bframes.mp4"
    options = {**X264_B, "b-adapt": "0", "x264-params": "b-pyramid=none"}  # 3 of 4 are B-frames
    write_video(path, moving_noise(120), options=options)
    _, _, whole = decoding.select_frames(path, lambda info: range(info.frames))
    indices = 24 + 8 * np.arange(8)
    _, pictures = read(path, indices)
    np.testing.assert_array_equal(pictures, whole[indices])
    assert decoded["frames"] < 0.4 * (indices[-1] - indices[0])


def test_missing_frames_are_replaced_by_the_nearest(tmp_path, decoded):
    """The header states a constant rate, but half a second is missing."""
    whole, holed = tmp_path / "whole.mp4", tmp_path / "holed.mkv"
    write_video(whole, moving_noise(90), options={**X264_B, "bf": "0", "g": "1"})
    _, _, expected = decoding.select_frames(whole, lambda info: range(info.frames))
    there = [*range(60), *range(75, 90)]
    with av.open(str(whole)) as source, av.open(str(holed), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.dts is not None and number in there:
                packet.stream = copy
                target.mux(packet)
    indices = np.array([50, 58, 64, 66, 70, 80])
    nearest = np.abs(np.array(there)[None] - indices[:, None]).argmin(1)
    _, pictures = read(holed, indices)
    np.testing.assert_array_equal(pictures, expected[np.array(there)[nearest]])


def test_at_a_variable_rate_frames_are_chosen_by_time(videos):
    """In the video, frame i is shown from i (i + 1) / 60 seconds on."""
    shown = np.arange(20) * np.arange(1, 21) / 60
    info, pictures = read(videos["variable"], np.arange(30))
    wanted = np.minimum(np.arange(30), info.frames - 1) / info.fps
    expected = np.abs(shown[None] - wanted[:, None]).argmin(1)
    assert frame_numbers(pictures) == expected.tolist()
    assert info.frames == 20


def shown_frames(path):
    """All frames and the seconds at which they are shown after the first, by PyAV alone."""
    with av.open(str(path)) as container:
        frames = [(f.to_ndarray(format="rgb24"), f.time) for f in container.decode(video=0)]
    shown = np.array([time for _, time in frames])
    return np.stack([picture for picture, _ in frames]), shown - shown[0]


IRREGULAR = {
    "one frame in two seconds": (Fraction(1, 2), lambda number: number),
    "a frame in ten seconds": (Fraction(1, 10), lambda number: number),
    "slides in a header of 30 fps": (30, lambda number: 60 * number),
    "bursts and pauses": (30, lambda number: number + number // 4 * 90),
    "short pauses": (30, lambda number: number + number // 5 * 14),
    "ever slower": (30, lambda number: number * (number + 1) // 2),
    "random": (30, lambda number: int(np.random.default_rng(3).integers(1, 9, 60).cumsum()[number]))
}


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("codec", ["h264", "hevc with open groups"])
@pytest.mark.parametrize("name", IRREGULAR)
def test_pixels_at_low_and_irregular_rates_with_b_frames(tmp_path, name, codec, suffix):
    rate, time = IRREGULAR[name]
    path = write(tmp_path / f"a.{suffix}", CODECS[codec], count=40, rate=rate, time=time)
    expected, shown = shown_frames(path)
    assert len(expected) == 40

    def nearest(number, fps):
        """The frames nearest to a number in time; two at the middle between them."""
        apart = np.abs(shown * fps - number)
        return np.flatnonzero(apart < apart.min() + 0.1)

    def check(picture, number, fps):
        assert any(np.array_equal(picture, expected[i]) for i in nearest(number, fps)), number

    info, _, _ = seeking.select_frames(path, lambda info: [0])
    numbers = {round(second * info.fps) for second in shown[[0, 1, 2, 6, 11, 12, 13, 26, 27, 39]]}
    numbers |= {info.frames // 3, info.frames // 2, info.frames - 1}
    for first in sorted(numbers):
        pair = np.unique(np.minimum([first, first + 2], info.frames - 1))
        _, _, pictures = seeking.select_frames(path, lambda info, pair=pair: pair, by_time=True)
        for picture, number in zip(pictures, pair, strict=True):
            check(picture, number, info.fps)
    for first in (0, info.frames // 2):
        played = list(playing.iterate_frames(path, first))
        assert played
        for number, picture in played:
            check(picture, number, info.fps)


def test_a_copied_cut_starts_where_its_edit_list_says(tmp_path):
    """The packets begin with a key frame that the edit list hides."""
    whole, part = tmp_path / "whole.mp4", tmp_path / "part.mp4"
    write_video(whole, moving_noise(120), options=X264_B)
    with av.open(str(whole)) as source, av.open(str(part), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        cut = int(2 / stream.time_base)  # frame 60; the key frame before is 48
        source.seek(cut, stream=stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - cut, packet.dts - cut, copy
                target.mux(packet)
    _, _, expected = decoding.select_frames(whole, lambda info: range(60, 120))
    for start in (0, 7, 40, 58):
        info, pictures = read(part, np.array([start, start + 1]))
        assert info.frames == 60
        np.testing.assert_array_equal(pictures, expected[[start, start + 1]])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_videos_are_read_upright(videos, degrees):
    info, pictures = read(videos[f"turned{degrees}"], np.array([1, 2]))
    upright = np.rot90(turned_picture(), degrees // 90)
    assert info.rotation == degrees and (info.height, info.width) == upright.shape[:2]
    assert np.abs(pictures[0].astype(int) - upright).mean() < 8


def test_each_frame_is_transformed_as_it_is_decoded(videos):
    _, whole = read(videos["bframes"], np.array([3, 9]))
    _, part = read(videos["bframes"], np.array([3, 9]), transform=lambda p: p[4:9, 2:8])
    np.testing.assert_array_equal(part, whole[:, 4:9, 2:8])


def test_frames_do_not_stay_in_memory(videos):
    """Even if the garbage collector never runs."""
    gc.collect()
    gc.disable()
    try:
        alive = []
        for _ in range(3):
            read(videos["numbered"], np.array([20, 40]))
            decoding.read_frames(videos["turned90"], [0, 1])
            alive.append(sum(isinstance(o, av.VideoFrame) for o in gc.get_objects()))
    finally:
        gc.enable()
    assert alive[0] == alive[2]


def test_a_truncated_file_is_read_as_far_as_it_goes(videos):
    info, pictures = read(videos["truncated"], np.arange(50, 60))
    assert info.frames < 60 and "header promises 60 frames" in info.warning
    _, _, whole = decoding.select_frames(videos["truncated"], lambda info: range(info.frames))
    np.testing.assert_array_equal(pictures[-1], whole[-1])


def test_unusable_files_are_refused(videos, tmp_path):
    for name, reason in (
        ("empty", "is empty"), ("audio", "no video stream"),
        ("nothing_decodes", "no frame can be decoded"),
    ):
        with pytest.raises(VideoError, match=reason):
            read(videos[name], np.array([0]))
    with pytest.raises(VideoError, match="no such file"):
        read(tmp_path / "none.mp4", np.array([0]))
    with pytest.raises(ValueError, match=r"frames 70\.\.70 chosen of .*, which has 60"):
        seeking.select_frames(videos["numbered"], lambda info: [70])


def test_a_picture_that_changes_its_size_is_refused(tmp_path):
    path, parts = tmp_path / "sizes.ts", (tmp_path / "48.ts", tmp_path / "64.ts")
    for part, height in zip(parts, (48, 64), strict=True):
        write_video(part, moving_noise(10, height, 64), options={**X264_B, "bf": "0"})
    with av.open(str(path), "w") as target:
        copy = None
        for number, part in enumerate(parts):
            with av.open(str(part)) as source:
                stream = source.streams.video[0]
                copy = copy or target.add_stream_from_template(stream)
                for packet in source.demux(stream):
                    if packet.dts is not None:
                        later = number * int(10 / 30 / stream.time_base)
                        packet.pts, packet.dts = packet.pts + later, packet.dts + later
                        packet.stream = copy
                        target.mux(packet)
    with pytest.raises(VideoError, match="changes from 64x48 to 64x64 at frame 10; re-encode"):
        read(path, np.arange(15))


def test_a_header_that_claims_many_missing_frames_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "promises.mp4"
    write_video(path, numbered_frames(20), options={"bf": "0", "threads": "1"})
    content = bytearray(path.read_bytes())
    # The header now claims 200,000 frames of one size and duration, all in the first chunk.
    for box, offset, numbers in ((b"stsz", 8, (30, 200_000)), (b"stsc", 16, (200_000,)),
                                 (b"stts", 12, (200_000,))):
        at = content.index(box) + offset
        content[at : at + 4 * len(numbers)] = b"".join(n.to_bytes(4, "big") for n in numbers)
    path.write_bytes(content)
    monkeypatch.setattr(seeking, "_read", None)  # a seek would take seconds
    with pytest.raises(VideoError, match="no frame can be decoded"):
        read(path, np.arange(5))


@needs_real
def test_clips_of_real_videos():
    for name in ("mmaction2_demo_arm_wrestling.mp4", "paddlevideo_example_archery.avi"):
        path = REAL / "videos" / name
        indices = np.array([100, 104, 108])
        _, _, expected = decoding.select_frames(
            path, lambda _, indices=indices: indices, to_end=False
        )
        np.testing.assert_array_equal(read(path, indices)[1], expected)
