"""Rows of lists of videos, as people and programs write them: the path and the labels of each.

A row is `path label`. Columns are separated by blanks or tabs, or by commas, semicolons or bars.
Paths may hold blanks, and may be quoted. A list may begin with a header that names its columns.
"""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipelines.paths import VIDEO_SUFFIXES

BLANK = " "  # the separator that stands for any blanks and tabs
OTHERS = (",", ";", "|")  # separators that are recognized without being named
LABEL = re.compile(r'"?([+-]?\d+(?:\.0*)?)"?')
QUOTED = re.compile(r'"((?:[^"]|"")*)"')
SWAPPED = re.compile(r'"?\d+(?:\.0*)?"?[\s,;|]+(.+)')
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
# Columns by which tables of other kinds are known, and what to do with them.
FOREIGN: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"youtube_id"}),
     "a table of Kinetics' annotations, which names no files; write lists with `python -m "
     "data_pipelines.prepare kinetics OUT --videos DOWNLOADED --train {path}`"),
    (frozenset({"x1", "y1", "time"}),
     "a table of boxes; it is read with data.format=boxes"),
    (frozenset({"frame_id", "video_id"}),
     "a list of frames; it is read with data.format=charades or ssv2"),
    (frozenset({"shard", "record"}), "a list of records; it is read with data.format=records"),
    (frozenset({"id", "script", "actions"}),
     "a table of Charades' annotations; write lists with `python -m data_pipelines.prepare "
     "charades OUT --annotations FOLDER`"),
)


class Cells(NamedTuple):
    """A row of a list with a header.

    Attributes:
        text: the row as written.
        header: the header as written.
        values: text by column, named PATH, OFFSET, COUNT and NAMED_LABEL; a column may be absent.
    """

    text: str
    header: str
    values: dict[str, str]


def with_header(
    path: Path, rows: Sequence[tuple[str, str]]
) -> list[tuple[str, str | Cells]]:
    """Replaces the rows of a list that begins with a header by `Cells`, and drops the header.

    Args:
        path: the list, for messages.
        rows: (place, text) of each row.

    Raises:
        ValueError: it is a table of another kind, or has no column of labels, or a row has another
            number of columns than the header.
    """
    place, header = rows[0]
    delimiter = next((mark for mark in ("\t", *OTHERS) if mark in header), BLANK)
    names = [name.strip().lower() for name in _cells(header, delimiter)]
    for columns, what in FOREIGN:
        if columns <= set(names):
            raise ValueError(f"{place}: is {what.format(path=path)}")
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
    if not made:
        raise ValueError(f"{path}: the list is empty; it has only a header")
    return made


def _cells(text: str, delimiter: str) -> list[str]:
    return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])


def split_row(
    where: str,
    text: str,
    separator: str,
    multi_label: bool,
    *,
    exists: Callable[[str], bool],
    names: Mapping[str, int],
) -> tuple[str, list[str]]:
    """Splits a row into its path and its labels, which are numbers, or none.

    The labels are at the end. What stands before them is the path, except in a row `path ignored
    label`, in which the path has the suffix of a video or `path ignored` is no file.

    Args:
        where: place of the row, for messages.
        text: the row.
        separator: text between the columns; BLANK stands for blanks and tabs, and other common
            separators are recognized.
        multi_label: whether there may be several labels.
        exists: whether there is a file of this path.
        names: numbers of the classes by name; a name may stand for the number.

    Raises:
        ValueError: the row cannot be understood; the message says what was taken for what.
    """
    if quoted := QUOTED.match(text):
        rest = text[quoted.end() :]
        marks = separator if separator != BLANK else "".join(OTHERS)
        if not rest or rest[0].isspace() or rest[0] in marks:
            labels = labels_in(rest.strip(f" \t{marks}"), names)
            if len(labels) > 2 and not multi_label:
                raise ValueError(
                    f"{where}: found {rest.strip()!r} after the path; expected a label (several "
                    "need data.multi_label)"
                )
            return quoted[1].replace('""', '"'), labels if multi_label else labels[-1:]
    if not multi_label:
        _refuse_several(where, text, exists, names)
    for mark in (separator, *OTHERS) if separator == BLANK else (separator,):
        columns = _split_at(text, mark, multi_label, names)
        if columns is not None:
            head, labels = columns
            if not multi_label:
                head = _without_ignored(where, text, head, mark, exists)
            return head, labels
    return _without_label(where, text, separator, exists)


def labels_in(text: str, names: Mapping[str, int]) -> list[str]:
    """The labels in the column of labels: a class name, or numbers; other words are left as is."""
    text = text.strip(' \t"')
    if text in names:
        return [str(names[text])]
    return [_number(word, names) or word for word in re.split(r"[\s,;|]+", text) if word]


