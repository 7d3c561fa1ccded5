"""Checks your own tables of boxes (sources/box_tables.py)."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from data_pipelines.atomic_files import write_rows
from data_pipelines.doctor.boxes import (
    FOUND_AT,
    Bad,
    Table,
    boxes_of,
    check_videos,
    count_boxes,
    count_labels,
    kept,
    report_duplicates,
    report_empty_classes,
)
from data_pipelines.doctor.leaks import report_leaks
from data_pipelines.findings import Checked, Facts, Findings
from data_pipelines.paths import PathLike
from data_pipelines.sources import box_tables
from data_pipelines.sources.keyframes import find_sources
from data_pipelines.text_files import first_few, read_rows
from data_pipelines.transforms.boxes import overlaps
from data_pipelines.video import Video

RARE = 2  # an action of at most this many boxes may be a misspelling
FEW = 10  # boxes of an action below which the summary names it


def check_own(
    path: PathLike,
    findings: Findings,
    *,
    predicted: Sequence[PathLike],
    videos: PathLike,
    class_names: Sequence[str] | None,
    unnamed: Collection[int] = (),
    score_threshold: float,
    origin: float,
    fps: float,
) -> Checked:
    """Checks your own table of boxes, and the boxes of a person detector at its moments.

    Args:
        path: the table.
        predicted: tables of a person detector; `Checked.write` does not write them.
        class_names: the actions; None takes those that occur.
        unnamed: classes, from 0, that have an id but no name of their own in `class_names`.
        findings, videos, score_threshold, origin, fps: as for `check_ava`.

    Raises:
        FileNotFoundError: a table or the folder of videos is missing.
        ValueError: a table as a whole cannot be read, or has no boxes or actions.
    """
    given = class_names is not None
    if class_names is None:
        class_names = box_tables.find_actions([path], on_bad_row=lambda error: None)
    names: dict[str, str] = {}

    def read(path: PathLike, annotated: bool) -> Table:
        bad: set[str] = set()
        moments, written = box_tables.read_moments(
            [path] if annotated else [], [] if annotated else [path], class_names=class_names,
            score_threshold=score_threshold,
            on_bad_row=lambda error: bad.add(findings.report_row(error)),
        )
        names.update(written)
        report_duplicates(path, bad, findings)
        return Table(Path(path), moments, bad)

    truth, found = read(path, True), [read(each, False) for each in predicted]
    facts = count_boxes(truth, found, findings)
    facts |= _unlabeled(truth, found) | _rare(truth, class_names)
    if given:
        counts = count_labels(truth.moments)
        if nameless := [label + 1 for label in sorted(unnamed) if counts[label]]:
            findings.report(str(path), "actions without names", (
                f"the file of names lacks ids that occur: {first_few(nameless)}; add them there"
            ))
        named = {
            label: name for label, name in enumerate(class_names) if label not in unnamed
        }
        report_empty_classes(truth, named, findings)
    else:
        _report_misspellings(truth, class_names, findings)
    video_facts, bad = check_videos([truth, *found], names, videos, findings, origin, fps)
    return Checked(facts | video_facts, lambda out: _write_own(truth, bad, Path(out)))


def _unlabeled(truth: Table, found: Sequence[Table]) -> Facts:
    """Persons who may lack labels: boxes without action beside others that have one, and boxes of
    the detector where none is annotated."""
    name, places, beside, empty = truth.path.name, [], 0, 0
    for times in truth.moments.values():
        for moment in times.values():
            without = [not labels for _, labels, _ in moment.boxes.values()]
            empty += all(without)
            if any(without) and not all(without):
                beside += sum(without)
                places.append(moment.line)
    facts: Facts = {
        f"{name}: keyframes without any action": empty,
        f"{name}: boxes without action beside others that have one": (
            f"{beside} (from line {places[0]})" if places else 0
        ),
    }
    for table in found:
        missed = sum(
            int((overlaps(boxes_of(predicted), boxes_of(moment)).max(axis=1) < FOUND_AT).sum())
            for video, times in truth.moments.items() for time, moment in times.items()
            if (predicted := table.moments.get(video, {}).get(time))
        )
        facts[f"{table.path.name} at these keyframes: boxes that match no annotated one"] = missed
    return facts


def _rare(truth: Table, names: Sequence[str]) -> Facts:
    """The actions with few boxes, the rarest first."""
    counts = count_labels(truth.moments)
    few = sorted(
        (counts[label], name) for label, name in enumerate(names) if 0 < counts[label] < FEW
    )
    return {f"{truth.path.name}: actions with fewer than {FEW} boxes": (
        first_few([f"{name} ({count})" for count, name in few], 3) if few else "none"
    )}


def report_shared_videos(
    tables: Iterable[Path], folder: PathLike, findings: Findings
) -> None:
    """Reports videos that are in two tables, by `report_leaks`."""
    lists: dict[Path, Mapping[str, Video]] = {}
    for path in tables:
        try:
            _, written = box_tables.read_moments(
                [path], [], class_names=None, on_bad_row=lambda error: None
            )
            lists[path] = find_sources(folder, written.values())
        except ValueError:
            continue  # reported already
    report_leaks(lists, findings, by_sight=True)


def _report_misspellings(truth: Table, names: Sequence[str], findings: Findings) -> None:
    """Reports rare actions whose names resemble that of a frequent one."""
    counts = count_labels(truth.moments)
    frequent = [name for label, name in enumerate(names) if counts[label] > RARE]
    for label, name in enumerate(names):
        close = difflib.get_close_matches(name, frequent, n=1)
        if 0 < counts[label] <= RARE and close and not name.startswith("action "):
            boxes = "1 box" if counts[label] == 1 else f"{counts[label]} boxes"
            findings.report(str(truth.path), "rare action", (
                f"{name!r} occurs in {boxes}; if it is a misspelling of {close[0]!r}, correct it"
            ))


def _write_own(table: Table, bad: Bad, out: Path) -> None:
    (_, header), *rows = read_rows(table.path)
    header = [name.strip().lower() for name in header]
    video, time = (header.index(name) for name in ("video", "time"))
    write_rows(out, [header, *(
        columns for line, columns in rows if len(columns) == len(header) and kept(
            table, bad, str(line), box_tables.without_suffix(columns[video].strip()), columns[time]
        )
    )])
