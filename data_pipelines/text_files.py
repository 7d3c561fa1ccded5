"""Text files that people hand over, with errors that name them, whatever is in them."""

import json
import os
from collections.abc import Iterable, Iterator
from reprlib import Repr
from typing import Any

PathLike = str | os.PathLike
LONGEST_LINE = 10_000  # characters: paths have 4096 at most, and labels some thousands

_short = Repr()
_short.maxstring = _short.maxother = 200
_short.maxlist = _short.maxtuple = _short.maxdict = 12
shown = _short.repr  # as repr, but what is long or deep is cut


def read_text(path: PathLike, expected: str) -> str:
    """The content of a file; ValueError that tells what was `expected` where it is no text."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text ({error}); expected {expected}") from error


def parse_json(path: PathLike, text: str) -> Any:
    """What the text of a file says; ValueError where it is no JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON ({error.msg})") from error
    except (RecursionError, ValueError) as error:  # the second of numbers with thousands of digits
        raise ValueError(f"{path}: JSON that cannot be read ({error})") from error


def short_lines(path: PathLike, lines: Iterable[str]) -> Iterator[str]:
    """The lines of a file; ValueError at one that is too long to be a row of a table."""
    for number, line in enumerate(lines, 1):
        if len(line) > LONGEST_LINE:
            raise ValueError(
                f"{path}:{number}: a line of {len(line)} characters; expected a table, whose rows "
                f"have {LONGEST_LINE} at most"
            )
        yield line
