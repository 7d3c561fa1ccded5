"""Cut and re-encoded videos hold exactly the frames asked for."""

from fractions import Fraction

import numpy as np
import pytest

from data_pipelines.video import decoding
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.encoding import cut, encode, write_video
from tests.data_pipelines.conftest import PLAIN, turned_picture
from tests.data_pipelines.video.test_extracting import number_in, write

PLAIN_MPEG4 = {"g": "10", "bf": "0"}


def frames_of(path):
    info, _, frames = decoding.select_frames(path, lambda info: range(info.frames))
    return info, frames


def numbers(path):
    info, frames = frames_of(path)
    assert info.warning == ""
    return [number_in(frame) for frame in frames]


@pytest.mark.parametrize(
    ("suffix", "codec", "fps", "copied"),
    [
        (".mp4", "libx264", 30, True), (".mkv", "libx264", 25, True), (".ts", "libx264", 30, True),
        (".mp4", "libx264", Fraction(30000, 1001), True), (".webm", "libvpx-vp9", 30, True),
        (".webm", "libvpx", 30, False), (".avi", "mpeg4", 30, True), (".mkv", "mpeg4", 30, True),
        (".avi", "libx264", 30, False),
    ],
)
def test_one_second_of_five(tmp_path, suffix, codec, fps, copied):
    options = {"libx264": PLAIN, "mpeg4": PLAIN_MPEG4}.get(codec, {"g": "10"})
    options |= {"deadline": "realtime"} if "vpx" in codec else {}
    count = round(5 * fps)
    source = write(tmp_path / f"v{suffix}", count, fps=fps, codec=codec, options=options)
    target = tmp_path / "part.mp4"
    assert cut(source, target, begin=2, seconds=1) is copied
    first = round(2 * fps)
    assert numbers(target) == list(range(first, first + round(fps)))
    assert decoding.probe(target).frames == round(fps) or copied
    # From the middle of a group of pictures to the end.
    for make in (cut, encode):
        make(source, target, begin=4.5, seconds=9)
        assert numbers(target) == list(range(round(4.5 * fps), count))


def test_encoding_the_end_of_a_video(tmp_path):
    source = write(tmp_path / "v.mp4", 90, options=PLAIN)
    encode(source, tmp_path / "part.mp4", begin=2.5, seconds=9)
    assert numbers(tmp_path / "part.mp4") == list(range(75, 90))


def test_b_frames(tmp_path):
    """A copied cut may hold frames past its end that earlier frames refer to."""
    source = write(tmp_path / "v.mp4", 150, options={"bf": "3", "g": "40", "threads": "1"})
    assert cut(source, tmp_path / "part.mp4", begin=2.5, seconds=1)
    got = numbers(tmp_path / "part.mp4")
    assert got[:30] == list(range(75, 105)) and len(got) <= 34
    encode(source, tmp_path / "whole.mp4", begin=2.5, seconds=1)
    assert numbers(tmp_path / "whole.mp4") == list(range(75, 105))


def test_a_start_after_the_end_is_refused(tmp_path, videos):
    for make in (lambda: cut(videos["numbered"], tmp_path / "part.mp4", begin=5, seconds=1),
                 lambda: encode(videos["numbered"], tmp_path / "part.mp4", begin=5, seconds=1)):
        with pytest.raises(VideoError, match="second 5"):
            make()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["truncated", "broken_middle", "nothing_decodes", "text", "song"])
def test_broken_videos_are_refused(videos, tmp_path, name):
    with pytest.raises(VideoError, match=name):
        encode(videos[name], tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_short_side_and_key_frames(tmp_path):
    source = tmp_path / "big.mp4"
    pictures = [np.full((120, 214, 3), 10 * number, np.uint8) for number in range(20)]
    write_video(source, pictures, fps=10, options={"g": "250"})
    target = tmp_path / "small.mp4"
    encode(source, target, short_side=64, gop=6)
    info, frames = frames_of(target)
    assert (info.frames, info.fps, info.width, info.height) == (20, 10, 114, 64)
    assert np.abs(frames.mean(axis=(1, 2, 3)) - 10 * np.arange(20)).max() < 2
    with decoding.open_video(target, "NONE") as (container, stream):
        keys = [n for n, packet in enumerate(container.demux(stream)) if packet.is_keyframe]
    assert keys == [0, 6, 12, 18]
    encode(source, target, short_side=500)
    assert frames_of(target)[0].height == 120


def test_rotated_pictures_and_odd_sizes(videos, tmp_path):
    encode(videos["turned90"], tmp_path / "out.mp4")
    info, frames = frames_of(tmp_path / "out.mp4")
    assert (info.width, info.height, info.rotation) == (48, 64, 0)
    assert np.median(np.abs(frames[0].astype(int) - np.rot90(turned_picture()))) < 8
    encode(videos["odd"], tmp_path / "out.mp4")
    assert frames_of(tmp_path / "out.mp4")[1].shape == (4, 48, 62, 3)


def test_a_variable_rate_is_kept(videos, tmp_path):
    encode(videos["variable"], tmp_path / "out.mp4")

    def times(path):
        with decoding.open_video(path, "NONE") as (container, stream):
            return [frame.time for frame in container.decode(stream)]

    assert np.allclose(times(tmp_path / "out.mp4"), times(videos["variable"]), atol=1e-3)
