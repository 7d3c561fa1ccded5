"""Something-Something and Charades: frames of all videos, and frame lists."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from data_pipelines.findings import Facts, Findings
from data_pipelines.prepare.common import (
    by_name,
    extract_all,
    frame_names,
    tell_missing,
    videos_in,
    write_frame_list,
    write_text,
)
from data_pipelines.text_files import read_number

# Our list -> how the name of its label file ends.
SSV2_LABELS = {"train": "train", "val": "validation"}
CHARADES_TABLES = {"train": "Charades_v1_train.csv", "val": "Charades_v1_test.csv"}
CHARADES_FPS = 24  # of Charades_v1_rgb, the frames that there are to download
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
    """Writes folder/frames, train.csv, val.csv, and the three json files under the recipes' names.

    Args:
        annotations: folder of the json files (something-something-v2-train.json or train.json).
        videos: None takes folder/frames as it is.

    Raises:
        FileNotFoundError, ValueError: an input is missing or cannot be read.
        OSError: nothing can be written.
    """
    if annotations.resolve() == folder.resolve():
        raise ValueError(f"{folder}: the labels are in there; prepare another folder from them")
    ends = [*SSV2_LABELS.values(), "labels"]
    files = {end: _json_file(annotations, end) for end in ends}
    entries = {split: _ids(files[end]) for split, end in SSV2_LABELS.items()}
    frames = _frames(folder, findings, videos, short_side=short_side)
    facts: Facts = {"videos": len(frames), "frames": sum(map(len, frames.values()))}
    for split, ids in entries.items():
        there = _those(ids, frames, files[SSV2_LABELS[split]], folder, findings)
        write_frame_list(folder / f"{split}.csv", there)
        facts[f"{split}.csv: videos"] = len(there)
    for end, path in files.items():
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if end != "labels":  # a list and its labels have the same videos
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
    """Writes folder/frames, 24 a second, and train.csv, val.csv with the classes of each frame.

    Frame i (from 0 on) has the classes whose interval holds second i / 24.

    Args:
        annotations: folder of Charades_v1_train.csv and Charades_v1_test.csv.
        videos: None takes folder/frames as it is: the frames of Charades_v1_rgb.tar.

    Raises: as `prepare_ssv2`.
    """
    tables = {split: annotations / name for split, name in CHARADES_TABLES.items()}
    actions = {split: read_actions(path) for split, path in tables.items()}
    frames = _frames(
        folder, findings, videos, short_side=short_side, between="-", fps=CHARADES_FPS
    )
    facts: Facts = {"videos": len(frames), "frames": sum(map(len, frames.values()))}
    for split, table in tables.items():
        there = _those(list(actions[split]), frames, table, folder, findings)
        write_frame_list(folder / f"{split}.csv", there, _labels_of(actions[split]))
        facts[f"{split}.csv: videos"] = len(there)
    return facts


def read_actions(path: Path) -> dict[str, list[Action]]:
    """Actions of each video of a table of Charades, from its columns id and actions
    ("c092 11.90 21.20;c147 0.00 12.60").

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: a row that cannot be read, with its line.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such table; `python -m data_pipelines.prepare charades --downloads` "
            "tells where to get it"
        )
    found: dict[str, list[Action]] = {}
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if not {"id", "actions"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path}:1: columns {reader.fieldnames}; expected id and actions too")
        for row in reader:
            found[row["id"]] = [
                _action(path, reader.line_num, text)
                for text in (row["actions"] or "").split(";") if text
            ]
    return found


def _action(path: Path, line: int, text: str) -> Action:
    parts = text.split()
    if len(parts) != 3 or not (parts[0][:1] == "c" and parts[0][1:].isdecimal()):
        raise ValueError(f"{path}:{line}: action {text!r}; expected one as 'c092 11.90 21.20'")
    label = int(parts[0][1:])
    if label >= CHARADES_CLASSES:
        raise ValueError(f"{path}:{line}: action {text!r}; classes are c000..c156")
    return label, *(read_number(path, line, "second", part) for part in parts[1:])


def _labels_of(actions: dict[str, list[Action]]) -> Callable[[str, int], Sequence[int]]:
    def labels(video: str, index: int) -> Sequence[int]:
        second = index / CHARADES_FPS
        return sorted({label for label, begin, end in actions[video] if begin <= second <= end})

    return labels


def _frames(
    folder: Path, findings: Findings, videos: Path | None, **options
) -> dict[str, list[str]]:
    """Names of the frames of each video in folder/frames, which are extracted first if asked."""
    frames = folder / "frames"
    if videos is not None:
        return extract_all(by_name(videos_in(videos)).values(), frames, findings, **options)
    if not frames.is_dir():
        raise FileNotFoundError(f"{frames}: no such folder; tell --videos to extract frames")
    folders = sorted(path for path in frames.iterdir() if path.is_dir() and path.name[0] != ".")
    return {path.name: names for path in folders if (names := frame_names(path))}


def _those(
    wanted: Sequence[str], frames: dict[str, list[str]], table: Path, folder: Path,
    findings: Findings,
) -> dict[str, list[str]]:
    missing = [video for video in wanted if video not in frames]
    tell_missing(findings, table, missing, folder / "frames", len(wanted))
    return {video: frames[video] for video in wanted if video in frames}


def _json_file(folder: Path, end: str) -> Path:
    names = [f"something-something-v2-{end}.json", f"{end}.json"]
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{folder}: neither {names[0]} nor {names[1]} in it")
    return path


def _ids(path: Path) -> list[str]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
        return [str(entry["id"]) for entry in entries]
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path}: expected a list of {{'id': ..., 'template': ...}} ({error})"
        ) from error
