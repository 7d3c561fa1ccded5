"""Yields successive frames of a video in one pass, in memory one at a time."""

import math
from collections.abc import Iterator

import av
import numpy as np

from data_pipelines.video.decoding import (
    Encoded,
    Transform,
    VideoError,
    decoded_frames,
    nothing_decodes,
    open_video,
    orientation_of,
    upright_picture,
)
from data_pipelines.video.headers import from_header
from data_pipelines.video.opening import check_size, size_change
from data_pipelines.video.seeking import ROUNDING
from data_pipelines.video.times import gap_length


def iterate_frames(
    path: Encoded,
    first: int = 0,
    stop: int | None = None,
    *,
    transform: Transform | None = None,
    thread_type: str = "AUTO",
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (n, frame n) for n from `first` up to, not including, `stop` or the end.

    Frames are numbered as by seeking.select_frames: frame n is the one shown nearest to n / fps
    seconds after the first, or the n-th decoded one where times or the rate are not usable. Each
    frame is decoded once. Numbers that lie in a gap between recordings are left out.

    Args:
        path: the video.
        first, stop: frame numbers.
        transform: applied to each frame that is yielded.
        thread_type: see decoding.select_frames.

    Yields:
        The number, and the picture, uint8 (H,W,3) RGB, transformed if asked.

    Raises:
        VideoError: as decoding.select_frames.
    """
    if stop is not None and stop <= first:
        return
    with open_video(path, thread_type) as (container, stream):
        info = from_header(path, container, stream)
    fps = info and info.fps
    # A seek may land after the key frame needed. Then seek further back.
    for back in (0, 1, 4, 16, 64, None) if fps and first else (None,):
        with open_video(path, thread_type) as (container, stream):
            whole = back is None
            if not whole:
                target = round(max(first / fps - back, 0.0) / stream.time_base)
                try:
                    container.seek(stream.start_time + target, stream=stream)
                except (av.error.FFmpegError, OSError):
                    continue
            begun = False
            for found in _numbered(path, container, stream, fps, first, transform, whole):
                begun = True
                if stop is not None and found[0] >= stop:
                    return
                yield found
            if begun:
                return


def _numbered(
    path: Encoded,
    container,
    stream,
    fps: float | None,
    first: int,
    transform: Transform | None,
    whole: bool,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (n, frame n) from `first` on; nothing if the container is at a later position.

    Args:
        fps: the frame rate; None if frames are numbered as they are decoded.
        whole: the container is at its start.
    """
    longest = gap_length(fps) * fps if fps else math.inf
    orientation = size = before = shown = None
    position, number = -math.inf, first

    def picture(frame: av.VideoFrame) -> np.ndarray:
        nonlocal shown
        if shown is None or shown[0] is not frame:
            shown = frame, upright_picture(frame, orientation, transform)
        return shown[1]

    for count, frame in enumerate(decoded_frames(container, stream, [], whole=whole)):
        place = count if fps is None else _place(stream, frame, fps)
        if place is None:  # FFmpeg may lose the time stamp of a frame beside a gap
            place = position + 1
        if place <= position:
            continue
        if before is None:
            if not whole and not frame.key_frame:  # it may lack the frames that it refers to
                continue
            if not whole and place > first + ROUNDING:
                return
            check_size(path, frame.width, frame.height)
            orientation, size = orientation_of(frame), (frame.width, frame.height)
        if (frame.width, frame.height) != size:
            after = frame.width, frame.height
            raise VideoError(path, size_change(size, after, f"frame {round(place)}"))
        if place - position > longest:
            if before is not None and number - position < 0.5:
                yield number, picture(before)
            number = max(number, round(place))
        while number <= place + ROUNDING:
            nearer = before is not None and number - position <= place - number
            yield number, picture(before if nearer else frame)
            number += 1
        before, position = frame, place
    if before is not None and number - position < 0.5:
        yield number, picture(before)
    if whole and before is None:
        raise VideoError(path, nothing_decodes(stream, 0))


def _place(stream, frame: av.VideoFrame, fps: float) -> float | None:
    """The number of a frame by its time, a fraction at a variable rate."""
    if frame.pts is None:
        return None
    return float((frame.pts - stream.start_time) * stream.time_base) * fps
