"""Checks AVA's annotations, predicted boxes and films."""

import pickle
import re
import shutil
from pathlib import Path

from data_pipelines.atomic_files import write_rows
from data_pipelines.doctor.boxes import (
    Bad,
    Table,
    check_videos,
    count_boxes,
    count_labels,
    kept,
    report_duplicates,
    report_empty_classes,
)
from data_pipelines.findings import Checked, Facts, Findings
from data_pipelines.paths import PathLike
from data_pipelines.sources import ava
from data_pipelines.sources.box_pickles import SUFFIX, read_proposals
from data_pipelines.text_files import first_few, read_rows

TRUTH = re.compile(r"ava_([a-z]+)_v\d+\.\d+\.csv")


def check_ava(
    folder: PathLike,
    findings: Findings,
    *,
    videos: PathLike,
    score_threshold: float,
    origin: float,
    fps: float,
) -> Checked:
    """Checks AVA's annotations, predicted boxes and films.

    Tables are found in folder/annotations and its subfolders by their names: annotations are called
    ava_SPLIT_v2.2.csv, and tables of predicted boxes (.csv, .pkl) have the split in their name.

    Args:
        folder: AVA's folder.
        findings: receives problems.
        videos: folder of the films, or of their folders of frames.
        score_threshold: predicted boxes with a lower score are ignored.
        origin: time of the first frame, as the tables count seconds.
        fps: frame rate of films stored as images.

    Raises:
        FileNotFoundError: the annotations are missing.
    """
    annotations = Path(folder) / "annotations"
    truths, predictions = _find_tables(annotations)
    classes = _evaluated(annotations)
    facts: Facts = {}
    annotated, predicted = [], []
    for split, paths in truths.items():
        found = [_read_ava(path, findings, score_threshold) for path in predictions[split]]
        predicted += found
        for path in paths:
            truth = _read_ava(path, findings, None)
            annotated.append(truth)
            facts |= count_boxes(truth, found, findings)
            report_empty_classes(truth, classes, findings)
            others = [label + 1 for label in sorted(count_labels(truth.moments))
                      if classes and label not in classes]
            if others:  # as in AVA, where rare actions are not evaluated
                facts[f"{path.name}: actions that the label map lacks"] = first_few(others, 30)
    tables = annotated + predicted
    names = {video: video for table in tables for video in table.moments}
    video_facts, bad = check_videos(tables, names, videos, findings, origin, fps)

    def write(out: PathLike) -> None:
        shutil.copytree(annotations, out, dirs_exist_ok=True)
        for table in filter(lambda table: table.moments, tables):
            target = Path(out) / table.path.relative_to(annotations)
            write_table = _write_pickle if table.path.suffix == SUFFIX else _write_csv
            write_table(table, bad, target)

    return Checked(facts | video_facts, write)


def _find_tables(annotations: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """(annotated, predicted) tables by split; predicted ones only for splits with annotations."""
    files = sorted(path for path in annotations.rglob("*") if path.suffix in (".csv", SUFFIX))
    truths: dict[str, list[Path]] = {}
    for path in files:
        if match := TRUTH.fullmatch(path.name):
            truths.setdefault(match[1], []).append(path)
    if not truths:
        raise FileNotFoundError(
            f"{annotations}: contains no annotations, such as ava_train_v2.2.csv; `python -m "
            "data_pipelines.prepare ava --downloads` shows where to get them"
        )
    predictions = {
        split: [
            path for path in files
            if not TRUTH.fullmatch(path.name) and "excluded" not in path.name
            and re.search(rf"[_.]{split}[_.]", path.name)
        ]
        for split in truths
    }
    return truths, predictions


def _evaluated(annotations: Path) -> dict[int, str]:
    """Names of the evaluated classes, keyed by class (from 0); empty without a label map."""
    maps = sorted(annotations.glob("*activitynet*.pbtxt"))
    if not maps:
        return {}
    return {action - 1: name for action, name in ava.read_label_map(maps[-1]).items()}


def _read_ava(path: Path, findings: Findings, score_threshold: float | None) -> Table:
    """Reads a table of AVA; a table of predicted boxes if there is a threshold."""
    bad: set[str] = set()
    tables = {"annotated": [path]} if score_threshold is None else {
        "predicted": [path], "score_threshold": score_threshold
    }
    try:
        moments = ava.read_boxes(
            **tables, on_bad_row=lambda error: bad.add(findings.report_row(error))
        )
    except ValueError as error:  # the table as a whole cannot be read
        findings.report_row(error)
        return Table(path, {}, bad)
    if path.suffix != SUFFIX:
        report_duplicates(path, bad, findings)
    return Table(path, moments, bad)


def _write_csv(table: Table, bad: Bad, out: Path) -> None:
    write_rows(out, [
        columns for line, columns in read_rows(table.path)
        if kept(table, bad, str(line), columns[0], columns[1])
    ])


def _write_pickle(table: Table, bad: Bad, out: Path) -> None:
    boxes_by_moment = {
        key: boxes
        for key, video, second, boxes in read_proposals(table.path, on_bad_row=lambda error: None)
        if kept(table, bad, key, video, second)
    }
    out.write_bytes(pickle.dumps(boxes_by_moment, protocol=4))
