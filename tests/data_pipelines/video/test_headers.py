"""Headers that mislead: averages over gaps, durations of sound, dropped frames, wrong rates."""

import struct
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from data_pipelines.examples.clip_options import Sampling
from data_pipelines.examples.clips import _choose
from data_pipelines.video import decoding, headers, seeking, stills, times
from data_pipelines.video.inspection import inspect
from tests.data_pipelines.support.encodings import (
    CODECS,
    HEIGHT,
    WIDTH,
    number_in,
    pictures,
    plain,
    write,
)

PLAIN = CODECS["h264 without B-frames"]


def header(path):
    with decoding.open_video(path, "NONE") as (container, stream):
        return headers.from_header(path, container, stream)


def problems(path):
    return {problem.kind: problem.text for problem in inspect(str(path)).problems}


def write_to(target, codec, *, time=lambda number: number, count=60, sound=None, **keywords):
    """Writes a video of 30 fps, and silence of `sound` = (codec, rate, seconds)."""
    with av.open(target, "w", **keywords) as container:
        stream = container.add_stream(codec.encoder, rate=30, options=dict(codec.options))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, codec.pixels
        silence = sound and container.add_stream(sound[0], rate=sound[1], layout="mono")
        for number, picture in enumerate(pictures(count)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = time(number)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if silence:
            for start in range(0, int(sound[1] * sound[2]), 960):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), "s16", "mono")
                frame.sample_rate, frame.pts = sound[1], start
                container.mux(silence.encode(frame))
            container.mux(silence.encode(None))


class Stored:
    """A video inside another file."""

    def __init__(self, content):
        self.content = content

    def read(self):
        return self.content


class Pipe:
    """A file in which nothing can be filled in later."""

    def __init__(self, path):
        self.file = open(path, "wb")

    def write(self, content):
        return self.file.write(bytes(content))


@pytest.mark.parametrize("gap", [33, 150], ids=["a second", "five seconds"])
@pytest.mark.parametrize(("codec", "suffix"), [
    ("h264 without B-frames", "mp4"), ("h264", "mp4"), ("hevc", "mov"), ("mpeg4", "mp4"),
    ("h264", "mkv"),
])
def test_gaps_do_not_lower_the_frame_rate(tmp_path, codec, suffix, gap):
    path = write(
        tmp_path / f"a.{suffix}", CODECS[codec], count=120, time=lambda n: n + gap * (n >= 60)
    )
    assert decoding.probe(path).fps == header(path).fps == inspect(str(path)).fps == 30
    assert set(problems(path)) == {"time gap"}
    expected = plain(path)
    for numbers in ([0, 30], [58, 61], [75, 119]):
        _, _, read = seeking.select_frames(path, lambda info, numbers=numbers: numbers)
        np.testing.assert_array_equal(read, expected[numbers])
    assert [number_in(picture) for _, picture in stills.play(str(path))] == [*range(120)]


def rate_of(stated, base, ticks):
    """What `times.frame_rate` says of time stamps in milliseconds."""
    base = Fraction(base)
    stream = SimpleNamespace(
        average_rate=Fraction(stated), base_rate=base, guessed_rate=base, start_time=0,
        time_base=Fraction(1, 1000),
        codec_context=SimpleNamespace(framerate=base, has_b_frames=False, name="h264"),
    )
    container = SimpleNamespace(format=SimpleNamespace(name="matroska,webm"))
    return times.frame_rate(container, stream, ticks)


@pytest.mark.parametrize(("stated", "base", "actual", "fps"), [
    ("29.75", "30", 30, 30),  # FFmpeg's average for MP4, which includes the gap
    ("30", "30", 30, 30), ("30000/1001", "30000/1001", 30000 / 1001, 30000 / 1001),
    ("25", "25", 18, 25),  # a variable rate
])
def test_a_stated_average_is_replaced_if_it_includes_gaps(stated, base, actual, fps):
    """Ten minutes with a gap of five seconds."""
    seconds = np.arange(int(595 * actual)) / actual
    seconds[seconds > 200] += 5
    ticks = np.round(seconds * 1000).astype(int).tolist()
    assert rate_of(stated, base, ticks) == (fps, "")


def test_a_rate_is_found_although_no_interval_is_near_the_median():
    fps, problem = rate_of(30, 30, [0, 10, 20, 120, 1_000_120])
    assert fps == pytest.approx(100) and "states 30 fps; 100 is used" in problem


def test_ordinary_files_are_not_read_to_check_their_headers(tmp_path, monkeypatch):
    read = []
    packets = headers.data_packets

    def counted(*arguments, **keywords):
        for packet in packets(*arguments, **keywords):
            read.append(packet.dts)
            yield packet

    monkeypatch.setattr(headers, "data_packets", counted)
    sound = ("aac", 48000, 2)
    for suffix, most in (("mp4", 0), ("mkv", headers.FIRST)):
        path = tmp_path / f"a.{suffix}"
        write_to(str(path), CODECS["h264"], sound=sound)
        assert header(path).frames == 60
        assert len(read) <= most
        read.clear()


