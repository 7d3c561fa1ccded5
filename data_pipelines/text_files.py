"""Reading of text files from users; whatever they hold, errors name the file and the line."""

import codecs
import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from reprlib import Repr
from typing import Any, TypeVar

from data_pipelines.paths import PathLike

OnBadRow = Callable[[ValueError], None]  # called by a reader with the error of each bad row
LONGEST_LINE = 10_000  # characters; a path has at most 4096, a list of labels a few thousand
MOST_ROWS = 5  # bad rows of a file that an error shows
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
COMPRESSED = (
    (b"\x1f\x8b", "gzip", "gunzip"), (b"PK\x03\x04", "zip", "unzip"), (b"BZh", "bzip2", "bunzip2"),
    (b"\xfd7zXZ", "xz", "unxz"), (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
)  # first bytes, name and command
LARGEST_NUMBER = 1e12  # in a table: of a time, a coordinate or the number of a person

_Row, _Item = TypeVar("_Row"), TypeVar("_Item")

_short = Repr()
_short.maxstring = _short.maxother = 200
_short.maxlist = _short.maxtuple = _short.maxdict = 12
shown = _short.repr  # like repr, but long or deeply nested values are shortened


def read_text(path: PathLike, expected: str) -> str:
    """The content of a file; ValueError if it is not UTF-8, which says what was `expected`."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: is not UTF-8 text ({why_not_utf8(path) or error}); expected {expected}"
        ) from error
    if "\0" in text:
        raise ValueError(
            f"{path}: is not UTF-8 text ({why_not_utf8(path) or 'it holds the character NUL'}); "
            f"expected {expected}"
        )
    return text


def why_not_utf8(path: PathLike) -> str | None:
    """What a file is that is not UTF-8 text, and what to do; None if it is not known."""
    with open(path, "rb") as file:
        start = file.read(200)
    for mark, kind, unpack in COMPRESSED:
        if start.startswith(mark):
            return f"it is compressed by {kind}; unpack it with `{unpack} {path}`"
    if start[:2] in UTF16 or start[1::2].count(0) > len(start) // 4:
        return f"it is UTF-16; convert it with `iconv -f UTF-16 -t UTF-8 {path}`"
    return None


def parse_json(path: PathLike, text: str) -> Any:
    """Parses JSON from the file `path`; ValueError names the file and the line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON ({error.msg})") from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise ValueError(f"{path}: this JSON cannot be parsed ({error})") from error


def short_lines(path: PathLike, lines: Iterable[str]) -> Iterator[str]:
    """Yields the lines of a file; ValueError at one that is too long for a row of a table."""
    for number, line in enumerate(lines, 1):
        if len(line) > LONGEST_LINE:
            raise ValueError(
                f"{path}:{number}: the line has {len(line)} characters; expected a table with rows "
                f"of at most {LONGEST_LINE}"
            )
        yield line


def raise_error(error: ValueError) -> None:
    """The default `OnBadRow`: the first bad row ends the reading."""
    raise error


class BadRows(ValueError):
    """Several bad rows of a file, or files; the message has a line for each of the first ones."""


@contextmanager
def bad_rows(on_bad_row: OnBadRow | None = None) -> Iterator[OnBadRow]:
    """Yields `on_bad_row`; or, if it is None, a function that notes bad rows.

    Those noted are raised at the end: one as it is, several together as `BadRows`.
    """
    if on_bad_row is not None:
        yield on_bad_row
        return
    errors: list[ValueError] = []
    count = 0

    def note(error: ValueError) -> None:
        nonlocal count
        count += 1
        if count <= MOST_ROWS:
            errors.append(error)

    try:
        yield note
    except ValueError as error:
        if not errors:
            raise
        note(error)
    if count == 1:
        raise errors[0]
    if errors:
        lines = [str(error) for error in errors]
        if count > MOST_ROWS:
            more = count - MOST_ROWS
            lines.append(f"and {more} more invalid row{'s' * (more > 1)}")
        raise BadRows("\n".join(lines))


@contextmanager
def bad_rows_together(report: OnBadRow | None = None) -> Iterator[OnBadRow]:
    """As `bad_rows()`, but the error at the end is passed to `report` instead of raised, if that is
    not None."""
    try:
        with bad_rows() as note:
            yield note
    except ValueError as error:
        (report or raise_error)(error)


def read_each(*readers: Callable[[], Any]) -> list[Any]:
    """What each reader of a file returns; their errors are raised together, see `bad_rows`."""
    results = []
    with bad_rows() as note:
        for read in readers:
            try:
                results.append(read())
            except (OSError, ValueError) as error:
                note(error)
    return results


def parse_rows(
    rows: Iterable[tuple[str, _Row]],
    parse: Callable[[str, _Row], _Item],
    on_bad_row: OnBadRow | None = None,
) -> list[_Item]:
    """`parse(where, row)` of each row; of its errors, `on_bad_row` is called, see `bad_rows`."""
    items = []
    with bad_rows(on_bad_row) as on_bad_row:
        for where, row in rows:
            try:
                items.append(parse(where, row))
            except ValueError as error:
                on_bad_row(error)
    return items


def read_rows(path: PathLike) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, columns) of each row of a csv file that is not blank.

    The columns are separated by commas; or by semicolons or tabs, as some spreadsheets write them,
    if the first line has these and no commas.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not a csv file in UTF-8.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path}: no such table of boxes; check data.root and the names of the tables in "
            "config.data"
        )
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            first = next((line for line in short_lines(path, file) if line.strip()), "")
            marks = (mark for mark in (";", "\t") if mark in first and "," not in first)
            file.seek(0)
            reader = csv.reader(short_lines(path, file), delimiter=next(marks, ","))
            for columns in reader:
                if any(columns):
                    yield reader.line_num, columns
        except (UnicodeDecodeError, csv.Error) as error:
            reason = why_not_utf8(path) or error
            raise ValueError(f"{path}: is not a csv file in UTF-8 ({reason})") from error


def read_number(path: PathLike, line: int | str, name: str, text: str) -> float:
    """Parses the number in column `name`; ValueError names the file and the line."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) < LARGEST_NUMBER:
        raise ValueError(f"{path}:{line}: {name} is {shown(text)}; expected a number")
    return number


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 file", "2 files", "2 boxes"."""
    plural = "es" if noun.endswith("x") else "s"
    return f"{number} {noun}{plural * (number != 1)}"


def first_few(names: Iterable, most: int = 12, mark: str = ", ") -> str:
    """Names joined by `mark`; after the first `most` of them, "..." stands for the rest."""
    names = [str(name) for name in names]
    return mark.join([*names[:most], "..."] if len(names) > most else names)
