"""Explains why the frames of videos are not where their list or its template says."""

import os
import re
from collections.abc import Sequence

from data_pipelines.paths import IMAGE_SUFFIXES
from data_pipelines.video.image_files import FrameFiles, literal

VIDEOS_TRIED = 5


def why_no_frames(videos: Sequence[FrameFiles | None], *, listed: bool = False) -> str:
    """Why none of a few videos has its first frame, or names of one form; "" if one has.

    The reason says what the folder of the first of them holds, and which setting fits it. Videos
    whose folder does not exist or is empty do not count: what is wrong with them is said when they
    are read.

    Args:
        videos: the videos of a list; None: one that is not stored as image files.
        listed: the list names each file; there is no template to set.
    """
    reason = ""
    for frames in videos[:: -(-len(videos) // VIDEOS_TRIED) or 1]:
        if frames is None:
            continue
        first, last = frames.path(0), frames.path(frames.count - 1)
        there = _pictures(os.path.dirname(first))
        if not there:
            continue
        missing = "" if os.path.exists(first) else first
        if not missing and not os.path.exists(last) and not template_of(there):
            missing = last
        if not missing:
            return ""
        reason = reason or _reason(frames, missing, there, listed)
    return reason


def _pictures(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        return []
    names = [name for name in os.listdir(folder) if name.lower().endswith(IMAGE_SUFFIXES)]
    return sorted(names, key=lambda name: (_number(name), name))


def _number(name: str) -> int:
    digits = re.findall(r"\d{1,18}", name)
    return int(digits[-1]) if digits else -1


def _reason(frames: FrameFiles, missing: str, there: list[str], listed: bool) -> str:
    folder, name = os.path.split(missing)
    found = ", ".join([there[0], "...", there[-1]] if len(there) > 2 else there)
    text = f"{folder} has no {name}, but {len(there)} pictures ({found}): "
    if listed:
        return f"{text}the list must have the names of the files"
    template, fitting = os.path.basename(frames.template), template_of(there)
    if not fitting:
        return (
            f"{text}rename them to one form, such as those of data.frame_template={template}, with "
            "the same number of digits or without leading zeros"
        )
    if os.path.basename(folder) in fitting:
        return (
            f"{text}these names differ from folder to folder; rename the files to "
            f"data.frame_template={template}"
        )
    if fitting != template:
        return f"{text}set data.frame_template={fitting} (it is {template})"
    return (
        f"{text}set data.frame_start={_number(there[0])}, the number of the first file"
    )


def template_of(names: Sequence[str]) -> str:
    """The template that all names follow, such as "img_{:05d}.jpg", or "" if no template fits."""
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", name) for name in names]
    if not all(parts) or len({(part[1], part[3]) for part in parts}) > 1:
        return ""
    numbers = [part[2] for part in parts]
    width = min(map(len, numbers))
    padded = any(number[0] == "0" and len(number) > 1 for number in numbers)
    field = f"{{:0{width}d}}" if padded else "{}"
    if any(field.format(int(number)) != number for number in numbers):
        return ""
    return f"{literal(parts[0][1])}{field}{literal(parts[0][3])}"
