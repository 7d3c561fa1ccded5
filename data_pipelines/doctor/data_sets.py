"""Checks folders: of the lists train.csv, val.csv and test.csv, or of videos."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from data_pipelines.doctor.leaks import report_leaks
from data_pipelines.findings import Checked, Facts, Findings
from data_pipelines.paths import PathLike
from data_pipelines.progress import in_threads
from data_pipelines.sources import video_lists
from data_pipelines.sources.video_lists import Row, Sample
from data_pipelines.text_files import first_few
from data_pipelines.video.finding import find_videos
from data_pipelines.video.inspection import inspect

SPLITS = ("train", "val", "test")
RATE = 30.0  # frame rate at which the recipes sample clips


def lists_in(folder: PathLike) -> dict[str, Path]:
    """The lists train.csv, val.csv and test.csv in a folder, by split."""
    paths = {split: Path(folder) / f"{split}.csv" for split in SPLITS}
    return {split: path for split, path in paths.items() if path.is_file()}


def check_lists(
    folder: Path, check: Callable[[str, Path], Checked], findings: Findings,
    expected: Collection[str] = SPLITS,
) -> Checked:
    """Checks the lists of a data set, each alone.

    Args:
        folder: the folder of the lists.
        check: checks the list of (split, path).
        findings: receives problems; also if a list is missing or cannot be read as a whole.
        expected: the splits whose lists must exist.
    """
    facts: Facts = {}
    lists = lists_in(folder)
    for split in SPLITS:
        if split not in lists and split not in expected:
            continue
        if split not in lists:
            findings.report(str(folder / f"{split}.csv"), "missing list", (
                "no such list; training reads one for training, validation and test, or "
                f"--config.data.{split}_list names another"
            ))
            continue
        try:
            checked = check(split, lists[split])
        except ValueError as error:
            findings.report_row(error)
            continue
        name = lists[split].name
        facts |= {
            fact if fact.startswith(name) else f"{name}: {fact}": value
            for fact, value in checked.facts.items()
        }
    return Checked(facts, _refuse_clean)


def report_shared(
    lists: Iterable[Path], parse_of: Callable[[Path], Callable[[str, Row], Sample]],
    findings: Findings,
) -> None:
    """Reports videos that are in two lists, as the same file or as files of the same content.

    Args:
        lists: the lists.
        parse_of: returns the function that parses the rows of a list.
        findings: receives the problem of each pair of lists.
    """
    videos: dict[Path, dict[str, str]] = {}
    for path in lists:
        videos[path] = {}
        try:
            rows, parse = video_lists.list_rows(path), parse_of(path)
        except ValueError:
            continue  # reported already
        for where, row in rows:
            with suppress(ValueError):
                video = parse(where, row).path
                videos[path][video] = video
    report_leaks(videos, findings, by_sight=False)


def check_videos(folder: Path, findings: Findings, *, clip: int) -> Checked:
    """Checks a folder of videos, which may be in a folder for each class.

    Args:
        folder: the folder.
        findings: receives problems.
        clip: frames that a clip spans, at 30 fps.

    Raises:
        ValueError: it contains no videos.
    """
    found = find_videos(folder)
    for path, reason in found.left_out.items():
        findings.report(str(path), "left out", reason)
    if not found.videos:
        raise ValueError(
            f"{folder}: contains no videos, no lists such as train.csv, and no folder annotations "
            "of AVA"
        )
    decode = partial(inspect, clip_seconds=clip / RATE, clip_frames=clip)
    usable, frames = [], 0
    inspections = in_threads(decode, [str(path) for path in found.videos], "decoding")
    for path, inspection in zip(found.videos, inspections, strict=True):
        frames += inspection.frames
        if findings.report_video(str(path), path.name, inspection):
            usable.append(path)
    facts: Facts = {"videos": len(found.videos), "usable videos": len(usable), "frames": frames}
    parts = [path.relative_to(folder).parts for path in found.videos]
    if all(len(part) > 1 for part in parts):
        facts |= _check_classes(folder, [part[0] for part in parts], findings)
    return Checked(facts, _refuse_clean)


def _check_classes(folder: Path, labels: list[str], findings: Findings) -> Facts:
    """Reports class folders without videos; returns the facts about classes."""
    counts = Counter(labels)
    empty = sorted(
        entry.name for entry in os.scandir(folder)
        if entry.is_dir() and entry.name[0] != "." and entry.name not in counts
    )
    if empty:
        findings.report(str(folder), "classes without examples", (
            f"{first_few(empty)}; add videos, or remove the folders"
        ))
    if len(counts) == 1:
        findings.report(str(folder), "one class", (
            f"all videos are in {labels[0]}; training needs two classes or more"
        ))
    return {
        "classes": len(counts),
        "videos per class": f"{min(counts.values())}..{max(counts.values())}",
    }


def _refuse_clean(path: PathLike) -> None:
    raise ValueError("--clean writes one list; name the list instead of the folder")
