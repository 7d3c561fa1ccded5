"""Small intact and broken videos, written with PyAV."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from data_pipelines.video.encoding import write_video

# A key frame every 10 frames and no B-frames, so that damage has a known effect.
PLAIN = {"preset": "ultrafast", "g": "10", "bf": "0", "threads": "1"}


def numbered_frames(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Frames whose gray level 20 + 3 i (modulo 200) encodes their number i."""
    return [np.full((height, width, 3), 20 + 3 * i % 200, np.uint8) for i in range(count)]


def frame_numbers(frames: np.ndarray) -> list[int]:
    """The numbers of frames made by `numbered_frames`."""
    return [round((float(frame.mean()) - 20) / 3) for frame in frames]


@pytest.fixture
def command(capsys):
    """Wraps a cli as a function: arguments -> (status, problem lines, table and errors)."""

    def caller(cli):
        def call(*arguments):
            status = cli([str(argument) for argument in arguments])
            out, err = capsys.readouterr()
            lines, _, table = f"\n{out}".partition("\n\n")
            return status, lines.rstrip("\n").split("\n")[1:], table + err

        return call

    return caller


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    made = {}

    def add(name: str, frames, **keywords) -> Path:
        keywords.setdefault("options", PLAIN)
        made[name.split(".")[0]] = folder / name
        write_video(folder / name, frames, **keywords)
        return folder / name

    add("numbered.mp4", numbered_frames(60))
    add("one_frame.mp4", numbered_frames(1))
    add("bframes.mp4", numbered_frames(30), options={"bf": "3", "threads": "1"})
    add("five.mp4", numbered_frames(5))
    add("odd.mkv", numbered_frames(4, 47, 61), codec="ffv1", pixel_format="bgr0", options={})
    add("ntsc.mp4", numbered_frames(20), fps=Fraction(30000, 1001))
    whole = add("packets.mp4", _noise(60)).read_bytes()

    def store(name: str, content: bytes) -> None:
        made[name.split(".")[0]] = folder / name
        (folder / name).write_bytes(content)

    store("empty.mp4", b"")
    store("text.mp4", b"this is not a video at all\n" * 50)
    store("no_index.mp4", whole.replace(b"moov", b"none"))
    store("truncated.mp4", whole[: len(whole) // 2])
    start = whole.index(b"mdat") + 8
    middle = start + (len(whole) - start) // 2
    store("broken_middle.mp4", whole[:middle] + bytes(4000) + whole[middle + 4000 :])
    store("nothing_decodes.mp4", whole[:start] + bytes(len(whole) - start))

    made["audio"] = folder / "audio.m4a"
    _write_audio(made["audio"])
    made["song"] = folder / "song.mp3"
    _write_audio(made["song"], cover=True)
    made["variable"] = folder / "variable.mp4"
    _write_variable_rate(made["variable"])
    for name, matrix in {
        "turned90": (0, -1, 1, 0), "turned180": (-1, 0, 0, -1), "turned270": (0, 1, -1, 0),
        "mirrored": (-1, 0, 0, 1),
    }.items():
        made[name] = folder / f"{name}.mp4"
        _write_turned(made[name], *matrix)
    return made


def _noise(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8))


def _write_audio(path: Path, cover: bool = False) -> None:
    """A short silent audio file, optionally with a cover picture."""
    with av.open(str(path), "w") as container:
        codec = "libmp3lame" if path.suffix == ".mp3" else "aac"
        stream = container.add_stream(codec, rate=16000, layout="mono")
        if cover:
            picture = container.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic.value
            frame = av.VideoFrame.from_ndarray(numbered_frames(1)[0], format="rgb24")
            container.mux([*picture.encode(frame), *picture.encode(None)])
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 576), np.float32), "fltp", "mono")
        sound.sample_rate = 16000
        container.mux([*stream.encode(sound), *stream.encode(None)])


def _write_variable_rate(path: Path) -> None:
    """20 frames, each shown longer than the one before."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options=PLAIN)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 600)
        for number, picture in enumerate(numbered_frames(20)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 10 * number * (number + 1), Fraction(1, 600)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def turned_picture() -> np.ndarray:
    """A red left half; a right half of green above blue."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :32, 0] = picture[:24, 32:, 1] = picture[24:, 32:, 2] = 220
    return picture


def _write_turned(path: Path, a: int, b: int, c: int, d: int) -> None:
    """A video whose display matrix shows point (x, y), y down, at (a x + c y, b x + d y)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options=PLAIN)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(turned_picture(), format="rgb24"))
            )
        container.mux(stream.encode(None))
    content = bytearray(path.read_bytes())
    # The track header holds nine big-endian 16.16 numbers: a, b, 0, c, d, 0, x, y, 1.
    at = content.index(b"tkhd") + 4 + 40
    for position, value in enumerate((a, b, 0, c, d)):
        content[at + 4 * position : at + 4 * position + 4] = (value * 65536).to_bytes(
            4, "big", signed=True
        )
    path.write_bytes(content)
