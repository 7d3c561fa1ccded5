"""Prepares videos of one class each: re-encodes them small and quick to seek in, and lists them."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data_pipelines.findings import Facts, Findings
from data_pipelines.labels import ambiguous_names, class_names
from data_pipelines.prepare.common import (
    SYSTEM_FOLDERS,
    Job,
    make_all,
    report_missing,
    videos_in,
    write_text,
)
from data_pipelines.prepare.dividing import SPLITS, classes_too_small, divide, report_of
from data_pipelines.prepare.splits import Listed, read_split
from data_pipelines.text_files import first_few
from data_pipelines.video.encoding import encode


class Clip(NamedTuple):
    """A video, or a part of one, to encode for the data set.

    Attributes:
        source: the file to re-encode.
        label: name of the class.
        interval: (begin, end) in seconds of the part to take; None takes the whole file.
    """

    source: Path
    label: str
    interval: tuple[float, float] | None = None


def prepare_videos(
    folder: Path,
    findings: Findings,
    *,
    videos: Path | None,
    splits: Mapping[str, Sequence[Path]],
    classes: str | None = None,
    short_side: int = 256,
) -> Facts:
    """Writes videos/SPLIT/CLASS/NAME.mp4, a list SPLIT.csv for each split and classes.txt.

    Args:
        folder: folder for the results.
        findings: receives problems.
        videos: folder of the videos that the lists of `splits` name. Without splits, the folders in
            it are the classes, and `divide` divides their videos.
        splits: for "train", "val" and "test", the files of the split (see `read_split`) or a folder
            with a folder of videos for each class.
        classes: class names in order: a known set such as kinetics400, or a file; None takes the
            classes found, in alphabetical order.
        short_side: pixels to which the short side of larger pictures is reduced.

    Returns:
        The facts of the summary.

    Raises:
        FileNotFoundError, ValueError: an input is missing or cannot be read.
        OSError: the disk cannot be written to.
    """
    clips: dict[str, list[Clip]] = {}
    facts: Facts = {}
    index: dict[str, list[Path]] = {}
    for split, paths in splits.items():
        if len(paths) == 1 and paths[0].is_dir():
            clips[split] = _in_folders(paths[0], findings)
            continue
        listed = read_split(paths, train=split == "train")
        if videos is None:
            raise ValueError(f"{paths[0]}: pass the folder of its videos with --videos")
        if not index:
            for path in videos_in(videos, findings):
                index.setdefault(path.stem, []).append(path)
        clips[split] = _find(listed, index, paths[0], videos, findings)
    if not splits:
        if videos is None:
            raise ValueError("no videos given; pass --videos, or --train, --val and --test")
        found = _in_folders(videos, findings)
        labels = [clip.label for clip in found]
        if problem := classes_too_small(videos, labels):
            findings.report(str(videos), "few videos", problem)
        clips = {split: [] for split in SPLITS}
        for clip, split in zip(found, divide(labels), strict=True):
            clips[split].append(clip)
    names, number_of = _number_classes(clips, classes)
    make = partial(_encode, short_side=short_side)
    for split, of_split in clips.items():
        rows, counts = [], Counter(dict.fromkeys(names, 0))
        clip_of = _targets(folder / "videos" / split, of_split)
        jobs = [Job(clip.source, target) for target, clip in clip_of.items()]
        made = make_all(
            f"encoding {split}", jobs,
            lambda source, target, of=clip_of: make(of[target], target), findings, folder,
        )
        for _, target in made:
            number = number_of[_plain(clip_of[target].label)]
            rows.append(f"{target.relative_to(folder)} {number}\n")
            counts[names[number]] += 1
        write_text(folder / f"{split}.csv", rows)
        if problem := report_of(split, counts):
            findings.report(str(folder / f"{split}.csv"), "missing", problem)
        facts[list_fact(split)] = len(made)
    write_text(folder / "classes.txt", (f"{name}\n" for name in names))
    facts["classes"] = len(names)
    return facts


def list_fact(split: str) -> str:
    """Name of the fact that counts the videos in the list of a split."""
    return f"{split}.csv: videos"


def _encode(clip: Clip, target: Path, short_side: int) -> None:
    begin, end = clip.interval or (0.0, None)
    encode(
        clip.source, target, short_side=short_side, begin=begin,
        seconds=None if end is None else end - begin,
    )


def _in_folders(folder: Path, findings: Findings) -> list[Clip]:
    """The videos of a folder of class folders; reports class folders without videos."""
    clips = []
    for path in videos_in(folder, findings):
        label, *rest = path.relative_to(folder).parts
        if not rest:
            raise ValueError(f"{path}: is not in a class folder; expected {folder}/CLASS/...")
        clips.append(Clip(path, label))
    labels = {clip.label for clip in clips}
    real = {os.path.realpath(folder / label): label for label in labels}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if (
            not entry.is_dir() or entry.name[0] == "." or entry.name in labels
            or entry.name.lower() in SYSTEM_FOLDERS
        ):
            continue
        if same := real.get(os.path.realpath(entry.path)):
            findings.report(entry.path, "same folder", (
                f"is the same folder as {folder / same}, by a link, and a video has one class; "
                "remove one of the two"
            ))
        else:
            findings.report(entry.path, "no videos", (
                "holds no videos, so it is no class; add some, or remove the folder"
            ))
    return clips


def _find(
    listed: Sequence[Listed], index: Mapping[str, list[Path]], table: Path, folder: Path,
    findings: Findings,
) -> list[Clip]:
    """Finds the files of listed videos in `index`, by name; reports those that are missing."""
    clips, missing = [], []
    for names, label, interval in listed:
        trimmed, *whole_name = names
        paths = index.get(trimmed, [])
        if len(paths) > 1:  # in HMDB51, some names occur in several classes
            paths = [path for path in paths if _plain(path.parent.name) == _plain(label)]
        if paths:
            clips.append(Clip(paths[0], label))
        elif whole_name and (paths := index.get(whole_name[0])):
            clips.append(Clip(paths[0], label, interval))
        else:
            missing.append(trimmed)
    report_missing(findings, table, missing, folder, len(listed))
    return clips


def _number_classes(
    clips: Mapping[str, Sequence[Clip]], classes: str | None
) -> tuple[list[str], dict[str, int]]:
    """The class names in order, and the class numbers by `_plain` name."""
    found = sorted({clip.label for of_split in clips.values() for clip in of_split})
    if classes:
        names = class_names(classes)
    else:  # labels that differ in blanks or quotes only are one class
        by_folder = {_spaceless(label): _unquoted(label) for label in found}
        names = [by_folder[folder] for folder in sorted(by_folder)]
    number_of = {_plain(name): number for number, name in enumerate(names)}
    if len(number_of) < len(names):
        first = next(name for i, name in enumerate(names) if number_of[_plain(name)] != i)
        other = names[number_of[_plain(first)]]
        raise ValueError(
            f"classes {first!r} and {other!r} have the same name but for case; rename one, or put "
            "their videos together"
        )
    if unclear := ambiguous_names({name: number for number, name in enumerate(names)}):
        raise ValueError(
            f"class {unclear[0]!r} has the number {names.index(unclear[0])}, and "
            f"{unclear[0]} is the number of class {names[int(unclear[0])]!r}; rename the class, "
            f"for example to 'class {unclear[0]}'"
        )
    if unknown := [name for name in found if _plain(name) not in number_of]:
        raise ValueError(
            f"--classes {classes}: its {len(names)} classes, such as {names[0]}, do not include "
            f"{first_few(unknown)}; add them, or remove their videos"
        )
    return names, number_of


def _targets(folder: Path, clips: Sequence[Clip]) -> dict[Path, Clip]:
    """The file to make of each video; where names are the same, folder or suffix is added.

    Raises:
        ValueError: two videos of a class would get the same name even so.
    """
    taken: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        name = clip.source.stem
        if clip.interval:
            name += "_{:06d}_{:06d}".format(*map(int, clip.interval))
        taken.setdefault((_spaceless(clip.label), _spaceless(name)), []).append(clip)
    found: dict[Path, Clip] = {}
    for (label, name), same in taken.items():
        for clip, ending in zip(same, _endings([clip.source for clip in same]), strict=True):
            target = folder / label / f"{name}{ending}.mp4"
            if target in found:
                raise ValueError(
                    f"{clip.source}: another video of its class, {found[target].source}, has the "
                    "same name; rename one of them"
                )
            found[target] = clip
    return found


def _endings(paths: Sequence[Path]) -> list[str]:
    """What tells apart files of the same name: nothing, their folders, suffixes or both."""
    forms = ("", "_{1}", "_{0}", "_{1}_{0}")
    made = [
        [
            form.format(path.suffix[1:], _spaceless(path.parent.name)) for path in paths
        ] for form in forms
    ]
    return next((endings for endings in made if len(set(endings)) == len(paths)), made[0])


def _unquoted(name: str) -> str:
    """The name of a class without the quotes of a table's cell."""
    return " ".join(name.replace('"', "").split())


def _spaceless(name: str) -> str:
    """The name without quotes and spaces, which separate the columns of lists."""
    return _unquoted(name).replace(" ", "_")


def _plain(name: str) -> str:
    """The name for comparisons: Kinetics writes the same class with and without quotes."""
    return _spaceless(name).casefold()
