"""What lists of videos and of folders of frames have in common: samples, and checks of all rows."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from data_pipelines.labels import number_in
from data_pipelines.paths import PathLike
from data_pipelines.sources.list_files import Entry, Row
from data_pipelines.sources.list_labels import label_in
from data_pipelines.sources.list_rows import Cells, Columns, Exists
from data_pipelines.text_files import OnBadRow, bad_rows, parse_rows, raise_error, shown
from data_pipelines.video import Video
from data_pipelines.video.image_files import FrameFiles
from data_pipelines.video.records import Absent, Record


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


class Layout(NamedTuple):
    """What the rows of a list have in common.

    Attributes:
        labeled: place of the first row with a label; None: no row has one.
        ignored: the column of that row that is ignored, as in `path ignored label`; or "".
    """

    labeled: str | None
    ignored: str = ""


Parse = Callable[[str, Row], Sample]  # of (place, row)


def layout_of(
    rows: Sequence[tuple[str, Row]], columns_of: Callable[[str, Row], Columns]
) -> Layout:
    """The layout of a list, known from its first row with a label."""
    for where, row in rows:
        try:
            columns = columns_of(where, row)
        except ValueError:
            continue
        if columns.labels:
            return Layout(where, columns.ignored)
    return Layout(None)


def checked_labels(
    where: str, row: Row, columns: Columns, multi_label: bool, layout: Layout | None
) -> list:
    """The labels of a row; ValueError if they do not fit the layout of the list."""
    if layout is None:
        return columns.labels
    if not columns.labels:
        if layout.labeled is None and multi_label:
            raise ValueError(
                f"{where}: no label, and no other row has one; expected 'path label label ...'"
            )
        if layout.labeled is not None and not multi_label:
            raise ValueError(
                f"{where}: no label in {_written(row)}; other rows have one, such as "
                f"{layout.labeled}; add it, or remove the row"
            )
    elif bool(columns.ignored) != bool(layout.ignored) and (
        number_in(columns.ignored or layout.ignored) is not None  # perhaps a label
    ):
        raise ValueError(
            f"{where}: {'a column' if columns.ignored else 'no column'} between path and label in "
            f"{_written(row)}, unlike in {layout.labeled}; expected the same columns in all rows "
            "(several labels need data.multi_label)"
        )
    return columns.labels


def _written(row: Row) -> str:
    """The row as written, for messages."""
    if isinstance(row, Entry):
        return shown(row.value)
    return shown(row.text if isinstance(row, Cells) else row)


def file_of(path: str, path_prefix: PathLike) -> str:
    """The file of a path in a list."""
    if "\\" in path and not existing(path_prefix)(path):  # a list written under Windows
        path = path.replace("\\", "/")
    if path.startswith("~") and not existing(path_prefix)(path):
        path = os.path.expanduser(path)
    return os.path.join(path_prefix, path)


def existing(path_prefix: PathLike) -> Exists:
    return lambda path: os.path.exists(os.path.join(path_prefix, path))


def json_labels(where: str, labels: Any, names: Mapping[str, int]) -> list:
    """The labels of an entry of a `.json` list, in which class names are replaced by numbers."""
    labels = labels if isinstance(labels, list) else [labels]
    return [
        each if not isinstance(each, str) else
        each if (label := label_in(where, each, names)) is None else label for each in labels
    ]


def read_samples(
    path: PathLike,
    rows: Sequence[tuple[str, Row]],
    num_classes: int | None,
    parse_with: Callable[[int | None], Parse],
    on_bad_rows: OnBadRow | None = None,
) -> list[Sample]:
    """The sample of each row, by `parse_with(num_classes)`.

    `on_bad_rows` is called with one error that names all bad rows; if it returns, they are skipped.
    None: this error is raised.
    """
    samples: list[Sample] = []
    try:
        with bad_rows() as on_bad_row:
            samples = parse_rows(rows, parse_with(num_classes), on_bad_row)
    except ValueError as error:
        found = error
        if num_classes and _count_from_1(rows, parse_with(None), num_classes):
            found = ValueError(
                f"{path}: its labels are 1..{num_classes}; expected 0..{num_classes - 1}: subtract "
                "1 from each"
            )
        (on_bad_rows or raise_error)(found)
    return samples


def _count_from_1(rows: Sequence[tuple[str, Row]], parse: Parse, num_classes: int) -> bool:
    """Whether the labels of a list are 1..num_classes and nothing else is wrong with it."""
    labels: set[int] = set()
    try:
        for where, row in rows:
            label = parse(where, row).label
            labels.update(label if isinstance(label, tuple) else (label,))
    except ValueError:
        return False
    return min(labels, default=0) == 1 and max(labels) == num_classes
