"""Rows of lists of videos, as people and programs write them: the path and the labels of each.

A row is `path label`, or `folder total_frames label` for videos stored as images. Columns are
separated by blanks or tabs, or by commas, semicolons or bars. Paths may hold blanks, and may be
quoted.
"""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple

from data_pipelines.labels import number_in
from data_pipelines.paths import VIDEO_SUFFIXES
from data_pipelines.sources.list_labels import (
    BLANK,
    MOST_PARTS,
    OTHERS,
    Span,
    label_in,
    labels_in,
    last_label,
    spans_of,
    unknown_label,
)

QUOTED = re.compile(r"""(?P<mark>["'])(?P<path>(?:(?!(?P=mark)).|(?P=mark){2})*)(?P=mark)""")
SWAPPED = re.compile(r'"?\d+(?:\.0*)?"?[\s,;|]+(.+)')
# Between a path and its label, in rows such as `a.mp4: 0`.
JOIN = re.compile(rf"(?:{'|'.join(map(re.escape, VIDEO_SUFFIXES))})\s*([:=]|[-=]>)", re.IGNORECASE)
NEEDED = "several need data.multi_label"

Exists = Callable[[str], bool]  # whether there is a file of this path


class Columns(NamedTuple):
    """The columns of a row.

    Attributes:
        path: the path.
        labels: its labels, as texts of numbers; other words if a label is no number.
        ignored: the column between path and label that is ignored; "" without such a column.
        counts: the columns between the folder and the labels in rows of folders.
    """

    path: str
    labels: list[str]
    ignored: str = ""
    counts: tuple[str, ...] = ()


class Cells(NamedTuple):
    """A row of a list with a header.

    Attributes:
        text: the row as written.
        header: the header as written.
        values: text by column, named as in list_headers.py; a column may be absent.
    """

    text: str
    header: str
    values: dict[str, str]


