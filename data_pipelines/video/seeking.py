"""Reading a few frames out of a long video: only from the key frame before the first of them on.

Frame n is the one shown nearest to n / fps after the first. In a video of constant frame rate that
is the n-th decoded, as decoding.py counts; where the rate varies it is the one at the right time.
"""

import bisect
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import av
import numpy as np

from data_pipelines.video import decoding
from data_pipelines.video.decoding import (
    Encoded,
    Transform,
    VideoError,
    VideoInfo,
    decoded_frames,
    degrees,
    open_video,
    orientation_of,
    upright_picture,
)
from data_pipelines.video.opening import check_size

# Containers round time stamps, Matroska to milliseconds: two hundredths of a frame at 30 a second.
ROUNDING = 0.05
# Frames that an edit list leaves out. In a seek, FFmpeg takes time that grows with the square of
# how many: a second for 100,000, and a damaged header may promise millions.
MOST_HIDDEN = 10_000
logger = logging.getLogger(__name__)


def select_frames(
    path: Encoded,
    choose: Callable[[VideoInfo], Sequence[int]],
    *,
    transform: Transform | None = None,
    thread_type: str = "AUTO",
) -> tuple[VideoInfo, np.ndarray, np.ndarray]:
    """The frames that `choose(info)` names; the counterpart of decoding.select_frames for one clip.

    Of the file is read what lies between the key frame before the first chosen frame and the last
    one. `info` comes from the file's header alone, so `info.frames` may be off by some frames where
    the header is imprecise (MPEG-TS), and to `choose` the size of the picture is not known (0).
    Where the container cannot seek or keeps no usable time stamps (AVI with B-frames, MPEG-PS), the
    file is read from the start by decoding.select_frames, which asks `choose` again.

    Args:
        choose: gives indices (at least one) within 0..info.frames-1; the same for the same info.
        transform: done to each chosen frame as it is decoded.
        thread_type: see decoding.select_frames.

    Returns:
        (info, indices, frames): `indices` are the chosen ones in rising order, each once, and
        `frames` the pictures there: uint8 (len(indices),H,W,3) RGB, transformed if asked.

    Raises:
        VideoError: no frame can be had, or the picture changes its size.
    """
    with open_video(path, thread_type) as (container, stream):
        info = _from_header(container, stream)
        if info is not None:
            wanted = np.unique(np.asarray(choose(info), np.int64))
            if not 0 <= wanted[0] <= wanted[-1] < info.frames:
                raise ValueError(
                    f"frames {wanted[0]}..{wanted[-1]} chosen of {path}, which has {info.frames}"
                )
            found = None
            if stream.average_rate == stream.base_rate:
                found = _read(path, container, stream, info.fps, wanted, transform, skim=True)
            if found is None:
                found = _read(path, container, stream, info.fps, wanted, transform, skim=False)
            if found is not None:
                return replace(info, **found[1]), wanted, found[0]
    logger.debug("%s: cannot be read from within, reading it from the start", path)
    return decoding.select_frames(
        path, choose, transform=transform, thread_type=thread_type, to_end=False
    )


def keeps_times(container, stream) -> bool:
    """Whether frames have usable time stamps in this file."""
    codec = stream.codec_context
    if container.format.name == "avi" and (codec.has_b_frames or codec.name == "h264"):
        return False  # keeps the order of decoding only; of H.264 FFmpeg gets the first time wrong
    # MPEG-PS has time stamps for some frames only.
    return stream.start_time is not None and container.format.name != "mpeg"


def _from_header(container, stream) -> VideoInfo | None:
    """What the header tells, None where it does not do for finding a frame by its time."""
    fps = float(stream.average_rate or stream.guessed_rate or 0)
    if stream.duration is not None and stream.time_base is not None:
        duration = float(stream.duration * stream.time_base)
    else:
        duration = (container.duration or 0) / av.time_base
    if not fps or duration <= 0 or not keeps_times(container, stream):
        return None
    frames = max(round(duration * fps), 1)
    if stream.frames:  # counts also what an edit list leaves out
        if stream.frames > frames + MOST_HIDDEN:
            return None
        frames = min(frames, stream.frames)
    return VideoInfo(
        frames=frames, fps=fps, width=0, height=0, rotation=0, duration=duration,
        codec=stream.codec_context.name,
    )


