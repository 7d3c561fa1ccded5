"""Checks lists of videos (sources/video_lists.py and frame_lists.py): rows, files, labels."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from data_pipelines.findings import Checked, Facts, Findings
from data_pipelines.frame_names import why_no_frames
from data_pipelines.paths import PathLike
from data_pipelines.progress import in_threads
from data_pipelines.sources import video_lists
from data_pipelines.sources.frame_lists import collect_frames, read_classes, read_runs
from data_pipelines.sources.list_rows import Cells
from data_pipelines.sources.video_lists import Entry, Row, Sample
from data_pipelines.text_files import first_few
from data_pipelines.video.inspection import inspect

RATE = 30.0  # frame rate at which the recipes sample clips


def check_list(
    path: PathLike,
    parse: Callable[[str, Row], Sample],
    findings: Findings,
    *,
    num_classes: int | None,
    clip: int,
    complete: bool = True,
) -> Checked:
    """Checks a list with a row for each video.

    Args:
        path: the list.
        parse: returns the sample of (location, row), as video_lists.video_sample does.
        findings: receives problems.
        num_classes: the number of classes; None: the largest label + 1.
        clip: frames that a clip spans, at 30 fps.
        complete: whether each class must have an example, and there must be two classes, as in
            training.

    Raises:
        FileNotFoundError: the list does not exist.
        ValueError: the list as a whole cannot be read.
    """
    rows = video_lists.list_rows(path)
    samples: dict[int, Sample] = {}  # by index of the row
    first: dict[tuple[str, int], int] = {}  # by path and offset
    for number, (where, row) in enumerate(rows):
        try:
            sample = parse(where, row)
        except ValueError as error:
            findings.report_row(error)
            continue
        offset = sample.frames.offset + (sample.frames.first or 0) if sample.frames else 0
        before = first.setdefault((os.path.normpath(sample.path), offset), number)
        if before == number:
            samples[number] = sample
        else:
            label = samples[before].label
            findings.report(where, "duplicate", (
                f"{sample.path} is listed already at {rows[before][0]}"
                + ("; remove one of the rows" if label == sample.label else
                   f" with label {label} instead of {sample.label}; keep the row that is right")
            ))
    if reason := why_no_frames([sample.frames for sample in samples.values()]):
        findings.report(str(path), "frame names", reason)
    seconds = clip / RATE
    decode = partial(inspect, clip_seconds=seconds, clip_frames=clip)
    inspections = in_threads(decode, [sample.source for sample in samples.values()], "decoding")
    good, frames, decoded = [], 0, 0
    for (number, sample), inspection in zip(samples.items(), inspections, strict=True):
        frames += inspection.frames
        decoded += inspection.frames > 0
        if findings.report_video(rows[number][0], sample.path, inspection):
            good.append(number)
    counts = _count_classes([samples[number].label for number in good])
    if complete and list(counts) == [0] and num_classes in (None, 1) and not any(
        isinstance(sample.label, tuple) for sample in samples.values()
    ):
        findings.report(str(path), "one class", (
            "all labels are 0, as are those of rows without a label; training needs two classes or "
            "more"
        ))
    facts = {
        "rows": len(rows), "valid rows": len(good), "videos decoded": decoded,
        "frames": frames, **_check_classes(path, counts, num_classes, findings, complete),
    }
    return Checked(facts, lambda out: _write(out, [rows[number][1] for number in good]))


def check_frame_list(
    path: PathLike,
    findings: Findings,
    *,
    path_prefix: PathLike,
    num_classes: int | None,
    clip: int,
) -> Checked:
    """Checks a list with a row for each frame.

    A video with a bad frame is bad as a whole, because clips are sampled from all of it.

    Args:
        path, findings, num_classes, clip: as for `check_list`.
        path_prefix: folder that relative paths of the list start from.

    Raises:
        FileNotFoundError: the list does not exist.
        ValueError: the list as a whole cannot be read.
    """
    bad_rows, bad_videos = set(), set()
    places: dict[str, str] = {}
    labels: dict[str, set[int]] = {}
    known: dict[str, tuple[int, ...]] = {}
    total = 0

    def wrong(error: ValueError) -> None:
        bad_rows.add(findings.report_row(error))

    def runs() -> Iterator[tuple[str, list[str]]]:
        nonlocal total
        for video, rows in read_runs(Path(path), wrong):
            total += len(rows)
            paths = [frame for _, frame, _ in rows]
            where = places.setdefault(video, f"{path}:{rows[0][0]}")
            if twice := [frame for frame, count in Counter(paths).items() if count > 1]:
                findings.report(where, "duplicate", (
                    f"{video} lists {first_few(twice, 3)} more than once; list its frames again, "
                    "or leave the video out"
                ))
                bad_videos.add(video)
            of_video = labels.setdefault(video, set())
            for number, _, text in rows:
                if text not in known:
                    try:
                        known[text] = read_classes(f"{path}:{number}", text, num_classes)
                    except ValueError as error:
                        findings.report_row(error)
                        bad_videos.add(video)
                        continue
                of_video.update(known[text])
            yield video, paths

    files = collect_frames(runs(), path_prefix)
    inspections = in_threads(partial(inspect, clip_frames=clip), list(files.values()), "decoding")
    for video, inspection in zip(files, inspections, strict=True):
        if not findings.report_video(places[video], video, inspection):
            bad_videos.add(video)
    good = [video for video in files if video not in bad_videos]
    counts = _count_classes([tuple(labels[video]) for video in good])
    facts = {"rows": total, "videos": len(files), "valid videos": len(good)}
    if counts:  # Something-Something keeps its labels in another file
        facts |= _check_classes(path, counts, num_classes, findings)
    return Checked(facts, partial(_write_frame_list, path, bad_rows, bad_videos))


def _count_classes(labels: Iterable[int | tuple[int, ...]]) -> Counter[int]:
    return Counter(
        label for each in labels for label in (each if isinstance(each, tuple) else (each,))
    )


def _check_classes(
    path: PathLike, counts: Counter[int], num_classes: int | None, findings: Findings,
    complete: bool = True,
) -> Facts:
    """Reports, if `complete`, classes without examples; returns the facts about classes."""
    if num_classes is None:
        num_classes = max(counts, default=-1) + 1
    empty = [label for label in range(num_classes) if not counts[label]]
    if complete and empty:
        findings.report(str(path), "classes without examples", (
            f"{len(empty)} of the classes 0..{num_classes - 1}: {first_few(empty)}; check that "
            "labels start at 0 and that no videos are missing"
        ))
    of_class = [counts[label] for label in range(num_classes) if counts[label]]
    fewest, most = (min(of_class), max(of_class)) if of_class else (0, 0)
    return {
        "classes": num_classes, "classes without examples": len(empty),
        "examples per class": f"{fewest}..{most}",
    }


def _write(path: PathLike, rows: Sequence[Row]) -> None:
    if rows and isinstance(rows[0], Entry):
        text = json.dumps([row.value for row in rows], indent=1) + "\n"
    elif rows and isinstance(rows[0], Cells):
        text = "".join(f"{line}\n" for line in (rows[0].header, *(row.text for row in rows)))
    else:
        text = "".join(f"{row}\n" for row in rows)
    Path(path).write_text(text, encoding="utf-8")


def _write_frame_list(
    source: PathLike, bad_rows: set[str], bad_videos: set[str], path: PathLike
) -> None:
    with open(source, encoding="utf-8-sig") as lines, open(path, "w", encoding="utf-8") as out:
        for number, line in enumerate(lines, 1):
            columns = line.split()
            if columns and f"{source}:{number}" not in bad_rows and columns[0] not in bad_videos:
                out.write(line.rstrip("\r\n") + "\n")
