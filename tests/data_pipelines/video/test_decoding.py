"""Reading frames from intact, unusual and broken files."""

import json
import pickle
import re
import subprocess
import sys
import tracemalloc
from contextlib import contextmanager

import av
import numpy as np
import pytest
from PIL import Image

from data_pipelines.transforms.resize import resize_short_side
from data_pipelines.video import decoding
from data_pipelines.video.decoding import VideoError, probe, read_frames, select_frames
from data_pipelines.video.encoding import write_video
from data_pipelines.video.stills import still
from tests.data_pipelines.conftest import frame_numbers, numbered_frames, turned_picture
from tests.data_pipelines.support.mutations import h264_parameters
from tests.support.paths import REAL, ROOT, needs_real


def decoded_whole(path) -> np.ndarray:
    """All frames, decoded by PyAV alone."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def test_probe(videos):
    info = probe(videos["numbered"])
    assert (info.frames, info.fps, info.width, info.height) == (60, 30.0, 64, 48)
    assert (info.rotation, info.duration, info.codec, info.warning) == (0, 2.0, "h264", "")
    assert probe(videos["ntsc"]).fps == 30000 / 1001


@pytest.mark.parametrize("name", ["numbered", "bframes", "odd", "variable", "one_frame"])
def test_frames_are_those_of_a_plain_decode(videos, name):
    expected = decoded_whole(videos[name])
    assert probe(videos[name]).frames == len(expected)
    np.testing.assert_array_equal(read_frames(videos[name], range(len(expected))), expected)


def test_any_order_and_repetition(videos):
    indices = [7, 3, 3, 40, 0, 59]
    frames = read_frames(videos["numbered"], indices)
    assert frames.dtype == np.uint8 and frames.shape == (6, 48, 64, 3)
    assert frame_numbers(frames) == indices
    assert frame_numbers(read_frames(videos["numbered"], np.array([5]), thread_type="NONE")) == [5]


def test_frames_past_the_end_repeat_the_last(videos):
    assert frame_numbers(read_frames(videos["five"], [0, 4, 5, 63])) == [0, 4, 4, 4]
    assert frame_numbers(read_frames(videos["one_frame"], [0, 1, 2])) == [0, 0, 0]


def test_bad_indices_are_refused(videos):
    for indices in ([-1, 2], []):
        with pytest.raises(ValueError, match="expected one or more indices >= 0"):
            read_frames(videos["five"], indices)
    with pytest.raises(ValueError, match=r"frames 0..5 chosen of .*five.mp4, which has 5"):
        select_frames(videos["five"], lambda info: [0, 5])


def test_short_side(videos):
    frames = read_frames(videos["bframes"], [0, 9], short_side=24)
    assert frames.shape == (2, 24, 32, 3)
    whole = read_frames(videos["bframes"], [0, 9])
    np.testing.assert_array_equal(frames, resize_short_side(whole, 24))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_videos_are_read_upright(videos, degrees):
    path = videos[f"turned{degrees}"]
    upright = np.rot90(turned_picture(), degrees // 90)  # counter-clockwise
    info = probe(path)
    assert info.rotation == degrees
    assert (info.height, info.width) == upright.shape[:2]
    frame = read_frames(path, [1])[0]
    assert frame.shape == upright.shape
    assert np.abs(frame.astype(int) - upright).mean() < 8
    np.testing.assert_array_equal(frame, np.rot90(decoded_whole(path)[1], degrees // 90))
    assert min(read_frames(path, [1], short_side=24).shape[1:3]) == 24


def test_mirrored_video(videos):
    assert probe(videos["mirrored"]).rotation == 0
    expected = decoded_whole(videos["mirrored"])[:, :, ::-1]
    np.testing.assert_array_equal(read_frames(videos["mirrored"], range(3)), expected)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty", "the file is empty"),
        ("text", "it is truncated or not a video"),
        ("no_index", "it is truncated or not a video"),
        ("audio", r"no video stream \(found: audio\)"),
        ("song", r"no video stream \(found: audio, cover\)"),
        ("nothing_decodes", "no frame can be decoded"),
    ],
)
def test_unusable_files(videos, name, reason):
    for read in (probe, lambda path: read_frames(path, [0])):
        with pytest.raises(VideoError, match=reason) as caught:
            read(videos[name])
        assert caught.value.path == str(videos[name])
        assert str(caught.value).startswith(f"{videos[name]}: {caught.value.reason}")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(VideoError, match="no such file; check the path"):
        probe(tmp_path / "nowhere.mp4")
    with pytest.raises(VideoError, match="is a folder"):
        probe(tmp_path)


def test_errors_can_be_sent_between_processes():
    error = pickle.loads(pickle.dumps(VideoError("a.mp4", "no such file")))
    assert (error.path, error.reason, str(error)) == (
        "a.mp4", "no such file", "a.mp4: no such file"
    )


@pytest.mark.parametrize("name", ["truncated", "broken_middle"])
def test_a_broken_file_yields_its_decodable_frames_and_a_warning(videos, name):
    asked = []

    def choose(info):
        asked.append(info.frames)
        return [0, info.frames - 1]

    info, indices, frames = select_frames(videos[name], choose)
    assert asked == [probe(videos[name]).frames, info.frames]  # counted packets, then frames
    assert 20 < info.frames < asked[0]
    assert indices.tolist() == [0, info.frames - 1] and len(frames) == 2
    expected = {
        "truncated": "the header promises 60 frames, but the file has 30",
        "broken_middle": "of 60 packets cannot be decoded",
    }[name]
    assert expected in info.warning
    # Frames past the end are replaced by the last.
    np.testing.assert_array_equal(read_frames(videos[name], [0, 59]), frames)


def test_an_animated_webp_is_decoded_or_named(tmp_path):
    pictures = [Image.fromarray(picture) for picture in numbered_frames(3)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:])
    try:
        assert probe(tmp_path / "a.webp").frames == 3
    except VideoError as error:
        assert "animated WebP" in error.reason and "convert it to MP4" in error.reason


def test_a_picture_that_changes_its_size_is_refused(tmp_path):
    path = tmp_path / "sizes.ts"
    parts = []
    for height, width in ((48, 64), (64, 64)):
        part = tmp_path / f"{height}.ts"
        write_video(part, [np.zeros((height, width, 3), np.uint8)] * 4)
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    with pytest.raises(VideoError, match="changes from 64x48 to 64x64 at frame 4; re-encode"):
        read_frames(path, range(8))


def test_a_header_that_claims_a_huge_picture_is_refused(videos, tmp_path):
    content = bytearray(videos["packets"].read_bytes())
    parameters = h264_parameters(16384, 16384)
    at = content.index(b"\x67\x42")
    content[at : at + len(parameters)] = parameters
    (tmp_path / "huge.mp4").write_bytes(content)
    with pytest.raises(VideoError, match="no frame .* picture larger than 36 million pixels"):
        probe(tmp_path / "huge.mp4")


def test_a_very_narrow_picture_is_refused(tmp_path):
    # With its short side resized to 256 pixels, a frame would take more than 10 MB.
    path = tmp_path / "line.mkv"
    write_video(path, [np.zeros((16, 816, 3), np.uint8)], codec="ffv1")
    for read in (probe, lambda path: read_frames(path, [0]), lambda path: still(path, 0)):
        with pytest.raises(VideoError, match="the picture is 816x16; .* at most 50 times"):
            read(path)


def test_a_stream_larger_than_its_header_is_refused(tmp_path):
    path = tmp_path / "video.webm"
    options = {"deadline": "realtime", "cpu-used": "8"}
    write_video(path, numbered_frames(5), codec="libvpx", options=options)
    size = (16383).to_bytes(2, "little") * 2
    path.write_bytes(re.sub(rb"(\x9d\x01\x2a)....", rb"\g<1>" + size, path.read_bytes()))
    for read in (probe, lambda path: read_frames(path, [0]), lambda path: still(path, 0)):
        with pytest.raises(VideoError, match="no frame can be decoded"):
            read(path)


def test_tags_in_another_encoding_do_no_harm(tmp_path):
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Cafes"
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(numbered_frames(1)[0], format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    path.write_bytes(path.read_bytes().replace(b"Cafes", "Cafés".encode("latin1")))
    assert probe(path).frames == 1


def test_streams_that_appear_late_are_ignored(videos, monkeypatch):
    """PyAV may raise IndexError at the end of such a file."""
    open_video = decoding.open_video

    class Late:
        def __init__(self, container):
            self.container, self.duration = container, container.duration
            self.format = container.format

        def demux(self, stream):
            yield from self.container.demux(stream)
            raise IndexError("list index out of range")

    @contextmanager
    def opened(*args):
        with open_video(*args) as (container, stream):
            yield Late(container), stream

    monkeypatch.setattr(decoding, "open_video", opened)
    info = probe(videos["numbered"])
    assert info.frames == 60 and info.warning == ""
    assert frame_numbers(read_frames(videos["numbered"], [0, 59])) == [0, 59]


@pytest.mark.parametrize("orientation, rotation", [(1, 0), (3, 180), (6, 270), (8, 90)])
def test_the_orientation_of_a_photograph_is_read(tmp_path, orientation, rotation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(turned_picture()).save(tmp_path / "photo.jpg", exif=exif)
    info = probe(tmp_path / "photo.jpg")
    assert info.rotation == rotation
    assert (info.width, info.height) == ((48, 64) if rotation % 180 else (64, 48))


def test_a_playlist_is_refused(videos):
    path = videos["numbered"].with_name("list.mp4")
    path.write_text("ffconcat version 1.0\nfile numbered.mp4\n")
    with pytest.raises(VideoError, match="cannot be opened"):
        probe(path)


def test_choosing_no_frames_counts_them_all(videos):
    info, indices, frames = select_frames(videos["numbered"], lambda info: [])
    assert info.frames == 60 and len(indices) == len(frames) == 0


def write_long_video(path, height, width, count) -> None:
    """Repeats the packets of 30 gray frames, which is quicker than encoding a long video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=30, options={"preset": "ultrafast", "g": "30", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        gray = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), format="rgb24")
        packets = [p for _ in range(30) for p in stream.encode(gray)] + stream.encode(None)
        for number in range(count):
            source = packets[number % 30]
            packet = av.Packet(bytes(source))
            packet.stream, packet.time_base = stream, source.time_base
            packet.pts = packet.dts = number
            packet.is_keyframe = source.is_keyframe
            container.mux(packet)