@pytest.mark.parametrize(("name", "codec", "sound", "tagged"), [
    ("a.mkv", "h264", ("aac", 48000), True), ("a.mkv", "h264", ("aac", 48000), False),
    ("a.webm", "vp9", ("libopus", 48000), True), ("a.webm", "vp9", ("libopus", 48000), False),
    ("a.flv", "h264", ("aac", 44100), False), ("a.mp4", "h264", ("aac", 48000), True),
])
@pytest.mark.parametrize("seconds", [1.0, 2.4, 7.0])
def test_sound_longer_than_the_video(tmp_path, name, codec, sound, tagged, seconds):
    path = tmp_path / name
    write_to(str(path), CODECS[codec], sound=(*sound, seconds))
    if not tagged:  # other programs do not write the tag
        path.write_bytes(path.read_bytes().replace(b"DURATION", b"_ANOTHER"))
    assert decoding.probe(path).duration == pytest.approx(2, abs=0.002)
    found = header(path)
    assert (found.frames, found.fps) == (60, 30)
    sampling = Sampling(num_frames=4, sampling_rate=8, target_fps=30.0)
    assert _choose(sampling, found, None).tolist() == [14, 24, 34, 45]
    numbers = [14, 24, 34, 59]
    _, _, read = seeking.select_frames(path, lambda info: numbers)
    assert list(map(number_in, read)) == numbers
    assert number_in(stills.still(str(path), 9.0)) == 59


def test_the_tag_of_another_file_is_not_believed(tmp_path):
    path = tmp_path / "a.mkv"
    write_to(str(path), CODECS["h264"], sound=("aac", 48000, 3))
    content = path.read_bytes()
    assert b"00:00:02.000000000" in content
    path.write_bytes(content.replace(b"00:00:02.000000000", b"00:01:02.000000000"))
    assert header(path).frames == 60


@pytest.mark.parametrize("codec", ["h264", "h264 without B-frames", "mpeg4", "mjpeg"])
def test_dropped_frames_of_avi_are_no_damage(tmp_path, codec):
    def dropping(number):
        return number + number // 4

    path = tmp_path / "a.avi"
    write_to(str(path), CODECS[codec], time=dropping)
    info, _, read = decoding.select_frames(path, lambda info: range(info.frames))
    assert (info.frames, info.fps, info.warning) == (60, 30, "")
    assert list(map(number_in, read)) == [*range(60)]
    assert set(problems(path)) == {"variable rate"}
    write_to(str(path), CODECS[codec], time=lambda number: number + 150 * (number >= 30))
    assert "gap of 5.0 s after frame" in problems(path)["time gap"] and len(problems(path)) == 1


def drop_last_frames(path, count):
    """Appends empty chunks to the frames and the index of an AVI file."""
    content = bytearray(path.read_bytes())
    index = content.rindex(b"idx1")
    content += (b"00dc" + struct.pack("<III", 0, index, 0)) * count
    content[index:index] = (b"00dc" + bytes(4)) * count
    header, movi = content.index(b"strh"), content.index(b"movi")
    for place, more in (  # sizes of the file, its frames and its index; number of frames
        (4, 24 * count), (movi - 4, 8 * count), (index + 8 * count + 4, 16 * count),
        (header + 40, count),
    ):
        (old,) = struct.unpack_from("<I", content, place)
        struct.pack_into("<I", content, place, old + more)
    path.write_bytes(content)


@pytest.mark.parametrize("codec", ["h264", "h264 without B-frames", "mpeg4", "mjpeg"])
@pytest.mark.parametrize("time", [lambda number: number, lambda number: number + number // 4])
def test_last_frames_of_avi_that_are_dropped_are_no_damage(tmp_path, codec, time):
    path = tmp_path / "a.avi"
    write_to(str(path), CODECS[codec], time=time)
    drop_last_frames(path, 5)
    content = Stored(path.read_bytes())
    for video in (path, content):
        info, _, read = seeking.select_frames(video, lambda info: [0, 30, 59])
        assert info.duration == pytest.approx((time(59) + 6) / 30)
        assert decoding.probe(video).warning == ""
    info, _, read = decoding.select_frames(path, lambda info: range(info.frames))
    assert (info.frames, info.fps, info.warning) == (60, 30, "")
    assert list(map(number_in, read)) == [*range(60)]
    assert "broken" not in problems(path)
    path.write_bytes(content.read()[: len(content.read()) // 2])
    assert "the header promises" in problems(path)["broken"]


def test_a_truncated_avi_with_dropped_frames_is_reported(tmp_path):
    path = tmp_path / "a.avi"
    write_to(str(path), CODECS["mjpeg"], time=lambda number: number + number // 4)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "the header promises 74 frames, but the file has 27" in problems(path)["broken"]


@pytest.mark.parametrize("codec", ["h264", "mpeg4", "mjpeg"])
def test_avi_written_to_a_pipe(tmp_path, codec):
    path = tmp_path / "a.avi"
    pipe = Pipe(path)
    write_to(pipe, CODECS[codec], format="avi")
    pipe.file.close()
    info, _, read = seeking.select_frames(path, lambda info: [0, 30, 59])
    assert (info.frames, info.fps, info.warning) == (60, 30, "")
    assert info.duration == pytest.approx(2)
    assert list(map(number_in, read)) == [0, 30, 59]
    assert problems(path) == {}


@pytest.mark.parametrize(("codec", "suffix"), [
    ("h264", "mkv"), ("hevc", "mkv"), ("vp9", "webm"), ("h264", "flv"), ("mpeg4", "avi"),
    ("h264", "avi"), ("mjpeg", "mkv"),
])
def test_a_header_of_240_fps_over_frames_at_30(tmp_path, codec, suffix):
    path = write(
        tmp_path / f"a.{suffix}", CODECS[codec], rate=240, time=lambda number: 8 * number
    )
    info, found = decoding.probe(path), header(path)
    assert (info.frames, info.fps) == (50, pytest.approx(30, rel=0.001))
    assert found is None or (found.frames, found.fps) == (50, info.fps)
    assert "the header states 240 fps; 30" in problems(path)["wrong rate"]
    _, _, read = seeking.select_frames(path, lambda info: [0, 10, 31, 49])
    assert list(map(number_in, read)) == [0, 10, 31, 49]
    assert [number for number, _ in stills.play(str(path))] == [*range(50)]