def _read(
    path: Encoded,
    container,
    stream,
    fps: float,
    wanted: np.ndarray,
    transform: Transform | None,
    *,
    skim: bool,
) -> tuple[np.ndarray, dict] | None:
    """Pictures at the sorted positions `wanted`, and what they tell of the video: fields of
    VideoInfo; None where time stamps do not serve.

    To `skim` is to decode no frame between the wanted ones that others do not refer to; None then
    also where a frame is not exactly at its time, so that the nearest may have been left out.
    """
    first = stream.start_time
    # A seek may end at a key frame behind the one needed, where decoding order differs from the
    # order shown or the index is coarse; then one from further back is tried.
    for back in (0, 1, 4, 16, 64):
        target = max(wanted[0] / fps - back, 0.0)
        try:
            container.seek(first + round(target / stream.time_base), stream=stream)
        except (av.error.FFmpegError, OSError):
            return None
        found = _collect(path, container, stream, fps, wanted, transform, skim)
        if found is not None or target == 0:
            return found
    return None


def _collect(
    path: Encoded,
    container,
    stream,
    fps: float,
    wanted: np.ndarray,
    transform: Transform | None,
    skim: bool,
) -> tuple[np.ndarray, dict] | None:
    """As `_read`, from where the container is; None if that is behind the first wanted frame."""
    pictures = orientation = before = last = None
    size = (0, 0)
    kept = damaged = 0

    def keep(frame: av.VideoFrame) -> None:
        nonlocal pictures, size, orientation, kept, damaged, last
        if last is None:
            check_size(path, frame.width, frame.height)
            orientation = orientation_of(frame)
            size = frame.height, frame.width
        if last is None or last[0] is not frame:
            if (frame.height, frame.width) != size:
                raise VideoError(
                    path,
                    f"the picture changes from {size[1]}x{size[0]} to {frame.width}x"
                    f"{frame.height} at frame {wanted[kept]}; re-encode it to one size",
                )
            # Held on to, because where the rate varies a frame may stand for several.
            last = frame, upright_picture(frame, orientation, transform)
            damaged += frame.is_corrupt
        if pictures is None:
            pictures = np.empty((len(wanted), *last[1].shape), np.uint8)
        pictures[kept] = last[1]
        kept += 1

    def result() -> tuple[np.ndarray, dict]:
        height, width = size[::-1] if orientation[0] else size
        warning = f"{damaged} of the frames read are damaged" if damaged else ""
        return pictures, {
            "height": height, "width": width, "rotation": degrees(orientation), "warning": warning
        }

    start = stream.start_time
    ticks, base = stream.time_base.numerator, stream.time_base.denominator

    def place_of(pts: int) -> float:
        return (pts - start) * ticks / base * fps

    places = wanted.tolist()

    def unneeded(packet: av.Packet) -> bool:
        if packet.pts is None:
            return False
        place = place_of(packet.pts)
        nearest = bisect.bisect(places, place)
        around = places[max(nearest - 1, 0) : nearest + 1]
        return all(abs(place - one) > 1 - ROUNDING for one in around)

    position = -np.inf
    for frame in decoded_frames(container, stream, [], unneeded if skim else None):
        if frame.pts is None:
            return None
        place = place_of(frame.pts)
        # Frames shown before a key frame but decoded after it may lack what they refer to. The
        # first frame of all does not, and may be no key frame where an edit list hides that.
        if before is None and not frame.key_frame and place > ROUNDING:
            continue
        if place <= position or before is None and place > wanted[0] + ROUNDING:
            return None
        while kept < len(wanted) and wanted[kept] <= place + ROUNDING:
            if skim and place > wanted[kept] + ROUNDING:
                return None
            nearer = before is not None and wanted[kept] - position <= place - wanted[kept]
            keep(before if nearer else frame)
        if kept == len(wanted):
            return result()
        before, position = frame, place
    # The end of the file. Headers may promise a little more than there is, but not a lot.
    if skim or before is None or wanted[-1] - position > fps / 2:
        return None
    while kept < len(wanted):
        keep(before)
    return result()
