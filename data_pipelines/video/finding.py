"""Finds the videos in a folder: by suffix where it says enough, otherwise by opening the file.

Hidden files, files that systems leave (Thumbs.db) and companions such as text, tables and subtitles
are passed over. Every other file that is not a video is named with the reason.
"""

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av

from data_pipelines.paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES, PathLike
from data_pipelines.video.opening import VideoError, open_video

PICTURES = (*IMAGE_SUFFIXES, ".bmp", ".tif", ".tiff", ".heic", ".heif", ".svg", ".psd", ".ico")
COMPANIONS = frozenset((
    ".txt .md .rst .pdf .doc .docx .rtf .html .htm .xml .url .csv .tsv .xls .xlsx .json .jsonl "
    ".yaml .yml .toml .ini .log .nfo .info .srt .vtt .ass .ssa .sub .idx .sbv .smi .lrc .md5 .sha1 "
    ".sha256 .py .sh .ipynb .npy .npz .pkl .pt .lnk .torrent .description"
).split())
COMPANION_NAMES = frozenset(("readme", "license", "licence", "copying", "changelog", "makefile"))
SYSTEM_FILES = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"))
UNFINISHED = frozenset((".part", ".crdownload", ".download", ".ytdl", ".tmp", ".partial"))
CAMERA_COPIES = frozenset((".lrv", ".lrf"))
TEXT_FORMATS = frozenset(("tty", "bin", "xbin", "adf", "idf"))  # FFmpeg draws text as a video


class Found(NamedTuple):
    """What a folder holds.

    Attributes:
        videos: the video files, in the order of their names, folder by folder.
        left_out: reasons by file, or by folder for many pictures or a folder that cannot be read.
        companions: files such as text and subtitles.
        empty: folders without any file or folder that counts.
    """

    videos: list[Path]
    left_out: dict[Path, str]
    companions: list[Path]
    empty: list[Path]


def find_videos(folder: PathLike) -> Found:
    """Finds the videos in a folder and its subfolders.

    Raises:
        FileNotFoundError: the folder does not exist.
        NotADirectoryError: it is a file.
    """
    if not os.path.exists(folder):
        raise FileNotFoundError(f"{folder}: no such folder of videos")
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"{folder}: is a file; expected a folder of videos")
    found = Found([], {}, [], [])

    def unreadable(error: OSError) -> None:
        found.left_out[Path(error.filename)] = f"cannot be read ({error.strerror})"

    for place, folders, files in walk(folder, unreadable):
        files = [name for name in files if name[0] != "." and name.lower() not in SYSTEM_FILES]
        if not files and not folders:
            found.empty.append(Path(place))
        _sort_files(Path(place), files, found)
    return found


def walk(
    folder: PathLike, unreadable: Callable[[OSError], object]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk` through links, in the order of the names, without hidden folders; each folder once.

    unreadable: called with the error of a folder that cannot be read.
    """
    visited = set()  # links may lead in a circle
    for place, folders, files in os.walk(folder, followlinks=True, onerror=unreadable):
        real = os.path.realpath(place)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if name[0] != ".")
        yield place, folders, sorted(files)


def _sort_files(place: Path, names: list[str], found: Found) -> None:
    pictures = []
    for name in names:
        path, suffix = place / name, Path(name).suffix.lower()
        if not _is_utf8(str(path)):
            found.left_out[Path(ascii(str(path))[1:-1])] = (
                "its name is not UTF-8, so no list can hold it; rename it"
            )
        elif suffix in COMPANIONS or name.lower() in COMPANION_NAMES:
            found.companions.append(path)
        elif suffix in PICTURES:
            pictures.append(name)
        elif reason := why_no_video(path):
            found.left_out[path] = reason
        else:
            found.videos.append(path)
    if len(pictures) == 1:
        found.left_out[place / pictures[0]] = "a picture; expected a video"
    elif pictures:
        found.left_out[place] = (
            f"holds {len(pictures)} pictures such as {pictures[0]}; expected videos (folders of "
            "frames need a list of them)"
        )


def why_no_video(path: PathLike) -> str | None:
    """Why a file does not count as a video; None: it does.

    Files with the suffix of a video count unopened, so that damaged ones are reported as such when
    they are read. Others count if two of their frames can be decoded: pictures have one.
    """
    suffix = Path(path).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return None
    if suffix in UNFINISHED:
        return "an unfinished download; finish it, or remove the file"
    if suffix in CAMERA_COPIES:
        return "a camera's small copy of another video; remove it"
    try:
        with open_video(path, "NONE") as (container, stream):
            if container.format.name in TEXT_FORMATS:
                return "text; expected a video"
            count = len(list(islice(container.decode(stream), 2)))
    except VideoError as error:
        return error.reason
    except (av.error.FFmpegError, OSError) as error:
        return f"cannot be decoded ({error.strerror or error}); re-encode it, or leave it out"
    return None if count > 1 else "a single picture; expected a video"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
