"""Lists with one row per video and its label, in the formats of PySlowFast and MMAction2.

Lists with one row per frame are in frame_lists.py. A list is read at once: 650,000 rows
(Kinetics-700) take about six seconds and 200 MB, so that the original's reading in chunks
(LOADER_CHUNK_SIZE) is not needed. Videos are opened only when they are used.
"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

from data_pipelines.labels import number_in
from data_pipelines.paths import PathLike
from data_pipelines.sources.list_files import (
    COUNT,
    NAMED_LABEL,
    OFFSET,
    PATH,
    Entry,
    Row,
    list_rows,
    numbers_beside,
    values_of,
)
from data_pipelines.sources.list_labels import labels_in, read_integer, read_label
from data_pipelines.sources.list_rows import Cells, Columns, split_folder_row, split_row
from data_pipelines.sources.list_samples import (
    Layout,
    Parse,
    Sample,
    checked_labels,
    existing,
    file_of,
    json_labels,
    layout_of,
    read_samples,
)
from data_pipelines.text_files import OnBadRow
from data_pipelines.video.image_files import FrameFiles, literal

__all__ = [
    "TEMPLATE", "Entry", "Row", "Sample", "check_template", "folder_parser", "folder_sample",
    "list_rows", "numbers_beside", "prefix_of", "read_frame_list", "read_list", "row_parser",
    "video_sample",
]

TEMPLATE = "img_{:05d}.jpg"  # of MMAction2's frames
FIRST_ROWS = 5  # of a list, whose videos show where its paths start


def read_list(
    path: PathLike,
    *,
    separator: str = " ",
    path_prefix: PathLike = "",
    num_classes: int | None = None,
    multi_label: bool = False,
    on_bad_rows: OnBadRow | None = None,
) -> list[Sample]:
    """Reads a list of video files: Kinetics-style, UCF-101, HMDB-51, MMAction2's VideoDataset.

    Rows are `path label` or `path ignored label`; with `multi_label`, `path label label ...`, or
    `path` for a video without any of the classes (list_rows.py). In lists without any label, such
    as those of videos to recognize, each label is 0. Labels may be class names if classes.txt
    beside the list has them. Blank lines and those that begin with `# ` are skipped. A `.json` file
    holds a list of {"filename": path, "label": class or list of classes}.

    Args:
        separator: between columns; a blank stands for blanks and tabs, and recognizes commas,
            semicolons and bars.
        path_prefix: folder prepended to each path that is not absolute. "" is the current folder,
            or the folder of the list if the videos are there.
        num_classes: labels must lie within 0..num_classes-1.
        on_bad_rows: as for `read_samples`.

    Raises:
        FileNotFoundError: the list does not exist.
        ValueError: a row is invalid (the message names its line), or there are no rows.
    """
    rows = list_rows(path)

    def parse_with(classes: int | None) -> Parse:
        return row_parser(
            path, rows, separator=separator, path_prefix=path_prefix, num_classes=classes,
            multi_label=multi_label,
        )

    return read_samples(path, rows, num_classes, parse_with, on_bad_rows)


def row_parser(
    path: PathLike,
    rows: Sequence[tuple[str, Row]],
    *,
    separator: str = " ",
    path_prefix: PathLike = "",
    num_classes: int | None = None,
    multi_label: bool = False,
    names: Mapping[str, int] | None = None,
) -> Parse:
    """Returns the function that parses each of `rows`, the `list_rows` of a list of videos.

    Args:
        names: numbers of the classes by name; None: those of classes.txt beside the list.
        other arguments, and errors of the function: as for `read_list`.
    """
    names = numbers_beside(path) if names is None else names
    prefix = prefix_of(path, rows, separator, path_prefix, multi_label, names)
    layout = layout_of(rows, lambda where, row: _columns(
        where, row, separator, prefix, multi_label, names
    ))
    return partial(
        video_sample, separator=separator, path_prefix=prefix, num_classes=num_classes,
        multi_label=multi_label, names=names, layout=layout,
    )


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
        return os.path.expanduser(path_prefix)
    for where, row in rows[:FIRST_ROWS]:
        try:
            here, there = (
                file_of(_columns(where, row, separator, prefix, multi_label, names).path, prefix)
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
    layout: Layout | None = None,
) -> Sample:
    """Parses one row of `list_rows`.

    Args:
        names: numbers of the classes by name, for labels that are names.
        layout: what the rows of the list have in common; None: not checked.
        other arguments, and errors: as for `read_list`.
    """
    columns = _columns(where, row, separator, path_prefix, multi_label, names)
    labels = checked_labels(where, row, columns, multi_label, layout)
    if not labels and isinstance(row, str) and not multi_label:
        labels = ["0"]
    label = read_label(where, labels, num_classes, multi_label)
    return Sample(file_of(columns.path, path_prefix), label)


def _columns(
    where: str,
    row: Row,
    separator: str,
    path_prefix: PathLike,
    multi_label: bool,
    names: Mapping[str, int],
) -> Columns:
    """The path and the labels of a row; arguments and errors are those of `video_sample`."""
    if isinstance(row, Entry):
        video, labels = values_of(where, row.value, "filename", "label")
        return Columns(video, json_labels(where, labels, names))
    if isinstance(row, Cells):
        return Columns(row.values[PATH], labels_in(where, row.values[NAMED_LABEL], names)
                       if NAMED_LABEL in row.values else [])
    columns = split_row(
        where, row, separator, multi_label, exists=existing(path_prefix), names=names
    )
    if row[0] == "#":
        _refuse_comment(where, columns.path, path_prefix)
    return columns


def _refuse_comment(where: str, path: str, path_prefix: PathLike) -> None:
    """ValueError if a row that begins with # is no path, but would be one without it."""
    exists = existing(path_prefix)
    if not exists(path) and exists(path.lstrip("#")):
        raise ValueError(
            f"{where}: no file {path!r}, but {path.lstrip('#')!r} exists; write a comment with a "
            "blank after the '#'"
        )


