"""Lists with one row per video and its label, in the formats of PySlowFast and MMAction2.

Lists with one row per frame are in frame_lists.py. A list is read at once: 650,000 rows
(Kinetics-700) take about three seconds and 200 MB, so that the original's reading in chunks
(LOADER_CHUNK_SIZE) is not needed. Videos are opened only when they are used.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from data_pipelines.labels import MOST_CLASSES, class_names
from data_pipelines.paths import PathLike
from data_pipelines.sources.list_rows import (
    COUNT,
    NAMED_LABEL,
    OFFSET,
    PATH,
    Cells,
    folder_columns,
    labels_in,
    split_row,
    with_header,
)
from data_pipelines.text_files import parse_json, parse_rows, read_text, short_lines, shown
from data_pipelines.video import Video
from data_pipelines.video.image_files import FrameFiles, literal
from data_pipelines.video.records import Absent, Record

TEMPLATE = "img_{:05d}.jpg"  # of MMAction2's frames
FIRST_ROWS = 5  # of a list, whose videos show where its paths start


@dataclass(frozen=True, slots=True)
class Sample:
    """A labeled video.

    Attributes:
        path: its file; of a video that is not a file, its name.
        label: its class, or a tuple of classes if the list was read as multi-label.
        frames: its image files, if it is stored as images.
        frame_labels: the classes of each frame, if they were asked for.
        record: its record, if it is stored in one.
    """

    path: str
    label: int | tuple[int, ...]
    frames: FrameFiles | None = None
    frame_labels: tuple[tuple[int, ...], ...] | None = None
    record: Record | Absent | None = None

    @property
    def source(self) -> Video:
        """The video itself, to be read."""
        return self.frames or self.record or self.path


class Entry(NamedTuple):
    """An entry of a `.json` list, not yet checked."""

    value: Any


Row = str | Cells | Entry  # of a list: as written, below a header, or of a `.json` list


def read_list(
    path: PathLike,
    *,
    separator: str = " ",
    path_prefix: PathLike = "",
    num_classes: int | None = None,
    multi_label: bool = False,
) -> list[Sample]:
    """Reads a list of video files: Kinetics-style, UCF-101, HMDB-51, MMAction2's VideoDataset.

    Rows are `path label`, `path` (whose label is then 0), or `path ignored label`; with
    `multi_label`, `path label label ...` (list_rows.py). Labels may be class names if classes.txt
    beside the list has them. Blank lines are skipped. A `.json` file holds a list of {"filename":
    path, "label": class or list of classes}.

    Args:
        separator: between columns; a blank stands for blanks and tabs, and recognizes commas,
            semicolons and bars.
        path_prefix: folder prepended to each path that is not absolute. "" is the current folder,
            or the folder of the list if the videos are there.
        num_classes: labels must lie within 0..num_classes-1.

    Raises:
        FileNotFoundError: the list does not exist.
        ValueError: a row is invalid (the message names its line), or there are no rows.
    """
    rows = list_rows(path)
    names = numbers_beside(path)
    prefix = prefix_of(path, rows, separator, path_prefix, multi_label, names)
    return _samples(path, rows, num_classes, lambda where, row, classes: video_sample(
        where, row, separator, prefix, classes, multi_label, names
    ))


def numbers_beside(path: PathLike) -> dict[str, int]:
    """The numbers of the classes in classes.txt beside a list, by name; {} without this file."""
    file = Path(path).with_name("classes.txt")
    if not file.is_file():
        return {}
    return {name: number for number, name in enumerate(class_names(file))}


def prefix_of(
    path: PathLike,
    rows: Sequence[tuple[str, Row]],
    separator: str,
    path_prefix: PathLike,
    multi_label: bool,
    names: Mapping[str, int],
) -> PathLike:
    """The folder that relative paths of a list start from.

    It is `path_prefix`; if that is empty and the first videos are not in the current folder but in
    the folder of the list, it is the latter. Other arguments are those of `video_sample`.
    """
    beside = Path(path).parent
    if os.fspath(path_prefix) or beside == Path():
        return path_prefix
    for where, row in rows[:FIRST_ROWS]:
        try:
            here, there = (
                video_sample(where, row, separator, prefix, None, multi_label, names).path
                for prefix in ("", beside)
            )
        except ValueError:
            continue
        if os.path.exists(here):
            return ""
        if os.path.exists(there):
            return beside
    return path_prefix


def video_sample(
    where: str,
    row: Row,
    separator: str,
    path_prefix: PathLike,
    num_classes: int | None,
    multi_label: bool,
    names: Mapping[str, int] = MappingProxyType({}),
) -> Sample:
    """Parses one row of `list_rows`.

    Args:
        names: numbers of the classes by name, for labels that are names.
        other arguments, and errors: as for `read_list`.
    """
    def exists(video: str) -> bool:
        return os.path.exists(os.path.join(path_prefix, video))

    if isinstance(row, Entry):
        video, labels = _values(where, row.value, "filename", "label")
        labels = labels if isinstance(labels, list) else [labels]
        labels = [names.get(each, each) if isinstance(each, str) else each for each in labels]
    elif isinstance(row, Cells):
        video, labels = row.values[PATH], labels_in(row.values.get(NAMED_LABEL, ""), names)
    else:
        video, labels = split_row(where, row, separator, multi_label, exists=exists, names=names)
        if not labels and not multi_label:
            labels = ["0"]
    if "\\" in video and not exists(video):  # a list written under Windows
        video = video.replace("\\", "/")
    label = read_label(where, labels, num_classes, multi_label)
    return Sample(os.path.join(path_prefix, video), label)


def read_frame_list(
    path: PathLike,
    *,
    path_prefix: PathLike = "",
    template: str = TEMPLATE,
    num_classes: int | None = None,
    multi_label: bool = False,
    start: int | None = None,
    with_offset: bool = False,
) -> list[Sample]:
    """Reads MMAction2's RawframeDataset list: rows `folder total_frames label`.

    With `multi_label` several labels may follow. A `.json` file holds a list of {"frame_dir": path,
    "total_frames": number, "label": class or list of classes}. Otherwise as `read_list`.

    Args:
        template: format of the file names of frames, with a field for the number.
        start: number of the first file of every folder (MMAction2's start_index); None: the lowest
            number in the folder, which is found when the video is read.
        with_offset: rows are `folder offset total_frames label`, and entries of a `.json` file have
            the key "offset": the video begins that many files after the first one.

    Raises:
        FileNotFoundError, ValueError: as `read_list`, and for a template without such a field.
    """
    check_template(template)
    return _samples(path, list_rows(path), num_classes, lambda where, row, classes: folder_sample(
        where, row, template, path_prefix, classes, multi_label, start, with_offset
    ))


def _samples(
    path: PathLike,
    rows: Sequence[tuple[str, Row]],
    num_classes: int | None,
    parse: Callable[[str, Row, int | None], Sample],
) -> list[Sample]:
    """The sample of each row, by `parse(where, row, num_classes)`; ValueError names all bad rows.
    """
    try:
        return parse_rows(rows, lambda where, row: parse(where, row, num_classes))
    except ValueError as error:
        if num_classes and _count_from_1(rows, parse, num_classes):
            raise ValueError(
                f"{path}: its labels are 1..{num_classes}; expected 0..{num_classes - 1}: subtract "
                "1 from each"
            ) from error
        raise


def _count_from_1(
    rows: Sequence[tuple[str, Row]], parse: Callable[[str, Row, None], Sample], num_classes: int
) -> bool:
    """Whether the labels of a list are 1..num_classes and nothing else is wrong with it."""
    labels: set[int] = set()
    try:
        for where, row in rows:
            label = parse(where, row, None).label
            labels.update(label if isinstance(label, tuple) else (label,))
    except ValueError:
        return False
    return min(labels, default=0) == 1 and max(labels) == num_classes


def folder_sample(
    where: str,
    row: Row,
    template: str,
    path_prefix: PathLike,
    num_classes: int | None,
    multi_label: bool,
    start: int | None = None,
    with_offset: bool = False,
) -> Sample:
    """Parses one row of `list_rows`; arguments and errors are those of `read_frame_list`."""
    names = ["folder", *["offset"] * with_offset, "total_frames", "label"]
    if isinstance(row, Entry):
        keys = ["frame_dir", *names[1:]]
        folder, *before, count, labels = _values(where, row.value, *keys)
        labels = labels if isinstance(labels, list) else [labels]
    elif isinstance(row, Cells):
        folder, count = row.values[PATH], row.values.get(COUNT, "")
        before = [row.values.get(OFFSET, "")] if with_offset else []
        labels = labels_in(row.values.get(NAMED_LABEL, ""), {})
    else:
        columns = folder_columns(row)
        if len(columns) < len(names) or (len(columns) > len(names) and not multi_label):
            raise ValueError(
                f"{where}: {len(columns)} columns in {row!r}; expected {' '.join(names)!r}"
                + ("" if with_offset or len(columns) != 4 else
                   " (the column offset of MMAction2 needs data.frame_offset)")
            )
        folder, *before = columns[: 1 + with_offset]
        count, *labels = columns[1 + with_offset :]
        labels = labels_in(" ".join(labels), {})
    label = read_label(where, labels, num_classes, multi_label)
    frames = _integer(where, "total_frames", count)
    if frames < 1:
        raise ValueError(f"{where}: total_frames is {frames}; expected at least 1")
    folder = os.path.join(path_prefix, folder)
    files = os.path.join(literal(folder), template)
    offset = _integer(where, "offset", before[0]) if before else 0
    if offset < 0:
        raise ValueError(f"{where}: offset is {offset}; expected 0 or more")
    if start is not None:
        return Sample(folder, label, FrameFiles(folder, frames, files, first=start + offset))
    return Sample(folder, label, FrameFiles(folder, frames, files, first=None, offset=offset))


def check_template(template: str) -> None:
    """ValueError if the template of `read_frame_list` has no field for a number."""
    try:
        if template.format(1) != template.format(2):
            return
        problem = "has no place for the number"
    except (LookupError, ValueError) as error:
        problem = f"does not take a number ({error})"
    raise ValueError(
        f"data.frame_template {template!r} {problem}; expected something like 'img_{{:05d}}.jpg'"
    )


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such list of videos; set data.root to the folder of the lists and "
            "data.train_list, data.val_list, data.test_list to their names"
        )
    return read_text(path, "a list")


def list_rows(path: PathLike) -> list[tuple[str, Row]]:
    """(place, row) of each line that is not blank, or of each entry of a `.json` file.

    A header is not among the rows; those below it are `Cells`. The place, for
    messages, is the file with the line or the number of the entry.

    Raises:
        FileNotFoundError: the list does not exist.
        ValueError: it is not text, not JSON, or has no rows, or it is a table of another kind.
    """
    path = Path(path)
    text = _read_text(path)
    if path.suffix == ".json":
        return _json_rows(path, text)
    rows = [
        (f"{path}:{number}", line)
        for number, text in enumerate(short_lines(path, text.splitlines()), 1)
        if (line := text.strip())
    ]
    if not rows:
        raise ValueError(f"{path}: the list is empty; expected rows 'path label'")
    return with_header(path, rows)


def _json_rows(path: Path, text: str) -> list[tuple[str, Entry]]:
    entries = parse_json(path, text)
    if not isinstance(entries, list) or not entries:
        raise ValueError(
            f"{path}: expected a list of {{'filename': ..., 'label': ...}}, or of frames "
            "{'frame_dir': ..., 'total_frames': ..., 'label': ...}"
        )
    return [(f"{path}, entry {number}", Entry(entry)) for number, entry in enumerate(entries, 1)]


def _values(where: str, entry: Any, *keys: str) -> list:
    """The values of the keys of an entry of a `.json` list, the first of which is a path."""
    if not isinstance(entry, dict) or (missing := [key for key in keys if key not in entry]):
        found = shown(entry)
        if isinstance(entry, dict):
            found = f"no {', '.join(missing)} in {found}"
        raise ValueError(f"{where}: found {found}; expected the keys {', '.join(keys)}")
    if not isinstance(entry[keys[0]], str):
        raise ValueError(f"{where}: {keys[0]} is {shown(entry[keys[0]])}; expected a path")
    return [entry[key] for key in keys]


def read_label(
    where: str, labels: list, num_classes: int | None, multi_label: bool
) -> int | tuple[int, ...]:
    """The class of one row, or with `multi_label` a tuple of its classes.

    Raises:
        ValueError: no label, one that is not an integer or out of range, or several without
            `multi_label`; the message names the row.
    """
    numbers = tuple(_integer(where, "label", label) for label in labels)
    if not numbers or (len(numbers) > 1 and not multi_label):
        raise ValueError(
            f"{where}: {len(numbers)} labels; expected "
            + ("at least one" if multi_label else "one (several need data.multi_label)")
        )
    for number in numbers:
        if not 0 <= number < (num_classes or MOST_CLASSES):
            raise ValueError(
                f"{where}: label {number}; expected a class within "
                f"0..{(num_classes or MOST_CLASSES) - 1} (labels count from 0; "
                "the number of classes is model.num_classes)"
            )
    return numbers if multi_label else numbers[0]


def _integer(where: str, what: str, value: str | int) -> int:
    """`value` as an integer of at most 32 bits; JSON's true and 1.5 are refused."""
    try:
        whole = isinstance(value, str | int) or isinstance(value, float) and value.is_integer()
        if whole and not isinstance(value, bool):
            number = int(value)
            if abs(number) < 2**31:
                return number
    except ValueError:
        pass
    raise ValueError(f"{where}: {what} {shown(value)}; expected an integer")
