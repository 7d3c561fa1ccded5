"""Checks for all tables of boxes: the boxes, their classes and their videos."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipelines.findings import Facts, Findings
from data_pipelines.paths import PathLike
from data_pipelines.progress import in_threads
from data_pipelines.sources.keyframes import Moment, Moments, find_sources
from data_pipelines.text_files import first_few, read_rows
from data_pipelines.transforms.boxes import overlaps
from data_pipelines.video import Video
from data_pipelines.video.inspection import inspect

FOUND_AT = 0.5  # least intersection over union at which a predicted box matches an annotated one
LOW_RECALL = 0.7  # recall below which predicted boxes probably have a wrong format


class Table(NamedTuple):
    """A table of boxes.

    Attributes:
        path: the file.
        moments: its valid rows, by video and time.
        bad_rows: locations (file:line) of its invalid rows.
    """

    path: Path
    moments: Moments
    bad_rows: set[str]


class Bad(NamedTuple):
    """What cannot be used: whole videos, and (video, time) moments of other videos."""

    videos: set[str]
    moments: set[tuple[str, float]]


def recall(truth: Moments, found: Moments) -> tuple[int, int]:
    """Compares predicted boxes with annotated ones.

    Args:
        truth: annotated boxes.
        found: predicted boxes.

    Returns:
        (number of annotated boxes matched by a predicted box at IoU 0.5, number of annotated boxes)
    """
    hits = total = 0
    for video, times in truth.items():
        for time, moment in times.items():
            wanted = boxes_of(moment)
            total += len(wanted)
            if predicted := found.get(video, {}).get(time):
                hits += int((overlaps(wanted, boxes_of(predicted)).max(axis=1) >= FOUND_AT).sum())
    return hits, total


def boxes_of(moment: Moment) -> np.ndarray:
    """The boxes of a moment, float64 (B, 4)."""
    return np.array([box for box, _, _ in moment.boxes.values()])


def report_duplicates(path: PathLike, bad: set[str], findings: Findings) -> None:
    """Reports rows equal to an earlier row, and adds their locations to `bad`."""
    lines: dict[str, int] = {}
    for line, columns in read_rows(path):
        before = lines.setdefault(",".join(columns), line)
        if before != line:
            findings.report(
                f"{path}:{line}", "duplicate", f"same row as line {before}; remove one of them"
            )
            bad.add(f"{path}:{line}")


def count_boxes(truth: Table, found: Sequence[Table], findings: Findings) -> Facts:
    """Summarizes annotated boxes and the boxes predicted at their keyframes; reports low recall.

    Args:
        truth: the annotated boxes.
        found: tables of predicted boxes.
        findings: receives problems.
    """
    name = truth.path.name
    keyframes = [(video, time) for video, times in truth.moments.items() for time in times]
    facts: Facts = {
        f"{name}: keyframes": len(keyframes),
        f"{name}: boxes": sum(
            len(moment.boxes) for times in truth.moments.values() for moment in times.values()
        ),
    }
    for table in found:
        counts = [
            len(moment.boxes) for video, time in keyframes
            if (moment := table.moments.get(video, {}).get(time))
        ]
        hits, total = recall(truth.moments, table.moments)
        share = hits / max(total, 1)
        label = f"{table.path.name} at these keyframes"
        facts |= {
            f"{label}: boxes per keyframe": f"{sum(counts) / max(len(keyframes), 1):.2f}",
            f"{label}: keyframes without boxes": len(keyframes) - len(counts),
            f"{label}: recall at IoU {FOUND_AT:g}": f"{share:.1%}",
        }
        if share < LOW_RECALL:
            findings.report(str(table.path), "low recall", (
                f"its boxes match {share:.1%} of those of {name} at IoU {FOUND_AT:g}; check that "
                "the videos and times are the same, that boxes are x1,y1,x2,y2 as fractions of the "
                "frame, and that the score threshold is not too high"
            ))
    return facts


def count_labels(moments: Moments) -> Counter[int]:
    """The number of boxes of each class, keyed by class (from 0)."""
    return Counter(
        label for times in moments.values() for moment in times.values()
        for _, labels, _ in moment.boxes.values() for label in labels
    )


def report_empty_classes(truth: Table, classes: Mapping[int, str], findings: Findings) -> None:
    """Reports the classes that no box has; `classes` holds names, keyed by class (from 0)."""
    counts = count_labels(truth.moments)
    if empty := [name for label, name in classes.items() if not counts[label]]:
        findings.report(str(truth.path), "classes without examples", (
            f"{len(empty)} of {len(classes)}: {first_few(empty)}; check that no rows are missing"
        ))


def check_videos(
    tables: Sequence[Table],
    names: Mapping[str, str],
    folder: PathLike,
    findings: Findings,
    origin: float,
    fps: float,
) -> tuple[Facts, Bad]:
    """Finds and decodes the videos of tables, and checks that they contain the tables' moments.

    Args:
        tables: the tables.
        names: for each video of the tables, its name as written, which may have a suffix.
        folder: folder of the videos.
        findings: receives problems.
        origin: time of the first frame, as the tables count seconds.
        fps: frame rate of videos stored as images.

    Returns:
        (facts of the summary, videos and moments that cannot be used)
    """
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
        except ValueError as error:  # some frames are missing
            findings.report(place, "broken", str(error))
            bad.videos.add(video)
            continue
        if found:
            (sources[video],) = found.values()
        else:
            findings.report(place, "missing", (
                f"video {names[video]!r} not found in {folder}; get it, or remove its rows"
            ))
            bad.videos.add(video)
    inspections = in_threads(inspect, list(sources.values()), "decoding")
    frames = 0
    for video, inspection in zip(sources, inspections, strict=True):
        frames += inspection.frames
        if not findings.report_video(where[video], video, inspection):
            bad.videos.add(video)
            continue
        rate = inspection.fps or fps
        outside = [
            time for time in times[video]
            if not 0 <= round((time - origin) * rate) < inspection.frames + rate / 2
        ]
        if outside:
            bad.moments.update((video, time) for time in outside)
            end = origin + inspection.frames / rate
            rows = first_few([times[video][time] for time in sorted(outside)], 5)
            findings.report(times[video][min(outside)], "outside", (
                f"{video} has {inspection.frames} frames, which cover {origin:g}..{end:g} s, but "
                f"{len(outside)} of its {len(times[video])} moments lie outside, the first at "
                f"{min(outside):g} s ({rows}); get the whole video, or pass the time of its first "
                "frame with --first-second"
            ))
    facts: Facts = {"videos": len(where), "videos decoded": len(sources), "frames": frames}
    return facts, bad


def kept(table: Table, bad: Bad, place: str, video: str, time: str) -> bool:
    """Whether a row of a table can be used.

    Args:
        table: the table.
        bad: videos and moments that cannot be used.
        place: line of the row, or its key in a pickle.
        video, time: as written in the row.
    """
    if f"{table.path}:{place}" in table.bad_rows or video in bad.videos:
        return False
    try:
        return (video, float(time)) not in bad.moments
    except ValueError:  # readers skip rows with a low score before they parse the time
        return False