MEMORY_OF_READING = """
import resource, sys
import numpy as np
from data_pipelines.video.decoding import select_frames
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
choose = lambda info: np.linspace(0, info.frames - 1, 100).astype(int)
info, indices, frames = select_frames(sys.argv[1], choose, short_side=128)
print(info.frames, len(frames), peak() - before)
"""


@pytest.mark.slow
def test_a_long_video_is_never_held_in_memory(tmp_path):
    path = tmp_path / "long.mp4"
    write_long_video(path, 1080, 1920, 3000)  # 18 GB decoded

    tracemalloc.start()
    info, indices, frames = select_frames(path, lambda info: range(0, 600, 10), short_side=128)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert info.frames == 3000 and frames.shape == (60, 128, 227, 3)
    assert peak < frames.nbytes + 25e6  # one frame, as decoded and as resized

    # Includes the decoder's memory, which tracemalloc does not see.
    result = subprocess.run(
        [sys.executable, "-c", MEMORY_OF_READING, str(path)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )
    count, kept, grown = map(int, result.stdout.split())
    assert (count, kept) == (3000, 100)
    assert grown < 250  # MB; the 100 frames alone would be 620 before resizing


@needs_real
def test_real_videos():
    expected = json.loads((REAL / "expected.json").read_text(encoding="utf-8"))
    assert len(expected) == 8
    for name, facts in expected.items():
        info = probe(REAL / "videos" / name)
        assert (info.frames, info.fps) == (facts["frames"], facts["fps"])
        assert [info.width, info.height] == facts["size"]
        assert info.warning == ""


@needs_real
def test_real_frames_are_those_of_a_plain_decode():
    path = REAL / "videos" / "paddlevideo_example_archery.avi"
    expected = decoded_whole(path)
    info, indices, frames = select_frames(path, lambda info: range(info.frames))
    assert info.frames == len(expected) == 131
    np.testing.assert_array_equal(frames, expected)
