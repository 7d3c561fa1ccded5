"""Pictures in projects of VIA: which frame of which video each of them is.

A picture is named after its video and the number of its frame: `a_000031.jpg`, `a/img_00031.jpg` or
`a/000031.jpg` is frame 31 of video `a`.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from data_pipelines.paths import PathLike
from data_pipelines.sources.keyframes import find_sources
from data_pipelines.text_files import shown
from data_pipelines.video.decoding import probe
from data_pipelines.video.finding import PICTURES
from data_pipelines.video.image_files import FrameFiles

SUFFIXES = (*PICTURES, ".webp", ".gif", ".avif")
NUMBERED = re.compile(r"(.*?)(\d{1,12})", re.DOTALL)
BETWEEN = re.compile(r"[\W_]*(?:img|image|frame)?[\W_]*", re.IGNORECASE)  # name and number
USUAL_RATE = 30.0  # at which frames are extracted for AVA


class Frame(NamedTuple):
    """The frame that a picture shows.

    Attributes:
        video: name of the video in a table of boxes.
        time: seconds from the first frame.
        width, height: size of the picture in pixels.
    """

    video: str
    time: float
    width: int
    height: int


def is_picture(name: str) -> bool:
    """Whether a file of a project is a picture."""
    return name.lower().endswith(SUFFIXES)


def find_frames(
    project: PathLike, names: Iterable[str], videos: PathLike, fps: float | None
) -> tuple[dict[str, Frame], list[str]]:
    """Finds the frames that pictures show.

    Numbers count from 1, or from 0 if a picture of the video has the number 0. Without `fps`, they
    count frames at the rate of the video. If they exceed its frames, they are taken to count at 30
    fps, which is usual for AVA.

    Args:
        project: the project, for messages; pictures may lie beside it.
        names: the pictures, as named in the project.
        videos: folder of the videos, or of their folders of frames.
        fps: rate at which the pictures were extracted.

    Returns:
        (frames by the name of the picture, notes on the rates that were assumed)

    Raises:
        ValueError: a name has no number or no video, or a number lies beyond the end of its video.
        VideoError: a video cannot be opened.
    """
    numbers: dict[str, dict[str, int]] = {}  # video -> picture -> number
    for name in dict.fromkeys(names):
        video, number = _parse(project, name, videos)
        numbers.setdefault(video, {})[name] = number
    frames, notes = {}, []
    for video, of_video in numbers.items():
        (source,) = find_sources(videos, [video]).values()
        first = min(1, min(of_video.values()))
        if isinstance(source, FrameFiles):
            rate, size = fps or USUAL_RATE, _size(source.path(0))
            written, last, what = video, source.count, "pictures"
            first = source.first if not source.paths else first
        else:
            info = probe(source)
            size, last, what = (info.width, info.height), info.frames, "frames"
            written = os.path.relpath(source, videos)
            rate = fps or info.fps
            if not fps and max(of_video.values()) - first >= info.frames:
                rate = USUAL_RATE
            last = round(info.frames / info.fps * rate)
        largest = max(of_video, key=of_video.get)
        if of_video[largest] - first >= last:
            raise ValueError(
                f"{project}: picture {shown(largest)} lies beyond the end of {written}, which has "
                f"{last} {what} at {rate:g} fps; pass the rate at which the pictures were "
                "extracted with --fps"
            )
        if not fps:
            notes.append(
                f"pictures of {written} are taken as numbered at {rate:g} fps; if they were "
                "extracted at another rate, pass it with --fps"
            )
        for name, number in of_video.items():
            places = [Path(project).parent, Path(videos), Path(videos) / video]
            found = (_size(place / part) for place in places for part in (name, Path(name).name))
            width, height = next(filter(None, found), size)
            frames[name] = Frame(written, (number - first) / rate, width, height)
    return frames, notes


def _parse(project: PathLike, name: str, videos: PathLike) -> tuple[str, int]:
    """(name of the video that exists, number) of a picture."""
    path = PurePosixPath(name.replace("\\", "/"))
    match = NUMBERED.fullmatch(path.stem)
    if match is None:
        raise ValueError(
            f"{project}: picture {shown(name)} has no number; expected names of video and frame, "
            "such as a_000031.jpg or a/img_00031.jpg for frame 31 of a.mp4"
        )
    before = match[1]
    stripped = next(
        (before[:at] for at in range(len(before) + 1) if BETWEEN.fullmatch(before, at)), ""
    ) if len(before) < 300 else before
    candidates = [each for each in (stripped, before, path.parent.name) if each]
    for candidate in candidates:
        if find_sources(videos, [candidate]):
            return candidate, int(match[2])
    raise ValueError(
        f"{project}: picture {shown(name)}: no video {' or '.join(map(shown, candidates)) or name} "
        f"in {videos}; put the video there, under the name that the picture has before its number"
    )


def _size(path: PathLike) -> tuple[int, int] | None:
    """(width, height) of a picture in pixels; None if the file is missing or not a picture."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except (OSError, ValueError, UnidentifiedImageError):
        return None
