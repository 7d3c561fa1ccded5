"""What is wrong with a video: every frame of it is decoded."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError, decoded_frames, open_video
from data_pipelines.video.image_files import FrameFiles, read_image

USUAL_RATES = (10.0, 61.0)  # frames a second of cameras and films
# An interval between frames is irregular where it differs from the usual one by this part of it,
# and a video where this share of them is: a frame lost here and there does no harm.
IRREGULAR_BY, IRREGULAR_SHARE = 0.5, 0.01


class Problem(NamedTuple):
    """`kind`, a word for the summary, and `text`: what is wrong and what to do.

    `usable`: the video can be trained and tested on as it is.
    """

    kind: str
    text: str
    usable: bool = False


class Inspection(NamedTuple):
    """The number of frames, their rate (0.0 for image files) and what is wrong with a video."""

    frames: int
    fps: float
    problems: tuple[Problem, ...]


def inspect(source: Video, *, clip_seconds: float = 0.0, clip_frames: int = 0) -> Inspection:
    """Decodes a video file, or every image of one that is stored as images.

    Args:
        clip_seconds: video files that are shorter than this are told.
        clip_frames: the same for videos stored as images.

    Returns:
        What was found; of a source without any frame (0, 0.0, the problem).
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
    times, sizes = [], {}
    with open_video(path, "NONE") as (container, stream):
        for number, frame in enumerate(decoded_frames(container, stream, damage)):
            times.append(frame.pts)
            sizes.setdefault((frame.width, frame.height), number)
        rate, base = stream.average_rate or stream.guessed_rate, stream.time_base
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
        (width, height), (to_width, to_height) = list(sizes)[:2]
        problems.append(Problem(
            "size changes", f"the picture changes from {width}x{height} to {to_width}x{to_height} "
            f"at frame {sizes[to_width, to_height]}; re-encode it to one size",
        ))
    fps = float(rate or 0)
    if not USUAL_RATES[0] <= fps <= USUAL_RATES[1]:
        problems.append(Problem(
            "odd rate", f"{fps:g} frames a second, so that a clip is of another length than usual; "
            "look whether the file's rate is right", usable=True,
        ))
    if not damage and (irregular := _irregular(times)):
        problems.append(Problem(
            "variable rate", f"{irregular} of {len(times) - 1} intervals between frames differ "
            "from the usual one; frames are counted as if they did not: re-encode it to a constant "
            "rate where the moment matters", usable=True,
        ))
    seconds = _duration(times, float(base), fps)
    if seconds < clip_seconds:
        problems.append(Problem(
            "short", f"{len(times)} frames, {seconds:.2f} s; a clip takes {clip_seconds:.2f} s, "
            "its last frame is repeated: leave it out if that is much", usable=True,
        ))
    return Inspection(len(times), fps, tuple(problems))


def _duration(times: Sequence[int | None], base: float, fps: float) -> float:
    """Seconds from the first frame to the end of the last."""
    known = [time for time in times if time is not None]
    if len(known) < len(times) or not fps:
        return len(times) / (fps or 30)
    return (max(known) - min(known)) * base + 1 / fps


def _irregular(times: Sequence[int | None]) -> int:
    """How many intervals differ much from the middle one; 0 where there are only a few."""
    if len(times) < 3 or None in times:
        return 0
    intervals = np.diff(np.array(times))
    usual = np.median(intervals)
    count = int((np.abs(intervals - usual) > IRREGULAR_BY * usual).sum())
    return count if count > max(1, IRREGULAR_SHARE * len(intervals)) else 0


def _inspect_images(files: FrameFiles, clip_frames: int) -> Inspection:
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
                path, f"is {width}x{height} and {first} {size[0]}x{size[1]}: extract the frames "
                "again, all of one size",
            ))
    problems = []
    if bad:
        others = f", and {len(bad) - 1} other images" if len(bad) > 1 else ""
        missing = not any(os.path.exists(error.path) for error in bad)
        problems.append(Problem(
            "missing" if missing else "broken",
            f"{len(bad)} of {files.count} images: {bad[0]}{others}; extract them again, or leave "
            "the video out",
        ))
    if files.count < clip_frames:
        problems.append(Problem(
            "short", f"{files.count} frames; a clip takes {clip_frames}, its last frame is "
            "repeated: leave it out if that is much", usable=True,
        ))
    return Inspection(files.count, 0.0, tuple(problems))