def _number(word: str, names: Mapping[str, int]) -> str | None:
    """A label as the text of an integer; None if it is neither a number nor a class name."""
    if word.isdecimal():
        return word
    if found := LABEL.fullmatch(word):
        return found[1].partition(".")[0]
    name = word.strip('"')
    return str(names[name]) if name in names else None


def _split_at(
    text: str, mark: str, multi_label: bool, names: Mapping[str, int]
) -> tuple[str, list[str]] | None:
    """(what stands before the labels, labels) with this separator; None if it gives no label."""
    pair = _last(text, mark)
    if pair is None:
        return None
    head, last = pair
    if multi_label:
        words = _words(text, mark)
        labels: list[str] = []
        count = 0
        while count < len(words) - 1 and (found := _several(words[-1 - count], names)):
            labels = found + labels
            count += 1
        if count:
            return text.rsplit(None if mark == BLANK else mark, count)[0].strip(), labels
    elif label := _number(last, names):
        return head, [label]
    ending = next(
        (name for name in names if " " in name and text.endswith(f"{mark}{name}")), None
    )
    if ending is not None:
        return text[: -len(ending) - len(mark)].rstrip(), [str(names[ending])]
    return None


def _several(word: str, names: Mapping[str, int]) -> list[str]:
    """The labels in a word such as 3 or 1,5; [] if it is not made of labels."""
    labels = [_number(part, names) for part in word.strip('"').split(",")]
    return [] if None in labels else labels


def _refuse_several(
    where: str, text: str, exists: Callable[[str], bool], names: Mapping[str, int]
) -> None:
    """ValueError for a row such as `path 0,2`, which would be read as the file `path 0`."""
    head, last = _last(text, BLANK) or ("", "")
    if len(_several(last, names)) > 1 and (is_video_name(head) or exists(head)):
        raise ValueError(
            f"{where}: found {last!r} after the path; expected a label (several need "
            "data.multi_label)"
        )


def _words(text: str, mark: str) -> list[str]:
    return text.split() if mark == BLANK else [word.strip() for word in text.split(mark)]


def _last(text: str, mark: str) -> tuple[str, str] | None:
    """The text before the last separator, and the column after it; None without a separator."""
    if mark != BLANK:
        head, found, last = text.rpartition(mark)
        return (head.strip(), last.strip()) if found and head.strip() else None
    pieces = text.rsplit(None, 1)
    return (pieces[0].rstrip(" ,;\t"), pieces[1]) if len(pieces) == 2 else None


def _without_ignored(
    where: str, text: str, head: str, mark: str, exists: Callable[[str], bool]
) -> str:
    """The path in `path` or `path ignored`."""
    pair = _last(head, mark)
    if pair is None or is_video_name(head):
        return head
    path, _ = pair
    if is_video_name(path):
        return path
    if exists(head):
        return head
    if _last(path, mark) is not None and not exists(path):
        raise ValueError(
            f"{where}: {len(_words(text, mark))} columns in {text!r}; expected 'path label' or "
            "'path ignored label' (several labels need data.multi_label; a path with blanks or "
            "commas and without the suffix of a video needs quotes)"
        )
    return path


def _without_label(
    where: str, text: str, separator: str, exists: Callable[[str], bool]
) -> tuple[str, list[str]]:
    """The row as a path alone; ValueError if it does not look like one."""
    if exists(text):
        return text, []
    if swapped := SWAPPED.fullmatch(text):
        if is_video_name(swapped[1].strip('"')):
            raise ValueError(
                f"{where}: the label stands before the path in {text!r}; expected 'path label': "
                "exchange the columns, or begin the list with the header 'label,path'"
            )
    if is_video_name(text):
        return text, []
    words = _words(text, separator)
    if len(words) == 1 and not any(mark in text for mark in OTHERS):
        return text, []
    if len(words) == 1:
        raise ValueError(
            f"{where}: no label at the end of {text!r}; expected 'path label', separated by "
            f"{separator!r} or one of {' '.join(OTHERS)}"
        )
    raise ValueError(
        f"{where}: label {words[-1]!r}; expected an integer (names of classes are read if they are "
        "in classes.txt beside the list)"
    )


def is_video_name(text: str) -> bool:
    """Whether the text ends in the suffix of a video."""
    return text.lower().endswith(VIDEO_SUFFIXES)


def folder_columns(text: str) -> list[str]:
    """The columns of a row `folder total_frames label ...`.

    The folder may hold blanks, or be quoted; it must be quoted if it ends in a blank and a number.
    """
    if quoted := QUOTED.match(text):
        rest = text[quoted.end() :].strip(" \t,;")
        return [quoted[1].replace('""', '"'), *re.split(r"[\s,;]+", rest)]
    words = text.split()
    if len(words) == 1:
        words = [word.strip() for word in re.split("[,;]", text)]
    if len(words) <= 3:
        return words
    count = 0
    while count < len(words) - 1 and LABEL.fullmatch(words[-1 - count]):
        count += 1
    return [text.rsplit(None, count)[0].strip(), *words[len(words) - count :]] if count else words
