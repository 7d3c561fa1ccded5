"""Lists with one row per frame, PySlowFast's format for Something-Something and Charades:

    original_vido_id video_id frame_id path labels
    46GP8 0 0 46GP8/46GP8-000001.jpg "92,147"

Such a list has millions of rows. It is read in one pass, about a million rows per second, and one
path is kept for each video (see image_files.FrameFiles).
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.labels import MOST_CLASSES, class_names
from data_pipelines.paths import PathLike
from data_pipelines.sources.list_samples import Sample
from data_pipelines.text_files import (
    OnBadRow,
    bad_rows,
    bad_rows_together,
    parse_json,
    parse_rows,
    raise_error,
    read_each,
    read_text,
    short_lines,
    shown,
    why_not_utf8,
)
from data_pipelines.video.image_files import FrameFiles, frame_files

HEADER = "original_vido_id video_id frame_id path labels"


def read_charades(
    path: PathLike,
    *,
    path_prefix: PathLike = "",
    num_classes: int | None = None,
    per_frame: bool = False,
    on_bad_rows: OnBadRow | None = None,
) -> list[Sample]:
    """Reads a frame list of Charades; the label of a video is the union over its frames.

    Samples are named by `original_vido_id`, in the order in which they first occur; the label of a
    video without labels is (). Frames are in the order of their rows.

    Args:
        path_prefix: folder prepended to each path that is not absolute.
        num_classes: labels must lie within 0..num_classes-1.
        per_frame: also keep the classes of each frame, which training uses.
        on_bad_rows: see `list_samples.read_samples`; labels of bad rows are left out.

    Raises:
        FileNotFoundError: the list does not exist.
        ValueError: a row is invalid (the message names its line), or there are no rows.
    """
    files: dict[str, FrameFiles] = {}
    labels: dict[str, set[int]] = {}
    of_frames: dict[str, list[tuple[int, ...]]] = {}
    known: dict[str, tuple[int, ...]] = {}  # text of the last column -> its classes

    def runs(on_bad_row: OnBadRow) -> Iterator[tuple[str, list[str]]]:
        for video, rows in read_runs(Path(path), on_bad_row):
            of_video = labels.setdefault(video, set())
            for number, _, text in rows:
                if text not in known:
                    known[text] = ()
                    try:
                        known[text] = read_classes(f"{path}:{number}", text, num_classes)
                    except ValueError as error:
                        on_bad_row(error)
                of_video.update(known[text])
            if per_frame:
                of_frames.setdefault(video, []).extend(known[text] for _, _, text in rows)
            yield video, [frame for _, frame, _ in rows]

    with bad_rows_together(on_bad_rows) as on_bad_row:
        files = collect_frames(runs(on_bad_row), path_prefix)
    return [
        Sample(
            video, tuple(sorted(labels[video])), frames,
            tuple(of_frames[video]) if per_frame else None,
        )
        for video, frames in files.items()
    ]


def read_ssv2(
    path: PathLike,
    *,
    class_list: PathLike,
    labels: PathLike,
    path_prefix: PathLike = "",
    on_bad_rows: OnBadRow | None = None,
) -> list[Sample]:
    """Reads a frame list of Something-Something and its label file.

    Samples are named by their id, in the order of `labels` as in the original.

    Args:
        class_list: something-something-v2-labels.json, {name: class}.
        labels: something-something-v2-validation.json, [{"id": video, "template": name, ...}].
            Templates have brackets that the class list lacks.
        path_prefix: folder prepended to each path that is not absolute.
        on_bad_rows: see `list_samples.read_samples`.

    Raises:
        FileNotFoundError: one of the files does not exist.
        ValueError: a row or entry is invalid (the message names it), a template is not in the class
            list, or a video is in only one of `path` and `labels`.
    """
    path, labels = Path(path), Path(labels)
    names, templates, files = read_each(
        lambda: read_class_list(class_list),
        lambda: _read_templates(labels),
        lambda: _read_frames(path, path_prefix),
    )
    by_video = _classes_of(templates, names, class_list, on_bad_rows)
    labeled = {video for _, video, _ in templates}
    for missing, there, absent in (
        (files.keys() - labeled, path, labels), (labeled - files.keys(), labels, path)
    ):
        if missing:
            raise ValueError(
                f"{absent}: {len(missing)} of the videos of {there} are not in it, for example "
                f"{min(missing)}; a frame list and its label file (config.data.test_list, "
                "config.data.val_labels) must hold the same videos"
            )
    return [Sample(video, label, files[video]) for video, label in by_video.items()]


def read_ssv2_videos(
    folder: PathLike, *, class_list: PathLike, labels: PathLike,
    on_bad_rows: OnBadRow | None = None,
) -> list[Sample]:
    """As `read_ssv2`, for the original video files: `folder`/78687.webm and so on."""
    names, templates = read_each(
        lambda: read_class_list(class_list), lambda: _read_templates(labels)
    )
    return [
        Sample(os.path.join(folder, f"{video}.webm"), label)
        for video, label in _classes_of(templates, names, class_list, on_bad_rows).items()
    ]


def read_class_list(path: PathLike) -> list[str]:
    """The class names of Something-Something's something-something-v2-labels.json."""
    _check_there(path, "class_list")
    return class_names(path)


