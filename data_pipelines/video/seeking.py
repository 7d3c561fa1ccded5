"""Reads a few frames of a long video by seeking to the key frame before the first of them.

Frame n is the frame shown nearest to n / fps seconds after the first. At a constant frame rate that
is the n-th decoded frame, as in decoding.py; at a variable rate it is the frame at that time. Where
that leads into a gap between recordings, frames are numbered as they are decoded.
"""

import bisect
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import av
import numpy as np

from data_pipelines.video import decoding
from data_pipelines.video.decoding import (
    SKIPPING,
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
from data_pipelines.video.headers import from_header
from data_pipelines.video.opening import check_size, size_change
from data_pipelines.video.times import gap_length

# Tolerance of time stamps, in frames. Containers round them: Matroska to milliseconds, which is
# 0.02 frames at 30 frames per second.
ROUNDING = 0.05
# Seconds by which a header may claim that a video is longer than it is.
MOST_CLAIMED = 0.5
logger = logging.getLogger(__name__)


def select_frames(
    path: Encoded,
    choose: Callable[[VideoInfo], Sequence[int]],
    *,
    transform: Transform | None = None,
    thread_type: str = "AUTO",
    by_time: bool = False,
) -> tuple[VideoInfo, np.ndarray, np.ndarray]:
    """Reads the frames whose indices `choose(info)` returns, without reading the whole file.

    Only the part from the key frame before the first chosen frame to the last chosen frame is
    decoded. Where the container cannot seek or has no usable time stamps (AVI with B-frames,
    MPEG-PS), where its frame rate cannot be right, and where a chosen frame lies in a gap,
    decoding.select_frames reads the file from the start and calls `choose` again.

    Args:
        path: the video.
        choose: returns at least one index within 0..info.frames-1; must be deterministic. Its
            `info` comes from the file's header alone: `info.frames` may be slightly off where the
            header is imprecise (MPEG-TS), and the size of the picture is unknown (0).
        transform: applied to each chosen frame as it is decoded.
        thread_type: see decoding.select_frames.
        by_time: the indices stand for times, so a gap is filled with the frames next to it.

    Returns:
        (info, indices, frames): `indices` are the chosen ones sorted without repetition, and
        `frames` are the pictures there, uint8 (len(indices),H,W,3) RGB, transformed if asked.

    Raises:
        VideoError: no frame can be read, or the picture changes its size.
        ValueError: a chosen index is out of range.
    """
    with open_video(path, thread_type) as (container, stream):
        info = from_header(path, container, stream)
        if info is not None:
            wanted = np.unique(np.asarray(choose(info), np.int64))
            if not 0 <= wanted[0] <= wanted[-1] < info.frames:
                raise ValueError(
                    f"frames {wanted[0]}..{wanted[-1]} chosen of {path}, which has {info.frames}"
                )
            found = None
            skims = stream.average_rate == stream.base_rate
            for skim in (True, False) if skims and info.codec in SKIPPING else (False,):
                try:
                    found = _read(
                        path, container, stream, info.fps, wanted, transform, skim, by_time
                    )
                except _Gap:
                    break
                if found is not None:
                    return replace(info, **found[1]), wanted, found[0]
    logger.debug("%s: seeking does not work; reading from the start", path)
    return decoding.select_frames(
        path, choose, transform=transform, thread_type=thread_type, to_end=False
    )


class _Gap(Exception):
    """A wanted frame lies in a gap between recordings."""


def _read(
    path: Encoded,
    container,
    stream,
    fps: float,
    wanted: np.ndarray,
    transform: Transform | None,
    skim: bool,
    by_time: bool,
) -> tuple[np.ndarray, dict] | None:
    """Reads the pictures at the sorted indices `wanted`, seeking to the first.

    With `skim`, frames between the wanted ones are decoded only if others refer to them. That fails
    where a frame is not exactly at its expected time, as the nearest one may have been skipped.

    Returns (pictures, fields of VideoInfo that they determine), or None if time stamps or skimming
    fail. Raises _Gap unless `by_time`.
    """
    first = stream.start_time
    # A seek may land after the key frame needed, if decoding order differs from display order or
    # the index is coarse. Then seek further back.
    for back in (0, 1, 4, 16, 64):
        target = max(wanted[0] / fps - back, 0.0)
        try:
            container.seek(first + round(target / stream.time_base), stream=stream)
        except (av.error.FFmpegError, OSError):
            return None
        found = _collect(path, container, stream, fps, wanted, transform, skim, by_time)
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
    by_time: bool,
) -> tuple[np.ndarray, dict] | None:
    """As `_read`, from the current position; None also if that is past the first wanted frame."""
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
                after = frame.width, frame.height
                raise VideoError(path, size_change(size[::-1], after, f"frame {wanted[kept]}"))
            # Kept, because at a variable rate one frame may serve several indices.
            last = frame, upright_picture(frame, orientation, transform)
            damaged += frame.is_corrupt
        if pictures is None:
            pictures = np.empty((len(wanted), *last[1].shape), np.uint8)
        pictures[kept] = last[1]
        kept += 1

    def result() -> tuple[np.ndarray, dict]:
        height, width = size[::-1] if orientation[0] else size
        warning = f"{damaged} of the chosen frames are damaged" if damaged else ""
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

    longest = np.inf if by_time else gap_length(fps) * fps
    position = -np.inf
    for frame in decoded_frames(container, stream, [], unneeded if skim else None):
        if frame.pts is None:
            return None
        place = place_of(frame.pts)
        # Frames shown before a key frame but decoded after it may lack their reference frames. The
        # very first frame never does, though an edit list may hide its key frame.
        if before is None and not frame.key_frame and place > ROUNDING:
            continue
        if place <= position or before is None and place > wanted[0] + ROUNDING:
            return None
        while kept < len(wanted) and wanted[kept] <= place + ROUNDING:
            if skim and place > wanted[kept] + ROUNDING:
                return None
            nearer = before is not None and wanted[kept] - position <= place - wanted[kept]
            if before is not None and place - position > longest:
                if min(wanted[kept] - position, place - wanted[kept]) > ROUNDING:
                    raise _Gap
            keep(before if nearer else frame)
        if kept == len(wanted):
            return result()
        before, position = frame, place
    # End of file. Headers may claim a few more frames than there are, but not many.
    if skim or before is None or wanted[-1] - position > MOST_CLAIMED * fps:
        return None
    while kept < len(wanted):
        keep(before)
    return result()