def read_frame_list(
    path: PathLike,
    *,
    path_prefix: PathLike = "",
    template: str = TEMPLATE,
    num_classes: int | None = None,
    multi_label: bool = False,
    start: int | None = None,
    with_offset: bool = False,
    on_bad_rows: OnBadRow | None = None,
) -> list[Sample]:
    """Reads MMAction2's RawframeDataset list: rows `folder total_frames label`.

    With `multi_label` several labels may follow, or none. A `.json` file holds a list of
    {"frame_dir": path, "total_frames": number, "label": class or list of classes}. Otherwise as
    `read_list`.

    Args:
        template: format of the file names of frames, with a field for the number.
        start: number of the first file of every folder (MMAction2's start_index); None: the lowest
            number in the folder, which is found when the video is read.
        with_offset: rows are `folder offset total_frames label`, and entries of a `.json` file have
            the key "offset": the video begins that many files after the first one.
        on_bad_rows: as for `read_samples`.

    Raises:
        FileNotFoundError, ValueError: as `read_list`, and for a template without such a field.
    """
    check_template(template)
    rows = list_rows(path)

    def parse_with(classes: int | None) -> Parse:
        return folder_parser(
            path, rows, template=template, path_prefix=path_prefix, num_classes=classes,
            multi_label=multi_label, start=start, with_offset=with_offset,
        )

    return read_samples(path, rows, num_classes, parse_with, on_bad_rows)


def folder_parser(
    path: PathLike,
    rows: Sequence[tuple[str, Row]],
    *,
    path_prefix: PathLike = "",
    template: str = TEMPLATE,
    num_classes: int | None = None,
    multi_label: bool = False,
    start: int | None = None,
    with_offset: bool = False,
    names: Mapping[str, int] | None = None,
) -> Parse:
    """Returns the function that parses each of `rows`, the `list_rows` of a list of folders.

    Args:
        names: numbers of the classes by name; None: those of classes.txt beside the list.
        other arguments, and errors of the function: as for `read_frame_list`.
    """
    names = numbers_beside(path) if names is None else names
    prefix = os.path.expanduser(path_prefix)
    layout = layout_of(rows, lambda where, row: _folder_columns(
        where, row, prefix, multi_label, with_offset, names
    ))
    return partial(
        folder_sample, template=template, path_prefix=prefix, num_classes=num_classes,
        multi_label=multi_label, start=start, with_offset=with_offset, names=names, layout=layout,
    )


def folder_sample(
    where: str,
    row: Row,
    template: str,
    path_prefix: PathLike,
    num_classes: int | None,
    multi_label: bool,
    start: int | None = None,
    with_offset: bool = False,
    names: Mapping[str, int] = MappingProxyType({}),
    layout: Layout | None = None,
) -> Sample:
    """Parses one row of `list_rows`.

    Args:
        names, layout: as for `video_sample`.
        other arguments, and errors: as for `read_frame_list`.
    """
    columns = _folder_columns(where, row, path_prefix, multi_label, with_offset, names)
    labels = checked_labels(where, row, columns, multi_label, layout)
    label = read_label(where, labels, num_classes, multi_label)
    *before, count = columns.counts
    frames = read_integer(where, "total_frames", count)
    if frames < 1:
        raise ValueError(f"{where}: total_frames is {frames}; expected at least 1")
    folder = file_of(columns.path, path_prefix)
    files = os.path.join(literal(folder), template)
    offset = read_integer(where, "offset", before[0]) if before else 0
    if offset < 0:
        raise ValueError(f"{where}: offset is {offset}; expected 0 or more")
    if start is not None:
        return Sample(folder, label, FrameFiles(folder, frames, files, first=start + offset))
    return Sample(folder, label, FrameFiles(folder, frames, files, first=None, offset=offset))


def _folder_columns(
    where: str,
    row: Row,
    path_prefix: PathLike,
    multi_label: bool,
    with_offset: bool,
    names: Mapping[str, int],
) -> Columns:
    """The columns of a row; arguments and errors are those of `folder_sample`."""
    counts = [OFFSET, COUNT] if with_offset else [COUNT]
    if isinstance(row, Entry):
        folder, *found, labels = values_of(where, row.value, "frame_dir", *counts, "label")
        return Columns(folder, json_labels(where, labels, names), counts=tuple(found))
    if isinstance(row, Cells):
        if missing := [name for name in counts if name not in row.values]:
            raise ValueError(
                f"{where}: no column {' and '.join(missing)} in the header {row.header!r}; "
                f"expected {','.join(['path', *counts, 'label'])}"
            )
        return Columns(
            row.values[PATH], labels_in(where, row.values.get(NAMED_LABEL, ""), names),
            counts=tuple(number_in(row.values[name]) or row.values[name] for name in counts),
        )
    return split_folder_row(
        where, row, " ".join(["folder", *counts, "label"]), multi_label,
        exists=existing(path_prefix), names=names,
    )


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