def _check_there(path: PathLike, field: str) -> None:
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"{path}: no such file; config.data.{field} names the data set's json file in "
            "config.data.root"
        )


def _read_templates(path: Path) -> list[tuple[str, str, str]]:
    """(place, video, template) of each entry of a label file; the place is for messages."""
    _check_there(path, "val_labels")
    entries = parse_json(path, read_text(path, "a list of videos in JSON"))
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path}: expected a list of {{'id': ..., 'template': ...}}")
    numbered = [(f"{path}, entry {number}", entry) for number, entry in enumerate(entries, 1)]
    return parse_rows(numbered, _template)


def _template(where: str, entry: Any) -> tuple[str, str, str]:
    if not isinstance(entry, dict) or not {"id", "template"} <= entry.keys():
        raise ValueError(
            f"{where}: found {shown(entry)}; expected the keys id and template (the labels of the "
            "test set are not public: evaluate on the validation set)"
        )
    video, name = entry["id"], entry["template"]
    if not isinstance(video, str | int) or not isinstance(name, str):
        raise ValueError(f"{where}: id {shown(video)} and template {shown(name)}; expected texts")
    return where, str(video), name.replace("[", "").replace("]", "")


def _classes_of(
    templates: Iterable[tuple[str, str, str]], names: Sequence[str], class_list: PathLike,
    on_bad_rows: OnBadRow | None,
) -> dict[str, int]:
    """The class of each video; templates that are not in the class list are bad rows."""
    classes = {name: number for number, name in enumerate(names)}

    def parse(where: str, entry: tuple[str, str]) -> tuple[str, int]:
        video, name = entry
        if name not in classes:
            raise ValueError(
                f"{where}: template {shown(name)} is not in the class list {class_list}"
            )
        return video, classes[name]

    rows = ((where, (video, name)) for where, video, name in templates)
    with bad_rows_together(on_bad_rows) as on_bad_row:
        found = dict(parse_rows(rows, parse, on_bad_row))
    return found


def _read_frames(path: Path, path_prefix: PathLike) -> dict[str, FrameFiles]:
    """The frames of each video of a frame list, whatever its labels."""
    with bad_rows() as on_bad_row:
        runs = read_runs(path, on_bad_row)
        files = collect_frames(
            ((video, [frame for _, frame, _ in rows]) for video, rows in runs), path_prefix
        )
    return files


def collect_frames(
    runs: Iterable[tuple[str, list[str]]], path_prefix: PathLike
) -> dict[str, FrameFiles]:
    """The frames of each video, from (video, paths) of successive rows."""
    files: dict[str, FrameFiles] = {}
    later: dict[str, list[str]] = {}  # of videos whose rows are not all successive
    for video, paths in runs:
        if video not in files:
            files[video] = frame_files(video, paths, path_prefix)
        else:
            later.setdefault(video, []).extend(paths)
    for video, paths in later.items():
        before = [files[video].path(index) for index in range(files[video].count)]
        paths = [os.path.join(path_prefix, path) for path in paths]
        files[video] = frame_files(video, before + paths)
    return files


def read_runs(
    path: Path, on_bad_row: OnBadRow = raise_error
) -> Iterator[tuple[str, list[tuple[int, str, str]]]]:
    """Yields successive rows of the same video: (video, (line, path, labels) of each row).

    `on_bad_row` is called for rows with another number of columns; if it returns, they are skipped.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such list of frames; set config.data.root to the folder of the lists and "
            "config.data.train_list, config.data.val_list, config.data.test_list to their names"
        )
    video, rows = "", []
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = short_lines(path, file)
            _check_header(path, next(lines, ""))
            for number, line in enumerate(lines, 2):
                row = line.split()
                if not row:
                    continue
                if len(row) != 5:
                    on_bad_row(ValueError(
                        f"{path}:{number}: {len(row)} columns in {line.strip()!r}; expected 5, "
                        f"{HEADER!r}"
                    ))
                    continue
                if row[0] != video:
                    if rows:
                        yield video, rows
                    video, rows = row[0], []
                rows.append((number, row[3], row[4]))
    except UnicodeDecodeError as error:
        reason = why_not_utf8(path) or error
        raise ValueError(f"{path}: is not UTF-8 text ({reason}); expected a frame list") from error
    if not rows:
        raise ValueError(f"{path}: the list is empty; expected rows {HEADER!r}")
    yield video, rows


def _check_header(path: Path, line: str) -> None:
    if line and line.split()[:1] not in (["original_vido_id"], ["original_video_id"]):
        raise ValueError(
            f"{path}:1: found {line.strip()!r}; expected the header {HEADER!r} of a frame list (a "
            "list with a row for each video is read with data.format=kinetics, or rawframes where "
            "videos are folders of frames)"
        )


def read_classes(where: str, text: str, num_classes: int | None) -> tuple[int, ...]:
    """Parses the classes of one frame from text like "92,147", quotes included."""
    try:
        numbers = tuple(int(part) for part in text.replace('"', "").split(",") if part)
    except ValueError:
        raise ValueError(
            f"{where}: labels {text}; expected class numbers like \"92,147\" or \"\""
        ) from None
    for number in numbers:
        if not 0 <= number < (num_classes or MOST_CLASSES):
            known = f"0..{(num_classes or MOST_CLASSES) - 1}"
            raise ValueError(f"{where}: label {number}; expected a class within {known}")
    return numbers
