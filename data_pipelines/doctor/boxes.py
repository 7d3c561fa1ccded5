"""Checks of tables of boxes, whoever wrote them: boxes, classes, and the videos they speak of."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipelines.findings import Facts, Findings
from data_pipelines.paths import PathLike
from data_pipelines.progress import in_threads
from data_pipelines.sources.keyframes import Moments, find_sources
from data_pipelines.text_files import first_few, read_rows
from data_pipelines.transforms.boxes import overlaps
from data_pipelines.video import Video
from data_pipelines.video.inspection import inspect

FOUND_AT = 0.5  # intersection over union
LOW_RECALL = 0.7  # of a detector's boxes, below which they are more likely to be mistaken ones


class Table(NamedTuple):
    """A table of boxes, and the places of the rows of it that are left out."""

    path: Path
    moments: Moments
    bad_rows: set[str]


class Bad(NamedTuple):
    """Videos, and moments of others, that cannot be used."""

    videos: set[str]
    moments: set[tuple[str, float]]


def recall(truth: Moments, found: Moments) -> tuple[int, int]:
    """(annotated boxes that one of the found boxes covers at IoU 0.5, annotated boxes)."""
    hits = total = 0
    for video, times in truth.items():
        for time, moment in times.items():
            wanted = np.array([box for box, _, _ in moment.boxes.values()])
            total += len(wanted)
            there = found.get(video, {}).get(time)
            if there:
                others = np.array([box for box, _, _ in there.boxes.values()])
                hits += int((overlaps(wanted, others).max(axis=1) >= FOUND_AT).sum())
    return hits, total


def tell_duplicates(path: PathLike, bad: set[str], findings: Findings) -> None:
    """Rows that are there before in all columns; adds their places to `bad`."""
    lines: dict[str, int] = {}
    for line, columns in read_rows(path):
        before = lines.setdefault(",".join(columns), line)
        if before != line:
            findings.tell(
                f"{path}:{line}", "duplicate", f"the same row as line {before}; leave one out"
            )
            bad.add(f"{path}:{line}")


def count_boxes(truth: Table, found: Sequence[Table], findings: Findings) -> Facts:
    """Numbers of a table of annotated boxes and of those predicted at its moments."""
    name = truth.path.name
    keyframes = [(video, time) for video, times in truth.moments.items() for time in times]
    facts: Facts = {
        f"{name}: keyframes": len(keyframes),
        f"{name}: boxes": sum(
            len(moment.boxes) for times in truth.moments.values() for moment in times.values()
        ),
    }
    for table in found:
        there = [
            len(moment.boxes) for video, time in keyframes
            if (moment := table.moments.get(video, {}).get(time))
        ]
        hits, total = recall(truth.moments, table.moments)
        share = hits / max(total, 1)
        label = f"{table.path.name} on it"
        facts |= {
            f"{label}: boxes per keyframe": f"{sum(there) / max(len(keyframes), 1):.2f}",
            f"{label}: keyframes without": len(keyframes) - len(there),
            f"{label}: recall at IoU {FOUND_AT:g}": f"{share:.1%}",
        }
        if share < LOW_RECALL:
            findings.tell(str(table.path), "low recall", (
                f"its boxes find {share:.1%} of those of {name} at IoU {FOUND_AT:g}; look whether "
                "they are of the same videos and seconds, in fractions of the frame in the order "
                "x1,y1,x2,y2, and whether the score's threshold is too high"
            ))
    return facts


def count_labels(moments: Moments) -> Counter[int]:
    """Boxes of each class, counted from 0."""
    return Counter(
        label for times in moments.values() for moment in times.values()
        for _, labels, _ in moment.boxes.values() for label in labels
    )


def tell_empty(truth: Table, classes: Mapping[int, str], findings: Findings) -> None:
    """Classes, of those named, that no box has."""
    counts = count_labels(truth.moments)
    if empty := [name for label, name in classes.items() if not counts[label]]:
        findings.tell(str(truth.path), "class without an example", (
            f"{len(empty)} of {len(classes)}: {first_few(empty)}; look whether all rows are there"
        ))


def check_videos(
    tables: Sequence[Table],
    names: Mapping[str, str],
    folder: PathLike,
    findings: Findings,
    origin: float,
    fps: float,
) -> tuple[Facts, Bad]:
    """Looks for the videos of tables, by the names they are written with, and decodes them."""
    where: dict[str, str] = {}
    times: dict[str, dict[float, str]] = {}
    for table in tables:
        for video, moments in table.moments.items():
            for time, moment in moments.items():
                place = f"{moment.path}:{moment.line}"
                where.setdefault(video, place)
                times.setdefault(video, {}).setdefault(time, place)
    bad = Bad(set(), set())
    sources: dict[str, Video] = {}
    for video, place in where.items():
        try:
            found = find_sources(folder, [names[video]])
        except ValueError as error:  # frames that are not all there
            findings.tell(place, "broken", str(error))
            bad.videos.add(video)
            continue
        if found:
            (sources[video],) = found.values()
        else:
            findings.tell(place, "missing", (
                f"there is no video {names[video]!r} in {folder}; get it, or leave its rows out"
            ))
            bad.videos.add(video)
    inspections = in_threads(inspect, list(sources.values()), "decoding")
    frames = 0
    for video, inspection in zip(sources, inspections, strict=True):
        frames += inspection.frames
        if not findings.tell_video(where[video], video, inspection):
            bad.videos.add(video)
            continue
        rate = inspection.fps or fps
        outside = [
            time for time in times[video]
            if not 0 <= round((time - origin) * rate) < inspection.frames + rate / 2
        ]
        if outside:
            bad.moments.update((video, time) for time in outside)
            findings.tell(times[video][min(outside)], "outside", (
                f"{len(outside)} moments of {video}, from {min(outside):g} on, are not within "
                f"{origin:g}..{origin + inspection.frames / rate:g} s, which its "
                f"{inspection.frames} frames show; get the whole video, or tell the time of its "
                "first frame"
            ))
    facts: Facts = {"videos": len(where), "videos decoded": len(sources), "frames": frames}
    return facts, bad


def kept(table: Table, bad: Bad, place: str, video: str, time: str) -> bool:
    """Whether the row of a table at `place` (a line, the key in a pickle) is right."""
    if f"{table.path}:{place}" in table.bad_rows or video in bad.videos:
        return False
    try:
        return (video, float(time)) not in bad.moments
    except ValueError:  # of a box whose score is too low to be looked at
        return False


def write_rows(out: PathLike, rows: Sequence[Sequence[str]]) -> None:
    """Writes a csv file."""
    with open(out, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
