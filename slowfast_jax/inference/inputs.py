"""What the predict command is asked to predict: files, folders, patterns and folders of frames."""

import glob
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from data_pipelines.paths import IMAGE_SUFFIXES
from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.finding import COMPANIONS, SYSTEM_FILES, walk, why_no_video
from data_pipelines.video.image_files import frame_files

FRAME_RATE = 30.0  # of folders of pictures
ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
STREAMS = {"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "udp", "tcp", "mms", "mmsh", "rist"}
NO_STREAM = (
    "streams and cameras are not read by this command; record a part to a file first, and pass that"
)


class Inputs(NamedTuple):
    """The videos to predict.

    Attributes:
      videos: name -> what to read, in the order of the arguments. The name is a path.
      missing: argument -> why it cannot be predicted.
      passed_over: files in folders that are not videos.
      results: videos that were passed over because they are in the folder of the results.
    """

    videos: dict[str, Video]
    missing: dict[str, str]
    passed_over: list[str]
    results: Sequence[str] = ()


def find_inputs(
    arguments: Sequence[str], fps: float, out: str | os.PathLike | None = None
) -> Inputs:
    """Finds the videos that the arguments name, each once, however often it is named.

    An argument is a file, a folder or a pattern such as "*.mp4". Folders are searched with their
    subfolders, except for hidden files. A folder of pictures without videos is one video, its
    pictures being the frames in the order of the numbers in their names.

    Args:
      arguments: the arguments of the command.
      fps: frame rate of folders of pictures.
      out: folder of the results. What a folder or pattern finds in it is from an earlier run and is
        passed over, unless the argument itself names `out` or something in it. A file, or None: it
        has no effect.
    """
    videos: dict[str, tuple[str, Video]] = {}  # place -> name, what to read
    passed_over: dict[str, str] = {}  # place -> path
    missing: dict[str, str] = {}
    results: dict[str, str] = {}  # place -> path
    folder = out if out and os.path.isdir(out) else None
    for argument in arguments:
        earlier = folder if folder and not _is_below(argument, folder) else None
        for path in _expand(argument):
            found = Inputs({}, {}, [])
            if reason := _add(path, found, fps):
                missing[path] = reason
            for name, video in found.videos.items():
                place = os.path.realpath(name)
                if earlier and _is_below(name, earlier):
                    results.setdefault(place, name)
                else:
                    videos.setdefault(place, (name, video))
            for name in found.passed_over:
                passed_over.setdefault(os.path.realpath(name), name)
    left = [path for place, path in passed_over.items() if place not in videos]
    results = {place: path for place, path in results.items() if place not in videos}
    if results and not videos and not missing:
        missing[os.fspath(out)] = "there are videos in the folder of the results only"
    return Inputs(dict(videos.values()), missing, left, list(results.values()))


def _is_below(path: str, folder: str | os.PathLike) -> bool:
    """Whether a path is a folder or within it."""
    place, folder = os.path.realpath(path), os.path.realpath(folder)
    return place == folder or place.startswith(os.path.join(folder, ""))


def as_video(source: Video) -> Video:
    """The frames in a folder of pictures, at FRAME_RATE; any other source is returned as it is.

    Raises:
      VideoError: the folder has no pictures, or videos beside them.
    """
    if not isinstance(source, (str, os.PathLike)) or not os.path.isdir(source):
        return source
    folder, found = os.fspath(source), Inputs({}, {}, [])
    try:
        _sort_files(folder, sorted(os.listdir(folder)), found, FRAME_RATE)
    except OSError as error:
        raise VideoError(folder, f"cannot be read ({error.strerror})") from error
    if list(found.videos) == [folder]:
        return found.videos[folder]
    what = f"with videos ({', '.join(map(os.path.basename, list(found.videos)[:3]))}, ...)"
    raise VideoError(
        folder, f"is a folder {what if found.videos else 'without pictures'}; expected a video "
        "file, or a folder with the frames of one video"
    )


def _expand(argument: str) -> list[str]:
    """The paths that match a pattern; anything else is returned as it is."""
    if os.path.lexists(argument) or ADDRESS.match(argument) or not glob.has_magic(argument):
        return [argument]
    return sorted(glob.glob(argument, recursive=True)) or [argument]


def _add(path: str, found: Inputs, fps: float) -> str:
    """Adds the videos of a path to `found`. Returns the reason if it has none, else ""."""
    if os.path.isdir(path):
        return _add_folder(path, found, fps)
    if os.path.isfile(path):
        is_picture = path.lower().endswith(IMAGE_SUFFIXES)
        found.videos[path] = frame_files(path, [path]) if is_picture else path
        return ""
    return _why_missing(path)


def _add_folder(folder: str, found: Inputs, fps: float) -> str:
    unreadable = []
    for place, _, files in walk(folder, unreadable.append):
        _sort_files(place, files, found, fps)
    if unreadable:
        return f"{unreadable[0].filename} cannot be read ({unreadable[0].strerror})"
    return "" if found.videos else "there are no videos or pictures in this folder"


def _sort_files(place: str, names: list[str], found: Inputs, fps: float) -> None:
    """Adds the videos among the files of a folder, or its pictures as one video."""
    videos, pictures = [], []
    for name in names:
        path = os.path.join(place, name)
        if name[0] == "." or name.lower() in SYSTEM_FILES or not os.path.isfile(path):
            continue
        suffix = os.path.splitext(name)[1].lower()
        if suffix in IMAGE_SUFFIXES:
            pictures.append(name)
        elif suffix in COMPANIONS or why_no_video(path):
            found.passed_over.append(path)
        else:
            videos.append(path)
    found.videos.update((path, path) for path in videos)
    if pictures and not videos:
        pictures.sort(key=_by_number)
        found.videos[place] = replace(frame_files(place, pictures, place), fps=fps)
    else:
        found.passed_over.extend(os.path.join(place, name) for name in pictures)


def _by_number(name: str) -> list[tuple[str, int]]:
    """Sorts img_2.jpg before img_10.jpg."""
    parts = re.findall(r"(\D*)(\d*)", name)
    return [(text, int(number or -1)) for text, number in parts]


def _why_missing(path: str) -> str:
    address = ADDRESS.match(path)
    if address and address[1].lower() not in STREAMS:
        return "addresses are not read; download the video, and pass the file"
    if address or re.fullmatch(r"\d+|/dev/video\d*", path):
        return NO_STREAM
    if path == "-":
        return "standard input is not read; pass the name of a file"
    if os.path.islink(path):
        return f"a link to {os.readlink(path)}, which does not exist"
    if not os.path.exists(path):
        return "no file matches" if glob.has_magic(path) else "no such file or folder"
    if stat.S_ISCHR(os.stat(path).st_mode):
        return NO_STREAM
    return "neither a file nor a folder"
