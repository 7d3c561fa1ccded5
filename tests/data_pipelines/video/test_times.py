"""Frame rates that cannot be right, gaps in time stamps, and recordings joined together."""

from collections import Counter
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from data_pipelines.examples.clip_options import Augmentation, Sampling
from data_pipelines.examples.clips import load_clip
from data_pipelines.examples.eval_views import view_indices
from data_pipelines.sources.video_lists import Sample
from data_pipelines.video import decoding, playing, seeking, stills
from data_pipelines.video.encoding import encode
from data_pipelines.video.inspection import inspect
from tests.data_pipelines.support.encodings import (
    CODECS,
    Codec,
    number_in,
    pictures,
    plain,
    write,
)
from tests.data_pipelines.video.test_every_path import keyframe

H264 = CODECS["h264 without B-frames"]
HOUR = 108_000  # frames at 30 a second


def kinds(path):
    return [problem.kind for problem in inspect(str(path)).problems]


def clips(path, count=12):
    """Numbers of the frames of random training clips."""
    sampling = Sampling(num_frames=4, sampling_rate=12, target_fps=30.0)
    augmentation = Augmentation(crop=48, jitter=(48, 48), flip=False)
    for seed in range(count):
        clip = load_clip(
            Sample(str(path), 0), sampling, augmentation, rng=np.random.default_rng(seed)
        )["clip"]
        yield clip


