"""Tiny videos in many codecs and containers, of frames that differ from each other."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest

HEIGHT, WIDTH, COUNT = 48, 64, 50


class Codec(NamedTuple):
    """An encoder, its options and pixel format."""

    encoder: str
    options: dict[str, str]
    pixels: str = "yuv420p"


def _h264(**options: str) -> Codec:
    return Codec("libx264", {"preset": "fast", "threads": "1", "bf": "3", "g": "12"} | options)


def _hevc(more: str) -> Codec:
    more += ":keyint=12:bframes=4:b-adapt=0:log-level=none:pools=none:frame-threads=1"
    return Codec("libx265", {"preset": "ultrafast", "x265-params": more})


VPX = {"g": "12", "deadline": "realtime", "cpu-used": "8"}
HIDDEN_FRAMES = {
    "g": "20", "deadline": "good", "cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16"
}
CODECS = {
    "h264": _h264(),
    "h264 without B-frames": _h264(bf="0"),
    "h264 with open groups": _h264(**{"x264-params": "open-gop=1"}),
    "h264 with one key frame": _h264(g="1000"),
    "hevc": _hevc("open-gop=0"),
    "hevc with open groups": _hevc("open-gop=1"),
    "av1 by svt": Codec("libsvtav1", {"g": "20", "preset": "10", "svtav1-params": "lp=1"}),
    "av1 by svt for low delay": Codec(
        "libsvtav1", {"g": "20", "preset": "10", "svtav1-params": "lp=1:pred-struct=1"}
    ),
    "av1 by aom": Codec("libaom-av1", {"g": "20", "cpu-used": "8", "lag-in-frames": "16"}),
    "av1 by rav1e": Codec("librav1e", {"g": "20", "speed": "10"}),
    "vp9": Codec("libvpx-vp9", VPX),
    "vp9 with hidden frames": Codec("libvpx-vp9", HIDDEN_FRAMES),
    "vp8": Codec("libvpx", VPX),
    "vp8 with hidden frames": Codec("libvpx", HIDDEN_FRAMES),
    "mpeg1": Codec("mpeg1video", {"bf": "2", "g": "12"}),
    "mpeg2": Codec("mpeg2video", {"bf": "2", "g": "12"}),
    "mpeg4": Codec("mpeg4", {"bf": "2", "g": "12"}),
    "wmv2": Codec("wmv2", {"g": "12"}),
    "flv1": Codec("flv", {"g": "12"}),
    "prores": Codec("prores_ks", {}, "yuv422p10le"),
    "mjpeg": Codec("mjpeg", {}, "yuvj420p"),
    "ffv1": Codec("ffv1", {}),
}
CONTAINERS = ("mp4", "mov", "mkv", "webm", "avi", "ts", "m2ts", "mpg", "vob", "flv", "wmv", "mxf")


def pictures(count: int = COUNT) -> Iterator[np.ndarray]:
    """Moving noise below a bar code of the number."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    noise = noise.repeat(8, 0).repeat(8, 1)
    for number in range(count):
        picture = np.roll(noise, (number, 2 * number), (0, 1))
        for bit in range(8):
            picture[:16, 8 * bit : 8 * bit + 8] = 20 + 210 * (number >> bit & 1)
        yield picture


def number_in(picture: np.ndarray) -> int:
    """The number in the bar code of a picture."""
    height, width = picture.shape[:2]
    bars = picture[: height // 4, : width // 8 * 8].mean(axis=(0, 2)).reshape(8, -1)
    return int((bars[:, 2:-2].mean(axis=1) > 120) @ (1 << np.arange(8)))


def write(
    path: Path,
    codec: Codec,
    *,
    count: int = COUNT,
    rate: Fraction | int = 30,
    time: Callable[[int], int] = lambda number: number,
    base: Fraction | None = None,
) -> Path:
    """Writes a video, or skips the test if this PyAV has no such encoder.

    Args:
        rate: frame rate that the header states.
        time: number of a frame -> its time stamp, in units of `base`.
        base: seconds; None: 1 / rate.

    Raises:
        av.error.FFmpegError, ValueError: the container does not take the codec.
    """
    try:
        av.Codec(codec.encoder, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this PyAV has no {codec.encoder}")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec.encoder, rate=rate, options=dict(codec.options))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, codec.pixels
        for number, picture in enumerate(pictures(count)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time(number), base or 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def plain(path: Path) -> np.ndarray:
    """All frames, decoded by PyAV alone: uint8 (n,H,W,3) RGB."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
