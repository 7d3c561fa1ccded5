"""Finds the problems of a video by decoding every frame."""

import os
from typing import NamedTuple

import numpy as np

from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError, decoded_frames, open_video
from data_pipelines.video.image_files import FrameFiles, read_image
from data_pipelines.video.opening import size_change
from data_pipelines.video.times import (
    frame_rate,
    gaps,
    intervals_of,
    jumps_back,
    keeps_times,
)

USUAL_RATES = (10.0, 61.0)  # lowest and highest frame rate of cameras and films
# An interval between frames is irregular if it differs from the median by more than this fraction
# of the median; a video is irregular if more than this share of its intervals is. A few lost frames
# do no harm.
IRREGULAR_BY, IRREGULAR_SHARE = 0.5, 0.01


class Problem(NamedTuple):
    """A problem of a video.

    Attributes:
        kind: one or two words for the summary.
        text: what is wrong and what to do.
        usable: whether the video can be used for training and testing as it is.
    """

    kind: str
    text: str
    usable: bool = False


class Inspection(NamedTuple):
    """Result of `inspect`.

    Attributes:
        frames: number of frames; 0 if the video cannot be read.
        fps: frame rate; 0 for image files and videos that cannot be read.
        problems: what is wrong.
    """

    frames: int
    fps: float
    problems: tuple[Problem, ...]


def inspect(source: Video, *, clip_seconds: float = 0.0, clip_frames: int = 0) -> Inspection:
    """Decodes every frame of a video file or of a video stored as images.

    Args:
        source: the video.
        clip_seconds: video files shorter than this are reported as short.
        clip_frames: videos stored as fewer images than this are reported as short.
    """
    try:
        if isinstance(source, FrameFiles):
            return _inspect_images(source, clip_frames)
        return _inspect_file(source, clip_seconds)
    except VideoError as error:
        return Inspection(0, 0.0, (Problem(_kind(error.reason), error.reason),))


def _kind(reason: str) -> str:
    for kind, beginning in (
        ("missing", "no such file"), ("missing", "is a folder"), ("no video", "no video stream"),
    ):
        if reason.startswith(beginning):
            return kind
    return "broken"


def _inspect_file(path: str, clip_seconds: float) -> Inspection:
    damage: list[str] = []
    times, order, sizes, last_duration = [], [], {}, None
    with open_video(path, "NONE") as (container, stream):
        for number, frame in enumerate(decoded_frames(container, stream, damage)):
            times.append(frame.pts)
            order.append(frame.dts)
            last_duration = frame.duration
            sizes.setdefault((frame.width, frame.height), number)
        timed = keeps_times(container, stream)
        decoded = None if timed else order
        fps, wrong_rate = frame_rate(container, stream, times, last_duration, decoded)
        between = intervals_of(container, stream, times, decoded)
        joined = timed and between is not None and jumps_back(times, stream.time_base)
        if not times:
            raise VideoError(
                path, f"no frame can be decoded (codec {stream.codec_context.name}); the file is "
                "damaged: download it again, or leave it out",
            )
    problems = []
    if damage:
        problems.append(Problem(
            "broken", "; ".join(damage) + ": download it again, or leave it out"
        ))
    if len(sizes) > 1:
        before, after = list(sizes)[:2]
        text = size_change(before, after, f"frame {sizes[after]}")
        problems.append(Problem("size changes", text))
    if wrong_rate:
        problems.append(Problem(
            "wrong rate", f"{wrong_rate}: re-encode it if that is not right", usable=True
        ))
    if not USUAL_RATES[0] <= fps <= USUAL_RATES[1]:
        problems.append(Problem(
            "unusual rate", f"{fps:g} frames per second, so a clip spans an unusual duration; "
            "check whether the file states the right rate", usable=True,
        ))
    holes = gaps(between) if between is not None else np.zeros(0, bool)
    if holes.any() or joined:
        text = "time stamps jump back, as where recordings were joined"
        if holes.any():
            at = int(np.flatnonzero(holes)[0])
            others = np.count_nonzero(holes) - 1
            text = f"time stamps have a gap of {between[at]:.1f} s after frame {at}"
            text += f", and {others} more" if others else ""
        problems.append(Problem(
            "time gap", f"{text}; clips are sampled as if the frames followed each other: cut "
            "the video there", usable=True,
        ))
    if not damage and (irregular := _irregular(between, holes)):
        problems.append(Problem(
            "variable rate", f"{irregular} of {len(between)} intervals between frames differ "
            "from the median, but clips are sampled as if the rate were constant; re-encode it to "
            "a constant rate if exact times matter", usable=True,
        ))
    seconds = len(times) / fps
    if between is not None:  # at a variable rate, the sum is more exact
        seconds = float(between[~holes].sum()) + (1 + np.count_nonzero(holes)) / fps
    if seconds < clip_seconds:
        problems.append(Problem(
            "short", f"{len(times)} frames, {seconds:.2f} s; a clip takes {clip_seconds:.2f} s, "
            "so the last frame is repeated: leave it out if it is much too short", usable=True,
        ))
    return Inspection(len(times), fps, tuple(problems))


def _irregular(between: np.ndarray | None, holes: np.ndarray) -> int:
    """The number of intervals that differ from the median; 0 if only a few do."""
    if between is None or len(between) < 2:
        return 0
    between = between[~holes]
    usual = np.median(between) if len(between) else 0.0
    count = int((np.abs(between - usual) > IRREGULAR_BY * usual).sum())
    return count if count > max(1, IRREGULAR_SHARE * len(between)) else 0


def _inspect_images(files: FrameFiles, clip_frames: int) -> Inspection:
    files = files.found()
    first, size = None, None
    bad: list[VideoError] = []
    for index in range(files.count):
        path = files.path(index)
        try:
            height, width = read_image(path).shape[:2]
        except VideoError as error:
            bad.append(error)
            continue
        if size is None:
            first, size = path, (width, height)
        elif size != (width, height):
            bad.append(VideoError(
                path, f"is {width}x{height}, but {first} is {size[0]}x{size[1]}: extract the "
                "frames again in one size",
            ))
    problems = []
    folders = {os.path.dirname(error.path) for error in bad}
    absent = sorted(folder for folder in folders if folder and not os.path.isdir(folder))
    if len(bad) == files.count and len(absent) == len(folders) == 1:
        problems.append(Problem(
            "missing", f"there is no folder {absent[0]}, in which its {files.count} images are "
            "listed; check data.path_prefix, or leave the video out",
        ))
    elif bad:
        others = f", and {len(bad) - 1} other images" if len(bad) > 1 else ""
        missing = not any(os.path.exists(error.path) for error in bad)
        problems.append(Problem(
            "missing" if missing else "broken",
            f"{len(bad)} of {files.count} images: {bad[0]}{others}; extract them again, or leave "
            "the video out",
        ))
    if files.count < clip_frames:
        problems.append(Problem(
            "short", f"{files.count} frames; a clip takes {clip_frames}, so the last frame is "
            "repeated: leave it out if it is much too short", usable=True,
        ))
    return Inspection(files.count, 0.0, tuple(problems))
