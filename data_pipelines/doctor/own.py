"""Checks a table of boxes of one's own videos (own_boxes.py)."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from data_pipelines.doctor.boxes import (
    Bad,
    Table,
    check_videos,
    count_boxes,
    count_labels,
    kept,
    tell_duplicates,
    tell_empty,
    write_rows,
)
from data_pipelines.findings import Checked, Findings
from data_pipelines.paths import PathLike
from data_pipelines.sources import box_tables
from data_pipelines.text_files import read_rows

RARE = 2  # boxes of an action that may be a misspelt one


def check_own(
    path: PathLike,
    findings: Findings,
    *,
    predicted: Sequence[PathLike],
    videos: PathLike,
    class_names: Sequence[str] | None,
    score_threshold: float,
    origin: float,
    fps: float,
) -> Checked:
    """Checks a table of one's own, and what a person detector found at its moments.

    Args:
        predicted: tables of a detector; not among what is written.
        class_names: None: the actions that occur.
        videos, score_threshold, origin, fps: as for `check_ava`.

    Raises:
        FileNotFoundError: a table or the folder of videos is missing.
        ValueError: a table cannot be read at all, or has no boxes or actions.
    """
    told = class_names is not None
    if class_names is None:
        class_names = box_tables.find_actions([path], on_bad_row=lambda error: None)
    names: dict[str, str] = {}

    def read(path: PathLike, annotated: bool) -> Table:
        bad: set[str] = set()
        moments, written = box_tables.read_moments(
            [path] if annotated else [], [] if annotated else [path], class_names=class_names,
            score_threshold=score_threshold,
            on_bad_row=lambda error: bad.add(findings.tell_row(error)),
        )
        names.update(written)
        tell_duplicates(path, bad, findings)
        return Table(Path(path), moments, bad)

    truth, found = read(path, True), [read(each, False) for each in predicted]
    facts = count_boxes(truth, found, findings)
    if told:
        tell_empty(truth, dict(enumerate(class_names)), findings)
    else:
        _tell_misspelt(truth, class_names, findings)
    video_facts, bad = check_videos([truth, *found], names, videos, findings, origin, fps)
    return Checked(facts | video_facts, lambda out: _write_own(truth, bad, Path(out)))


def _tell_misspelt(truth: Table, names: Sequence[str], findings: Findings) -> None:
    """Rare actions that are written nearly as one that is not."""
    counts = count_labels(truth.moments)
    frequent = [name for label, name in enumerate(names) if counts[label] > RARE]
    for label, name in enumerate(names):
        close = difflib.get_close_matches(name, frequent, n=1)
        if 0 < counts[label] <= RARE and close and not name.startswith("action "):
            findings.tell(str(truth.path), "rare action", (
                f"{name!r} of {counts[label]} boxes; if it is {close[0]!r} misspelt, correct it"
            ))


def _write_own(table: Table, bad: Bad, out: Path) -> None:
    (_, header), *rows = read_rows(table.path)
    header = [name.strip() for name in header]
    video, time = (header.index(name) for name in ("video", "time"))
    write_rows(out, [header, *(
        columns for line, columns in rows if len(columns) == len(header) and kept(
            table, bad, str(line), box_tables.without_suffix(columns[video].strip()), columns[time]
        )
    )])