def split_row(
    where: str,
    text: str,
    separator: str,
    multi_label: bool,
    *,
    exists: Exists,
    names: Mapping[str, int],
) -> Columns:
    """Splits a row into its path and its labels; there may be none.

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
    marks = " \t" + ("".join(OTHERS) if separator == BLANK else separator)
    if quoted := _quoted(text, marks, exists):
        path, rest = quoted
        labels = labels_in(where, rest.strip(marks), names)
        if len(labels) > 2 and not multi_label:
            raise ValueError(
                f"{where}: found {rest.strip()!r} after the path; expected a label ({NEEDED})"
            )
        if multi_label or len(labels) < 2:
            return Columns(path, labels)
        first, second = spans_of(rest, separator)[:2]
        gaps = {rest[: first.begin].strip(), rest[first.end : second.begin].strip()}
        _refuse_several(where, rest[first.begin : first.end], rest.strip(), labels[1], gaps, names)
        return Columns(path, labels[1:], ignored=labels[0])
    text = _without_empty_columns(text, marks) or text
    if joined := _joined(where, text, multi_label, names):
        return joined
    spans = spans_of(text, separator)
    labels: list[str] = []
    heads: list[int] = []  # index of the first span of each label, from the last label on
    end = len(spans)
    while end > 1 and (multi_label or not labels):
        found = last_label(where, text, spans, end, names, least=1)
        if found is None:
            break
        end, label = found
        heads.append(end)
        labels.append(label)
    if not labels:
        return _without_label(where, text, separator, spans, exists, names)
    path = _before(text, spans, heads[-1])
    if multi_label:
        if not is_video_name(path) and not exists(path):
            for count in range(len(heads) - 1, 0, -1):
                shorter = _before(text, spans, heads[count - 1])
                if is_video_name(shorter) or exists(shorter):
                    return Columns(shorter, labels[:count][::-1])
        return Columns(path, labels[::-1])
    if heads[0] < len(spans) - 1 and not is_video_name(path) and not exists(path):
        longer = _before(text, spans, len(spans) - 1)
        if is_video_name(longer) or exists(longer):
            shorter = last_label(where, text, spans, len(spans), names, least=len(spans) - 1)
            if shorter is not None:
                return Columns(longer, [shorter[1]])
    found = _without_ignored(where, text, labels[0], spans[: heads[0] + 1], exists, names)
    return Columns(found, labels, ignored=path[len(found) :].strip(marks))


def _quoted(text: str, marks: str, exists: Exists) -> tuple[str, str] | None:
    """(path, the rest of the row) if the row begins with a path in quotes."""
    quoted = QUOTED.match(text) if text[0] in "\"'" else None
    if quoted is None:
        return None
    rest = text[quoted.end() :]
    if rest and not rest[0].isspace() and rest[0] not in marks:
        return None
    if any(map(is_video_name, rest.split())):  # as in `"my" clip.mp4 0`
        return None
    mark = quoted["mark"]
    path = quoted["path"].replace(mark * 2, mark)
    if mark == "'" and not exists(path) and exists(quoted[0]):  # a file whose name has quotes
        return None
    return path, rest


def _joined(
    where: str, text: str, multi_label: bool, names: Mapping[str, int]
) -> Columns | None:
    """The columns of a row such as `a.mp4: 0`; None for other rows."""
    if ":" not in text and "=" not in text and ">" not in text:
        return None
    *_, join = (None, *JOIN.finditer(text))
    if join is None:
        return None
    try:
        labels = labels_in(where, text[join.end() :], names)
    except ValueError:
        return None
    if not labels or any(number_in(label) is None for label in labels):
        return None
    if len(labels) > 1 and not multi_label:
        raise ValueError(
            f"{where}: found {text[join.end() :].strip()!r} after the path; expected a label "
            f"({NEEDED})"
        )
    return Columns(text[: join.start(1)].rstrip(), labels)


def _without_empty_columns(text: str, marks: str) -> str:
    """The row without empty columns at its end, as in `a.mp4,0,` or `a.mp4,""`."""
    text = text.rstrip(marks)
    while text.endswith(('""', "''")) and text[-3:-2] and text[-3] in marks:
        text = text[:-2].rstrip(marks)
    return text


def _before(text: str, spans: list[Span], first: int) -> str:
    """The text before a column, without the separator; "" before the first column."""
    return text[: spans[first - 1].end] if first > 0 else ""


def _without_ignored(
    where: str,
    text: str,
    label: str,
    spans: list[Span],
    exists: Exists,
    names: Mapping[str, int],
) -> str:
    """The path of a row `path label` or `path ignored label`.

    Args:
        label: the label, which begins at the last of `spans`.
        other arguments, and errors: as for `split_row`.
    """
    head = _before(text, spans, len(spans) - 1)
    if len(spans) < 3 or is_video_name(head):
        return head
    path = _before(text, spans, len(spans) - 2)
    ignored = text[spans[-2].begin : spans[-2].end]
    gaps = {text[a.end : b.begin].strip() for a, b in pairwise(spans[-3:])}
    if not is_video_name(path) and (
        exists(head) or len(gaps) > 1 and label_in(where, ignored, names) is None
    ):
        return head
    _refuse_several(where, ignored, text[spans[-2].begin :], label, gaps, names)
    if not is_video_name(path) and len(spans) > 3 and not exists(path):
        raise ValueError(
            f"{where}: {len(spans)} columns in {text!r}; expected 'path label' or 'path ignored "
            f"label' (several labels need data.multi_label; a path with blanks or commas and "
            "without the suffix of a video needs quotes)"
        )
    return path


def _refuse_several(
    where: str, ignored: str, found: str, label: str, gaps: set[str], names: Mapping[str, int]
) -> None:
    """ValueError if a column to ignore is a label: by its separators (`path 0,2`) or its name.

    Args:
        ignored: the column.
        found: what follows the path.
        label: the label after the column.
        gaps: the separators before and after the column.
    """
    other = label_in(where, ignored, names)
    if other is not None and (len(gaps) > 1 or number_in(ignored) is None and other != label):
        raise ValueError(f"{where}: found {found!r} after the path; expected a label ({NEEDED})")


def _without_label(
    where: str,
    text: str,
    separator: str,
    spans: list[Span],
    exists: Exists,
    names: Mapping[str, int],
) -> Columns:
    """The row as a path alone; ValueError if it does not look like one."""
    if exists(text):
        return Columns(text, [])
    swapped = SWAPPED.fullmatch(text)
    if swapped and is_video_name(swapped[1].strip('"')) or is_video_name(text) and any(
        text[: span.end].strip('"') in names for span in spans[: min(MOST_PARTS, len(spans) - 1)]
    ):
        raise ValueError(
            f"{where}: the label stands before the path in {text!r}; expected 'path label': "
            "exchange the columns, or begin the list with the header 'label,path'"
        )
    if is_video_name(text):
        return Columns(text, [])
    if len(text.split() if separator == BLANK else text.split(separator)) > 1:
        paths = ((count, _before(text, spans, count)) for count in range(len(spans) - 1, 0, -1))
        first = next(
            (count for count, path in paths if is_video_name(path.rstrip('":=')) or exists(path)),
            len(spans) - 1,
        )
        raise unknown_label(where, text[spans[first].begin :].strip("\"'"), names)
    if not any(mark in text for mark in OTHERS):
        return Columns(text, [])
    raise ValueError(
        f"{where}: no label at the end of {text!r}; expected 'path label', separated by "
        f"{separator!r} or one of {' '.join(OTHERS)}"
    )


def is_video_name(text: str) -> bool:
    """Whether the text ends in the suffix of a video."""
    return text.lower().endswith(VIDEO_SUFFIXES)


def split_folder_row(
    where: str,
    text: str,
    columns: str,
    multi_label: bool,
    *,
    exists: Exists,
    names: Mapping[str, int],
) -> Columns:
    """Splits a row `folder total_frames label ...`, or `folder offset total_frames label ...`.

    The folder may hold blanks, or be quoted; it must be quoted if it ends in a number and does not
    exist.

    Args:
        columns: the columns that are expected, separated by blanks.
        other arguments, and errors: as for `split_row`.
    """
    marks = " \t" + "".join(OTHERS)
    numbers = len(columns.split()) - 2  # columns between the folder and the label
    folder, text_after, extra = None, text, False
    if quoted := _quoted(text, marks, exists):
        folder, text_after = quoted
    text_after = _without_empty_columns(text_after.lstrip(marks), marks)
    spans = spans_of(text_after)
    first = 0  # index of the first span after the folder
    if folder is None:
        first = _end_of_folder(where, text_after, spans, numbers, multi_label, exists, names)
        folder = _before(text_after, spans, first)
        last = text_after[spans[first - 1].begin : spans[first - 1].end] if first > 1 else ""
        extra = not multi_label and number_in(last) is not None and not exists(folder)
    if not folder or len(spans) - first < numbers + (not multi_label) or extra:
        raise ValueError(
            f"{where}: {len(spans) + bool(quoted)} columns in {text!r}; expected {columns!r}"
            + (
                " (the column offset of MMAction2 needs data.frame_offset; several labels need "
                "data.multi_label; a folder whose name ends in a number needs quotes)"
                if extra and numbers == 1 else ""
            )
        )
    counts = [text_after[span.begin : span.end] for span in spans[first : first + numbers]]
    labels = spans[first + numbers :]
    return Columns(
        folder, labels_in(where, text_after[labels[0].begin :], names) if labels else [],
        counts=tuple(number_in(each) or each for each in counts),
    )


def _end_of_folder(
    where: str,
    text: str,
    spans: list[Span],
    numbers: int,
    multi_label: bool,
    exists: Exists,
    names: Mapping[str, int],
) -> int:
    """Index of the first span after the folder; 0 or less if there are too few columns."""
    starts: list[int] = []  # of the labels and numbers at the end, in their order
    end = len(spans)
    while end > 1 and (multi_label or not starts):
        found = last_label(where, text, spans, end, names, least=1)
        if found is None:
            break
        end = found[0]
        starts.insert(0, end)
    if not multi_label:
        return (starts[0] if starts else len(spans) - 1) - numbers
    possible = starts[: max(0, len(starts) - numbers + 1)]
    existing = (each for each in possible if exists(_before(text, spans, each)))
    return next(existing, possible[0] if possible else len(spans) - numbers - 1)
