"""Properties of a video from its header, checked against its time stamps as far as that is cheap.

Headers suffice for ordinary files. All packets of a file are read only if its first packets or its
index contradict the header.
"""

import itertools
import os
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeVar

import av

from data_pipelines.video.decoding import Encoded, VideoInfo, data_packets, open_video
from data_pipelines.video.opening import Stored
from data_pipelines.video.times import (
    DELAYS_ONLY,
    WRONG_BY,
    duration_of,
    frame_rate,
    header_rate,
    jumps_back,
    keeps_times,
    last_end,
    shares_duration,
)

# Largest number of frames that an edit list may hide. The time of a seek in FFmpeg grows with the
# square of it: 100,000 take a second, and a damaged header may claim millions.
MOST_HIDDEN = 10_000
Result = TypeVar("Result")
FIRST = 12  # packets whose time stamps are compared with the stated frame rate


def from_header(path: Encoded, container, stream) -> VideoInfo | None:
    """Properties of a video in which a frame can be found by its time; None for other videos.

    They come from the header. All time stamps are read once where the stated frame rate is absent,
    impossible or contradicted, and in MPEG-TS, which may hold several recordings. May move the
    container to another position.
    """
    rate = header_rate(container, stream)
    if container.format.name in DELAYS_ONLY or not keeps_times(container, stream):
        return None
    doubtful = (
        rate is None or rate * WRONG_BY < (stream.guessed_rate or 0)
        or not _confirmed(container, stream, rate)
    )
    if doubtful or container.format.name == "mpegts":
        stamps = _of_video(path, _read_time_stamps)
        if stamps.joined:
            return None
        doubtful = rate is None or stamps.fps != float(rate)
        rate = stamps.fps
    fps = float(rate)
    duration = duration_of(container, stream)
    if duration <= 0:
        return None
    if shares_duration(container, stream):
        duration = _of_video(path, _read_end) or duration
    frames = stamps.frames if doubtful else max(round(duration * fps), 1)
    if stream.frames:  # includes the frames that an edit list hides
        if stream.frames > frames + MOST_HIDDEN:
            return None
        if not doubtful:
            frames = min(frames, stream.frames)
    return VideoInfo(
        frames=frames, fps=fps, width=0, height=0, rotation=0, duration=duration,
        codec=stream.codec_context.name,
    )


def _confirmed(container, stream, rate: Fraction) -> bool:
    """Whether the time stamps that can be had without reading the file agree with its rate.

    FFmpeg computes the average rate of MP4 and MOV from the number of frames and the duration,
    which includes gaps. It equals the base rate, that of the first frames, if the rate is constant.
    """
    if "mov" in container.format.name:
        if stream.average_rate == stream.base_rate:
            return True
        times = [entry.timestamp for entry in stream.index_entries if not entry.is_discard]
    else:
        packets = itertools.islice(data_packets(container, stream, [], whole=False), FIRST)
        times = [packet.dts for packet in packets if packet.dts is not None]
    return frame_rate(container, stream, times)[0] == float(rate)


class _Stamps(NamedTuple):
    """What the time stamps of all packets show.

    Attributes:
        fps: frame rate.
        frames: number of the last frame by its time, plus 1.
        joined: whether time stamps jump back.
    """

    fps: float
    frames: int
    joined: bool


def _read_time_stamps(container, stream) -> _Stamps:
    packets = [(p.pts, p.dts) for p in data_packets(container, stream, []) if not p.is_discard]
    times = [pts for pts, _ in packets]
    order = [dts for _, dts in packets]
    fps, _ = frame_rate(container, stream, times, order=order)
    last = max((time for time in times if time is not None), default=stream.start_time)
    return _Stamps(
        fps, max(round((last - stream.start_time) * stream.time_base * fps), 0) + 1,
        jumps_back(order, stream.time_base),
    )


def _read_end(container, stream) -> float:
    """Seconds from the first frame to the end of the last, by the last packets; 0 if unknown."""
    claimed = (container.duration or 0) / av.time_base
    for back in (0, 1, 4, 16, 64, claimed):
        target = max(claimed - back, 0.0)
        try:
            container.seek(stream.start_time + round(target / stream.time_base), stream=stream)
        except (av.error.FFmpegError, OSError):
            return 0.0
        packets = data_packets(container, stream, [], whole=False)
        if end := last_end(stream, ((packet.pts, packet.duration) for packet in packets)):
            return end
    return 0.0


def _of_video(path: Encoded, read: Callable[..., Result]) -> Result:
    """`read(container, stream)` of the video, opened anew; once for each file and process."""
    if isinstance(path, Stored):
        with open_video(path, "NONE") as (container, stream):
            return read(container, stream)
    facts = os.stat(path)
    return _of_file(read, os.fspath(path), facts.st_size, facts.st_mtime_ns)


@lru_cache(1024)
def _of_file(read: Callable[..., Result], path: str, size: int, changed: int) -> Result:
    """As `_of_video`; `size` and `changed` tell versions of the file apart."""
    with open_video(path, "NONE") as (container, stream):
        return read(container, stream)
