"""Prepares videos of one class each: re-encodes them small and quick to seek in, and lists them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data_pipelines.findings import Facts, Findings
from data_pipelines.labels import class_names
from data_pipelines.prepare.common import Job, make_all, report_missing, videos_in, write_text
from data_pipelines.prepare.splits import Listed, read_split
from data_pipelines.text_files import first_few
from data_pipelines.video.encoding import encode

SPLITS = ("train", "val", "test")
TEST_EVERY = 5  # without given splits, every fifth video of a class is for testing


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
            it are the classes, and every fifth video of a class is for testing.
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
            clips[split] = _in_folders(paths[0])
            continue
        listed = read_split(paths, train=split == "train")
        if videos is None:
            raise ValueError(f"{paths[0]}: pass the folder of its videos with --videos")
        if not index:
            for path in videos_in(videos):
                index.setdefault(path.stem, []).append(path)
        clips[split] = _find(listed, index, paths[0], videos, findings)
    if not splits:
        if videos is None:
            raise ValueError("no videos given; pass --videos, or --train, --val and --test")
        clips = _divide(_in_folders(videos))
    names, number_of = _number_classes(clips, classes)
    make = partial(_encode, short_side=short_side)
    for split, of_split in clips.items():
        rows = []
        clip_of = {_target(folder, split, clip): clip for clip in of_split}
        jobs = [Job(clip.source, target) for target, clip in clip_of.items()]
        _refuse_same_names(of_split, clip_of)
        made = make_all(
            f"encoding {split}", jobs,
            lambda source, target, of=clip_of: make(of[target], target), findings,
        )
        for _, target in made:
            number = number_of[_plain(clip_of[target].label)]
            rows.append(f"{target.relative_to(folder)} {number}\n")
        write_text(folder / f"{split}.csv", rows)
        facts[f"{split}.csv: videos"] = len(made)
    write_text(folder / "classes.txt", (f"{name}\n" for name in names))
    facts["classes"] = len(names)
    return facts


def _encode(clip: Clip, target: Path, short_side: int) -> None:
    begin, end = clip.interval or (0.0, None)
    encode(
        clip.source, target, short_side=short_side, begin=begin,
        seconds=None if end is None else end - begin,
    )


def _in_folders(folder: Path) -> list[Clip]:
    """The videos of a folder of class folders."""
    clips = []
    for path in videos_in(folder):
        label, *rest = path.relative_to(folder).parts
        if not rest:
            raise ValueError(f"{path}: is not in a class folder; expected {folder}/CLASS/...")
        clips.append(Clip(path, label))
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


def _divide(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    """Divides videos into training and test; classes of two videos or more have a test video."""
    parts: dict[str, list[Clip]] = {"train": [], "test": []}
    seen: Counter[str] = Counter()
    for clip in clips:
        parts["train" if seen[clip.label] % TEST_EVERY != 1 else "test"].append(clip)
        seen[clip.label] += 1
    return parts


def _number_classes(
    clips: Mapping[str, Sequence[Clip]], classes: str | None
) -> tuple[list[str], dict[str, int]]:
    """The class names in order, and the class numbers by `_plain` name."""
    found = sorted({clip.label for of_split in clips.values() for clip in of_split})
    names = class_names(classes) if classes else sorted({_spaceless(name) for name in found})
    number_of = {_plain(name): number for number, name in enumerate(names)}
    if unknown := [name for name in found if _plain(name) not in number_of]:
        raise ValueError(
            f"--classes {classes}: its {len(names)} classes, such as {names[0]}, do not include "
            f"{first_few(unknown)}; add them, or remove their videos"
        )
    return names, number_of


def _target(folder: Path, split: str, clip: Clip) -> Path:
    name = clip.source.stem
    if clip.interval:
        name += "_{:06d}_{:06d}".format(*map(int, clip.interval))
    return folder / "videos" / split / _spaceless(clip.label) / f"{_spaceless(name)}.mp4"


def _refuse_same_names(clips: Sequence[Clip], clip_of: Mapping[Path, Clip]) -> None:
    if len(clips) == len(clip_of):
        return
    by_source = {id(clip) for clip in clip_of.values()}
    clip = next(clip for clip in clips if id(clip) not in by_source)
    raise ValueError(
        f"{clip.source}: another video of its class has the same name; rename one of them"
    )


def _spaceless(name: str) -> str:
    """The name without quotes and spaces, which separate the columns of lists."""
    return "_".join(name.replace('"', "").split())


def _plain(name: str) -> str:
    """The name for comparisons: Kinetics writes the same class with and without quotes."""
    return _spaceless(name).casefold()
