"""Small films with sound, of constant or variable frame rate."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TICKS = 90000  # per second, of the time stamps of pictures
SAMPLES = 16000  # per second, of sound


def gray_pictures(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Pictures that become brighter one after the other, each with a moving white square."""
    pictures = []
    for number in range(count):
        picture = np.full((height, width, 3), 40 + 100 * number // max(count, 1), np.uint8)
        left = number % (width - 8)
        picture[height // 2 : height // 2 + 8, left : left + 8] = 255
        pictures.append(picture)
    return pictures


def write_film(
    path: Path, pictures: Sequence[np.ndarray], *, times: Sequence[float] | None = None,
    fps: int = 30, sound: str = "", rotation: int = 0, seconds: float | None = None,
    aspect: Fraction = Fraction(1),
) -> None:
    """Writes H.264 whose pictures are shown at `times`, or at a constant rate.

    Args:
      sound: codec of a tone as long as the pictures, or `seconds`; "" for none.
      rotation: degrees counter-clockwise by which players turn the pictures.
      aspect: width of a pixel by its height.
    """
    times = [number / fps for number in range(len(pictures))] if times is None else times
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options={
            "preset": "ultrafast", "threads": "1", "qp": "10",
        })
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        if sound:
            tone = out.add_stream(sound, rate=SAMPLES)
            tone.codec_context.layout = "mono"
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound:
            length = seconds or times[-1] + 1 / fps
            for begin in range(0, round(length * SAMPLES), 1024):
                wave = np.sin(np.arange(begin, begin + 1024) / 20) * 8000
                frame = av.AudioFrame.from_ndarray(
                    wave.astype(np.int16)[None], format="s16", layout="mono"
                )
                frame.rate, frame.pts, frame.time_base = SAMPLES, begin, Fraction(1, SAMPLES)
                out.mux(tone.encode(frame))
            out.mux(tone.encode(None))


def times_of(path: Path) -> list[float]:
    """The times at which the pictures of a file are shown, in seconds."""
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def sound_of(path: Path) -> tuple[str, float]:
    """Codec of the sound of a file and its seconds; ("", 0.0) without sound."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return "", 0.0
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(stream))
        return stream.codec_context.codec.canonical_name, samples / stream.codec_context.sample_rate
