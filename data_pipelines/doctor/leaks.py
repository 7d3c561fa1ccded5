"""Finds videos that are in two lists, such as those of training and test."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_pipelines.findings import Findings
from data_pipelines.text_files import counted
from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError, VideoInfo, probe
from data_pipelines.video.stills import look

SIDE = 16  # pixels to which frames are reduced before they are compared
PLACES = (0.2, 0.5, 0.8)  # of these frames in the video
ALIKE = 4.0  # mean difference from 0 to 255 at which two videos show the same
SAME_LENGTH = 0.05  # seconds


class Sight(NamedTuple):
    """What a video shows: its length in seconds and some frames, float32 (3, SIDE, SIDE)."""

    seconds: float
    frames: np.ndarray


def report_leaks(
    lists: Mapping[Path, Mapping[str, Video]], findings: Findings, *, by_sight: bool
) -> None:
    """Reports videos that are in two lists: the same file, or one of the same content.

    Args:
        lists: for each list, its videos by name.
        findings: receives the problem of each pair of lists.
        by_sight: also report different files that show the same, such as copies of other size,
            which takes as long as decoding the videos.
    """
    contents = _contents(lists)
    sights: dict[str, Sight | None] = {}
    paths = list(lists)
    for number, first in enumerate(paths):
        for second in paths[number + 1 :]:
            shared = {
                name: contents[second][key] for key, name in contents[first].items()
                if key in contents[second]
            }
            if by_sight:
                others = [
                    {name: video for name, video in lists[path].items() if name not in left_out}
                    for path, left_out in ((first, shared.keys()), (second, shared.values()))
                ]
                shared |= _alike(*others, sights)
            if shared:
                name, other = next(iter(shared.items()))
                also = "" if name == other else f", which is {other} there"
                findings.report(str(first), "in two lists", (
                    f"it shares {counted(len(shared), 'video')} with {second.name}, such as "
                    f"{name}{also}; keep each video in one list only, or the accuracy is too "
                    "good to be true"
                ))


def _contents(lists: Mapping[Path, Mapping[str, Video]]) -> dict[Path, dict[str, str]]:
    """For each list: what identifies the content of a video -> its first name.

    Only files of equal sizes are read.
    """
    contents: dict[Path, dict[str, str]] = {path: {} for path in lists}
    by_size: dict[int, list[tuple[Path, str, str]]] = defaultdict(list)
    for path, videos in lists.items():
        for name, video in videos.items():
            if not isinstance(video, str | os.PathLike):  # pictures
                contents[path].setdefault(name, name)
            elif os.path.isfile(video):
                by_size[os.path.getsize(video)].append((path, name, os.fspath(video)))
    for size, files in by_size.items():
        if size and len({path for path, _, _ in files}) > 1:
            for path, name, video in files:
                contents[path].setdefault(_digest(video), name)
    return contents


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _alike(
    first: Mapping[str, Video], second: Mapping[str, Video], sights: dict[str, Sight | None]
) -> dict[str, str]:
    """Names of videos -> names of others that show the same. `sights` caches what they show."""
    found = {}
    for name, video in first.items():
        one = _sight(video, sights)
        for other_name, other_video in second.items() if one else ():
            other = _sight(other_video, sights)
            if (
                other and abs(one.seconds - other.seconds) <= SAME_LENGTH
                and np.abs(one.frames - other.frames).mean(axis=(1, 2)).max() < ALIKE
            ):
                found[name] = other_name
                break
    return found


def _sight(video: Video, sights: dict[str, Sight | None]) -> Sight | None:
    """What a video file shows; None for others and for those that cannot be read."""
    if not isinstance(video, str | os.PathLike):
        return None
    key = os.fspath(video)
    if key not in sights:
        try:
            info = probe(key)
            _, frames = look(video, _places)
            sights[key] = Sight(info.frames / info.fps, np.stack([_small(f) for f in frames]))
        except VideoError:  # reported elsewhere
            sights[key] = None
    return sights[key]


def _places(info: VideoInfo) -> list[int]:
    return [int(place * info.frames) for place in PLACES]


def _small(frame: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(frame).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(picture, np.float32)
