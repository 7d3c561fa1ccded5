"""Files of lists: their rows, headers that name the columns, and tables of other kinds."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_pipelines.labels import class_names
from data_pipelines.paths import PathLike
from data_pipelines.sources.box_tables import HEADER as BOX_HEADER
from data_pipelines.sources.list_labels import BLANK, OTHERS
from data_pipelines.sources.list_rows import Cells, is_video_name
from data_pipelines.text_files import parse_json, read_text, short_lines, shown

PATH, OFFSET, COUNT, NAMED_LABEL = "path", "offset", "total_frames", "label"
# Names of the columns in a header, the preferred ones first.
COLUMNS = {
    PATH: (
        "path", "filepath", "file_path", "video_path", "filename", "file_name", "file", "video",
        "video_name", "clip", "clip_path", "frame_dir", "folder", "dir", "name", "id", "video_id",
    ),
    OFFSET: ("offset",),
    COUNT: ("total_frames", "num_frames", "n_frames", "frames", "count"),
    NAMED_LABEL: (
        "label", "labels", "label_id", "class_id", "class_index", "target", "class", "category",
        "category_id", "class_name", "action",
    ),
}
ORDER = (PATH, OFFSET, COUNT, NAMED_LABEL)  # of the columns in lists without a header
KINETICS = (
    "a table of Kinetics' annotations, which names no files; write lists with `python -m "
    "data_pipelines.prepare kinetics OUT --videos DOWNLOADED --train {path}`"
)
BOXES = "a table of boxes; it is read with data.format=boxes"
# Columns by which tables of other kinds are known, and what to do with them.
FOREIGN: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"youtube_id"}), KINETICS),
    (frozenset({"x1", "y1", "x2", "y2", "time"}), BOXES),
    (frozenset({"frame_id", "video_id"}),
     "a list of frames; it is read with data.format=charades or ssv2"),
    (frozenset({"shard", "record"}), "a list of records; it is read with data.format=records"),
    (frozenset({"id", "script", "actions"}),
     "a table of Charades' annotations; write lists with `python -m data_pipelines.prepare "
     "charades OUT --annotations FOLDER`"),
)
# Names that people give to the coordinates of boxes, four of which make a table of boxes.
COORDINATES = {
    "x", "y", "w", "h", "width", "height", "left", "top", "right", "bottom", "cx", "cy",
    *(f"{axis}{join}{end}" for axis in "xy" for join in ("", "_") for end in
      ("0", "1", "2", "min", "max", "center")),
}
WRONG_BOXES = (
    f"{BOXES} and the header {BOX_HEADER}, in which x1,y1 and x2,y2 are opposite corners as "
    "fractions of the frame"
)
UNNAMED_BOXES = (
    "a table of boxes without a header; AVA's are read with data.format=ava, others with "
    f"data.format=boxes and the header {BOX_HEADER}"
)
COMMENT = "# "  # begins a line that is no row
YOUTUBE_ID = re.compile(r"[\w-]{11}")


class Entry(NamedTuple):
    """An entry of a `.json` list, not yet checked."""

    value: Any


Row = str | Cells | Entry  # of a list: as written, below a header, or of a `.json` list


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such list of videos; set config.data.root to the folder of the lists and "
            "config.data.train_list, config.data.val_list, config.data.test_list to their names"
        )
    return read_text(path, "a list")


def list_rows(path: PathLike) -> list[tuple[str, Row]]:
    """(place, row) of each line, or of each entry of a `.json` file.

    Blank lines, comments and a header are not among the rows; those below a header are `Cells`. The
    place, for messages, is the file with the line or the number of the entry.

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
        if (line := text.strip()) and line.strip("#") and not line.startswith(COMMENT)
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


def values_of(where: str, entry: Any, *keys: str) -> list:
    """The values of the keys of an entry of a `.json` list, the first of which is a path."""
    if not isinstance(entry, dict) or (missing := [key for key in keys if key not in entry]):
        found = shown(entry)
        if isinstance(entry, dict):
            found = f"no {', '.join(missing)} in {found}"
        raise ValueError(f"{where}: found {found}; expected the keys {', '.join(keys)}")
    if not isinstance(entry[keys[0]], str):
        raise ValueError(f"{where}: {keys[0]} is {shown(entry[keys[0]])}; expected a path")
    return [entry[key] for key in keys]


def with_header(path: Path, rows: Sequence[tuple[str, str]]) -> list[tuple[str, str | Cells]]:
    """Replaces the rows of a list that begins with a header by `Cells`, and drops the header.

    If blanks separate the columns and the header names those of a list without a header, in their
    order, the rows are left as they are.

    Args:
        path: the list, for messages.
        rows: (place, text) of each row.

    Raises:
        ValueError: it is a table of another kind, or has no column of labels, or a row has another
            number of columns than the header.
    """
    place, header = rows[0]
    delimiter = next((mark for mark in ("\t", *OTHERS) if mark in header), BLANK)
    written = [name.strip() for name in _cells(header, delimiter)]
    names = [name.lower() for name in written]
    if kind := _other_kind(written):
        raise ValueError(f"{place}: is {kind.format(path=path)}")
    found = {
        column: names.index(name) for column, known in COLUMNS.items()
        for name in reversed(known) if name in names
    }
    if PATH not in found or not (NAMED_LABEL in found or len(names) == 1):
        return list(rows)
    if NAMED_LABEL not in found:
        raise ValueError(
            f"{place}: no column of labels beside {header!r}; expected a header such as path,label"
        )
    if len(rows) == 1:
        raise ValueError(f"{path}: the list is empty; it has only a header")
    usual = [column for column in ORDER if column in found]
    if delimiter == BLANK and sorted(found, key=found.get) == usual and len(usual) == len(names):
        return list(rows[1:])
    made = []
    for where, text in rows[1:]:
        cells = _cells(text, delimiter)
        if len(cells) != len(names):
            raise ValueError(
                f"{where}: {len(cells)} columns in {text!r}; expected {len(names)}, as in the "
                f"header {header!r}"
            )
        made.append((where, Cells(text, header, {
            column: cells[number].strip() for column, number in found.items()
        })))
    return made


def _cells(text: str, delimiter: str) -> list[str]:
    return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])


def _other_kind(cells: Sequence[str]) -> str | None:
    """What a list is whose first row has these cells, if it is a table of another kind."""
    names = {cell.lower() for cell in cells}
    for columns, what in FOREIGN:
        if columns <= names:
            return what
    if len(names & COORDINATES) >= 4:
        return WRONG_BOXES
    numbers = [_number(cell) for cell in cells]
    if (
        len(cells) in (4, 5, 6) and not is_video_name(cells[0]) and YOUTUBE_ID.fullmatch(cells[1])
        and None not in numbers[2:4] and 0 <= numbers[2] < numbers[3]
    ):
        return KINETICS + " after adding the header label,youtube_id,time_start,time_end,split"
    corners = numbers[2:6]
    if len(cells) >= 7 and None not in numbers[1:6] and not all(map(float.is_integer, corners)):
        return UNNAMED_BOXES
    return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def numbers_beside(path: PathLike) -> dict[str, int]:
    """The numbers of the classes in classes.txt beside a list, by name; {} without this file."""
    file = Path(path).with_name("classes.txt")
    if not file.is_file():
        return {}
    return {name: number for number, name in enumerate(class_names(file))}