def write_dv(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("dvvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 720, 576, "yuv420p"
        for number in range(12):
            picture = np.full((576, 720, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def write_live(path):
    """A WebM without frame rate and duration, as browsers record them."""
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=1000, options={"deadline": "realtime"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number, picture in enumerate(pictures(40)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 33 * number, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_claiming(path):
    """A header of 90,000 fps over frames that come at 30."""
    write(path, H264, count=40, rate=90_000, time=lambda number: 3000 * number)


@pytest.mark.parametrize(("name", "make", "fps", "reported"), [
    ("a.dv", write_dv, 25, True), ("a.webm", write_live, 30.3, True),
    ("a.mkv", write_claiming, 30, True), ("a.flv", write_claiming, 30, True),
    ("a.ts", write_claiming, 30, False),
])
def test_an_absurd_rate_is_replaced_and_reported(tmp_path, name, make, fps, reported):
    path = tmp_path / name
    make(path)
    info = decoding.probe(path)
    assert info.fps == pytest.approx(fps, abs=0.01)
    assert ("wrong rate" in kinds(path)) is reported
    header, _ = stills.look(str(path), lambda info: [0])
    assert header.fps == info.fps and header.frames == info.frames
    assert len(list(stills.play(str(path)))) == info.frames
    indices = view_indices(info, num_frames=4, sampling_rate=2, target_fps=30.0, clips=1)
    assert len(set(indices.ravel())) == 4
    encode(path, tmp_path / "copy.mp4")
    copy = decoding.probe(tmp_path / "copy.mp4")
    assert copy.frames == info.frames and copy.fps == pytest.approx(fps, rel=0.05)


@pytest.mark.parametrize("delays", [[50] * 3 + [200] * 12, [50, 100, 300] * 4, [100] * 10])
def test_the_rate_of_a_gif_is_its_number_of_frames_by_its_duration(tmp_path, delays):
    images = [Image.fromarray(p) for p in pictures(len(delays))]
    path = tmp_path / "a.gif"
    images[0].save(path, save_all=True, append_images=images[1:], duration=delays)
    expected = len(delays) / sum(delays) * 1000
    assert decoding.probe(path).fps == pytest.approx(expected)
    assert inspect(str(path)).fps == pytest.approx(expected)
    assert "wrong rate" not in kinds(path)


@pytest.mark.parametrize("gap", [300, HOUR], ids=["ten seconds", "an hour"])
@pytest.mark.parametrize(("codec", "suffix"), [
    *((codec, suffix) for codec in ("h264", "h264 without B-frames")
      for suffix in ("mkv", "mp4", "ts")),
    ("vp9", "mkv"), ("vp9", "mp4"), ("vp9", "webm"),
])
def test_clips_are_drawn_among_frames_that_exist(tmp_path, codec, suffix, gap):
    path = write(
        tmp_path / f"gap.{suffix}", CODECS[codec], count=120, time=lambda n: n + gap * (n >= 60)
    )
    expected = plain(path)
    shown = []
    for clip in clips(path):
        assert len({picture.tobytes() for picture in clip}) == 4
        shown += [number_in(picture) for picture in clip]
    assert min(shown) < 50 and max(shown) > 70
    for numbers in ([0, 30], [57, 59], [58, 61], [60, 61], [75, 119]):
        _, _, read = seeking.select_frames(path, lambda info, numbers=numbers: numbers)
        np.testing.assert_array_equal(read, expected[numbers])
    assert "time gap" in kinds(path) and inspect(str(path)).fps == 30
    played = [picture for _, picture in stills.play(str(path))]
    np.testing.assert_array_equal(np.stack(played), expected)
    # Keyframes are found by their times.
    np.testing.assert_array_equal(keyframe(path, 30), expected[26:34:2])
    np.testing.assert_array_equal(keyframe(path, gap + 90), expected[86:94:2])


def test_recordings_joined_together(tmp_path):
    """The time stamps of the second begin anew."""
    part = write(tmp_path / "part.ts", CODECS["h264"], count=60)
    path = tmp_path / "joined.ts"
    path.write_bytes(part.read_bytes() * 2)
    expected = plain(path)
    assert len(expected) == 120 and decoding.probe(path).fps == 30
    for numbers in ([0, 30], [58, 61], [70, 119]):
        _, _, read = seeking.select_frames(path, lambda info, numbers=numbers: numbers)
        np.testing.assert_array_equal(read, expected[numbers])
    played = [picture for _, picture in stills.play(str(path))]
    np.testing.assert_array_equal(np.stack(played), expected)
    assert kinds(path) == ["time gap"]
    encode(path, tmp_path / "copy.mp4")
    assert list(map(number_in, plain(tmp_path / "copy.mp4"))) == [*range(60)] * 2


@pytest.mark.parametrize(("codec", "suffix"), [
    ("h264", "mp4"), ("h264", "avi"), ("mpeg1", "mpg"), ("h264 with one key frame", "mp4"),
    ("av1 by svt", "mp4"),
])
def test_a_video_is_played_in_one_pass(tmp_path, monkeypatch, codec, suffix):
    path = write(tmp_path / f"v.{suffix}", CODECS[codec], count=150)
    counts = Counter()

    def counted(name, module):
        original = getattr(module, name)

        def call(*arguments, **keywords):
            counts[name] += 1
            result = original(*arguments, **keywords)
            if name == "open_video":
                return result
            return (counts.update(frames=1) or frame for frame in result)

        monkeypatch.setattr(module, name, call)

    for module in (playing, seeking, decoding):
        counted("open_video", module)
        counted("decoded_frames", module)
    assert len(list(stills.play(str(path)))) == 150
    assert counts["frames"] == 150 and counts["open_video"] <= 2
    counts.clear()
    assert len(list(stills.play(str(path), 60, 90))) == 30
    assert counts["frames"] <= 91 and counts["open_video"] <= 8


def test_frames_of_a_variable_rate_are_not_taken_for_gaps(videos):
    assert "time gap" not in kinds(videos["variable"])
    assert decoding.probe(videos["variable"]).fps == pytest.approx(20 / 6.3667, abs=0.01)


def two_streams(path, first, second):
    """Writes a file of two video streams, of (pictures, whether it is the default)."""
    with av.open(str(path), "w") as container:
        streams = []
        for count, default in (first, second):
            stream = container.add_stream("mpeg4", rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.disposition = av.stream.Disposition.default.value if default else 0
            streams.append((stream, count))
        for order, (stream, count) in enumerate(streams):
            for picture in list(pictures(count + 50 * order))[50 * order :]:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))


@pytest.mark.parametrize(("suffix", "first", "second", "shown"), [
    ("mp4", (1, True), (20, False), 50),  # a thumbnail, then the video
    ("mp4", (20, True), (1, False), 0), ("mkv", (20, False), (20, True), 50),
    ("mkv", (20, True), (20, False), 0), ("mkv", (20, False), (20, False), 0),
])
def test_the_main_one_of_two_video_streams_is_read(tmp_path, suffix, first, second, shown):
    two_streams(tmp_path / f"two.{suffix}", first, second)
    info, _, read = decoding.select_frames(tmp_path / f"two.{suffix}", lambda info: [0])
    assert info.frames == 20 and number_in(read[0]) == shown


def test_the_cover_of_a_song_in_mp4_is_no_video(tmp_path):
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        picture = av.VideoFrame.from_ndarray(next(pictures(1)), format="rgb24")
        container.mux([*cover.encode(picture), *cover.encode(None)])
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux([*sound.encode(frame), *sound.encode(None)])
    for read in (decoding.probe, lambda path: stills.still(str(path), 0), lambda path: list(
        stills.play(str(path))
    )):
        with pytest.raises(decoding.VideoError, match=r"no video stream \(found: audio, cover\)"):
            read(path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(("rate", "time"), [
    (Fraction(1, 2), lambda number: number),  # one frame in two seconds
    (30, lambda number: number + number // 4 * 90),  # bursts and pauses
])
def test_b_frames_at_low_and_irregular_rates_are_no_further_recordings(
    tmp_path, suffix, rate, time
):
    path = tmp_path / f"a.{suffix}"
    write(path, CODECS["h264"], count=40, rate=rate, time=time)
    # Frames come from the decoder in order of display, so these are intervals without a doubt.
    found = inspect(str(path))
    assert "jump back" not in " ".join(problem.text for problem in found.problems)
    info = decoding.probe(path)
    assert info.frames == found.frames == 40
    assert info.fps == pytest.approx(found.fps, rel=0.05)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("burst", [2, 8])
@pytest.mark.parametrize("pause", [1.5, 10])
def test_screen_recordings_with_pauses(tmp_path, suffix, burst, pause):
    """Training, tests and the doctor see the same rate."""
    path = tmp_path / f"a.{suffix}"
    codec = Codec("libx264", {"threads": "1"})  # up to three B-frames
    write(path, codec, count=60, time=lambda n: n + int(n // burst * 30 * pause))
    assert kinds(path) == ["time gap"] and "jump back" not in inspect(str(path)).problems[0].text
    header, _ = stills.look(str(path), lambda info: [0])
    info = decoding.probe(path)
    assert header.fps == info.fps == inspect(str(path)).fps == 30 and info.frames == 60
    indices = view_indices(info, num_frames=4, sampling_rate=8, target_fps=30.0, clips=2)
    assert indices.tolist() == [[0, 10, 20, 31], [14, 24, 34, 45]]
