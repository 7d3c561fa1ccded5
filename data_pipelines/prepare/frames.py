"""Prepares Something-Something and Charades: extracts frames and writes frame lists."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from data_pipelines.findings import Facts, Findings
from data_pipelines.prepare.common import (
    by_name,
    extract_all,
    frame_names,
    report_missing,
    videos_in,
    write_frame_list,
    write_text,
)
from data_pipelines.text_files import parse_json, read_number, read_text

# Split -> ending of the name of its label file.
SSV2_LABELS = {"train": "train", "val": "validation"}
CHARADES_TABLES = {"train": "Charades_v1_train.csv", "val": "Charades_v1_test.csv"}
CHARADES_FPS = 24  # rate of Charades_v1_rgb, the frames available for download
CHARADES_CLASSES = 157

Action = tuple[int, float, float]  # class, begin and end in seconds


def prepare_ssv2(
    folder: Path,
    findings: Findings,
    *,
    annotations: Path,
    videos: Path | None,
    short_side: int | None = None,
) -> Facts:
    """Writes frames, train.csv, val.csv and the three label files into `folder`.

    Args:
        folder: folder for the results.
        findings: receives problems.
        annotations: folder of the label files, named something-something-v2-train.json or
            train.json and so on.
        videos: folder of the videos; None uses the frames that exist in folder/frames.
        short_side: pixels to which the short side of the frames is reduced; None keeps the size.

    Returns:
        The facts of the summary.

    Raises:
        FileNotFoundError, ValueError: an input is missing or cannot be read.
        OSError: the disk cannot be written to.
    """
    if annotations.resolve() == folder.resolve():
        raise ValueError(
            f"{folder}: contains the downloaded labels; choose another folder for the results"
        )
    ends = [*SSV2_LABELS.values(), "labels"]
    files = {end: _json_file(annotations, end) for end in ends}
    entries = {split: _ids(files[end]) for split, end in SSV2_LABELS.items()}
    frames = _frames(folder, findings, videos, short_side=short_side)
    facts: Facts = {"videos": len(frames), "frames": sum(map(len, frames.values()))}
    for split, ids in entries.items():
        found = _those(ids, frames, files[SSV2_LABELS[split]], folder, findings)
        write_frame_list(folder / f"{split}.csv", found)
        facts[f"{split}.csv: videos"] = len(found)
    for end, path in files.items():
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if end != "labels":  # a list and its label file must hold the same videos
            content = [entry for entry in content if str(entry["id"]) in frames]
        target = folder / f"something-something-v2-{end}.json"
        write_text(target, [json.dumps(content, indent=1), "\n"])
    return facts


def prepare_charades(
    folder: Path,
    findings: Findings,
    *,
    annotations: Path,
    videos: Path | None,
    short_side: int | None = None,
) -> Facts:
    """Writes frames at 24 fps, and train.csv and val.csv with the classes of each frame.

    Frame i, from 0, has the classes whose interval contains second i / 24.

    Args:
        folder, findings, short_side: as for `prepare_ssv2`.
        annotations: folder of Charades_v1_train.csv and Charades_v1_test.csv.
        videos: folder of the videos; None uses the frames that exist in folder/frames, such as
            those of Charades_v1_rgb.tar.

    Returns, Raises: as `prepare_ssv2`.
    """
    tables = {split: annotations / name for split, name in CHARADES_TABLES.items()}
    actions = {split: read_actions(path) for split, path in tables.items()}
    frames = _frames(
        folder, findings, videos, short_side=short_side, between="-", fps=CHARADES_FPS
    )
    facts: Facts = {"videos": len(frames), "frames": sum(map(len, frames.values()))}
    for split, table in tables.items():
        found = _those(list(actions[split]), frames, table, folder, findings)
        write_frame_list(folder / f"{split}.csv", found, _labels_of(actions[split]))
        facts[f"{split}.csv: videos"] = len(found)
    return facts


def read_actions(path: Path) -> dict[str, list[Action]]:
    """Reads a table of Charades: the actions of each video.

    The table has the columns id and actions ("c092 11.90 21.20;c147 0.00 12.60": class, begin and
    end in seconds).

    Raises:
        FileNotFoundError: the table does not exist.
        ValueError: a row cannot be read; the text names its line.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such table; `python -m data_pipelines.prepare charades --downloads` "
            "shows where to get it"
        )
    found: dict[str, list[Action]] = {}
    with io.StringIO(read_text(path, "a table of Charades"), newline="") as file:
        reader = csv.DictReader(file)
        if not {"id", "actions"} <= set(reader.fieldnames or ()):
            raise ValueError(
                f"{path}:1: found the columns {reader.fieldnames}; expected id and actions among "
                "them"
            )
        for row in reader:
            found[row["id"]] = [
                _action(path, reader.line_num, text)
                for text in (row["actions"] or "").split(";") if text
            ]
    return found


def _action(path: Path, line: int, text: str) -> Action:
    parts = text.split()
    if len(parts) != 3 or not (parts[0][:1] == "c" and parts[0][1:].isdecimal()):
        raise ValueError(
            f"{path}:{line}: action {text!r}; expected class, begin and end such as "
            "'c092 11.90 21.20'"
        )
    label = int(parts[0][1:])
    if label >= CHARADES_CLASSES:
        raise ValueError(f"{path}:{line}: action {text!r}; expected a class from c000 to c156")
    return label, *(read_number(path, line, "second", part) for part in parts[1:])


def _labels_of(actions: dict[str, list[Action]]) -> Callable[[str, int], Sequence[int]]:
    def labels(video: str, index: int) -> Sequence[int]:
        second = index / CHARADES_FPS
        return sorted({label for label, begin, end in actions[video] if begin <= second <= end})

    return labels


def _frames(
    folder: Path, findings: Findings, videos: Path | None, **options
) -> dict[str, list[str]]:
    """File names of each video's frames in folder/frames, extracted first if `videos` is given."""
    frames = folder / "frames"
    if videos is not None:
        found = by_name(videos_in(videos, findings)).values()
        return extract_all(found, frames, findings, **options)
    if not frames.is_dir():
        raise FileNotFoundError(f"{frames}: no such folder; pass --videos to extract frames")
    folders = sorted(path for path in frames.iterdir() if path.is_dir() and path.name[0] != ".")
    return {path.name: names for path in folders if (names := frame_names(path))}


def _those(
    wanted: Sequence[str], frames: dict[str, list[str]], table: Path, folder: Path,
    findings: Findings,
) -> dict[str, list[str]]:
    """The frames of the `wanted` videos; reports the videos that have none."""
    missing = [video for video in wanted if video not in frames]
    report_missing(findings, table, missing, folder / "frames", len(wanted))
    return {video: frames[video] for video in wanted if video in frames}


def _json_file(folder: Path, end: str) -> Path:
    names = [f"something-something-v2-{end}.json", f"{end}.json"]
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{folder}: contains neither {names[0]} nor {names[1]}; pass the folder of the "
            "downloaded labels"
        )
    return path


def _ids(path: Path) -> list[str]:
    try:
        return [str(entry["id"]) for entry in parse_json(path, read_text(path, "JSON"))]
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"{path}: expected a list of {{'id': ..., 'template': ...}} ({error})"
        ) from error
