"""Labels in lists of videos: numbers of classes, counting from 0, or class names.

A number is the number of a class. A class name may stand for it, and may hold blanks, commas and
numbers ("type 1"). If all class names are numbers, labels are numbers of classes, never names. If
only some are, a label such as 1 that is both the name of one class and the number of another is
refused.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from data_pipelines.labels import MOST_CLASSES, ambiguous_names, number_in
from data_pipelines.text_files import shown

BLANK = " "  # the separator that stands for any blanks and tabs
OTHERS = (",", ";", "|")  # separators that are recognized without being named
COLUMN = re.compile(r"[^\s,;|]+")
MOST_PARTS = 32  # columns that a class name may look like


class Span(NamedTuple):
    """Where a column of a row begins and ends."""

    begin: int
    end: int


def spans_of(text: str, separator: str = BLANK) -> list[Span]:
    """The columns of a row; BLANK stands for blanks and tabs, commas, semicolons and bars."""
    if separator == BLANK:
        return [Span(*match.span()) for match in COLUMN.finditer(text)]
    spans, begin = [], 0
    for part in text.split(separator):
        stripped = part.strip()
        if stripped:
            at = begin + part.index(stripped)
            spans.append(Span(at, at + len(stripped)))
        begin += len(part) + len(separator)
    return spans


def label_in(where: str, word: str, names: Mapping[str, int]) -> str | None:
    """The number of the class that a number or a class name means, as text; None for other words.

    Args:
        where: place of the row, for messages.
        word: the number or name, possibly in quotes.
        names: numbers of the classes by name.

    Raises:
        ValueError: it is the number of one class and the name of another.
    """
    number = number_in(word)
    if not names:
        return number
    name = word if word in names else word.strip("\"' \t")
    if name not in names:
        return number
    if number is not None and name in ambiguous_names(names):
        raise ValueError(
            f"{where}: label {name!r} is the number of one class and the name of another (class "
            f"{names[name]}); rename this class, for example to 'class {name}', in classes.txt"
        )
    if number is not None and all(number_in(each) is not None for each in names):
        return number
    return str(names[name])


def last_label(
    where: str, text: str, spans: Sequence[Span], end: int, names: Mapping[str, int], least: int = 0
) -> tuple[int, str] | None:
    """(index of its first span, label) of the label that ends with the span before `end`.

    Of several class names, the longest is taken. None if there is no label.

    Args:
        where, names: as for `label_in`.
        text: the row, with its `spans`.
        end: index after the last span of the label.
        least: index of the first span that may belong to the label.
    """
    if names:
        for first in range(max(least, end - MOST_PARTS), end - 1):
            name = text[spans[first].begin : spans[end - 1].end]
            if name in names or name.strip("\"'") in names:
                return first, label_in(where, name, names)
    word = text[spans[end - 1].begin : spans[end - 1].end]
    label = label_in(where, word, names)
    return None if label is None else (end - 1, label)


def labels_in(where: str, text: str, names: Mapping[str, int]) -> list[str]:
    """The labels in a column of labels; words before a label are left as they are.

    Raises:
        ValueError: it does not end with a label, or as `label_in`.
    """
    text = text.strip(" \t")
    if (label := label_in(where, text, names)) is not None:
        return [label]
    text = text.strip(" \t\"'")
    spans = spans_of(text)
    labels, end = [], len(spans)
    while end:
        found = last_label(where, text, spans, end, names)
        if not found and not labels:
            raise unknown_label(where, text, names)
        end, label = found or (end - 1, text[spans[end - 1].begin : spans[end - 1].end])
        labels.append(label)
    return labels[::-1]


def unknown_label(where: str, text: str, names: Mapping[str, int]) -> ValueError:
    """The error about what follows a path and ends neither with a number nor with a class name.

    If only its last words are like a class name, these are the label.
    """
    known = "names of classes are read if they are in classes.txt beside the list"
    if names:
        known = f"or the name of one of {len(names)} classes"
        # The time of the comparison grows with the product of the lengths.
        for span in spans_of(text) if len(text) < 100 else ():
            if close := difflib.get_close_matches(text[span.begin :], names, n=1):
                text, known = text[span.begin :], f"{known}, perhaps {close[0]!r}"
                break
    return ValueError(f"{where}: label {shown(text)}; expected an integer ({known})")


def read_label(
    where: str, labels: list, num_classes: int | None, multi_label: bool
) -> int | tuple[int, ...]:
    """The class of one row, or with `multi_label` a tuple of its classes, which may be empty.

    Raises:
        ValueError: a label is not an integer, is out of range or occurs twice; or, without
            `multi_label`, the row does not have exactly one. The message names the row.
    """
    numbers = tuple(read_integer(where, "label", label) for label in labels)
    if len(numbers) != 1 and not multi_label:
        raise ValueError(
            f"{where}: {len(numbers)} labels; expected one (several need data.multi_label)"
            if numbers else f"{where}: no label; expected one"
        )
    for number in numbers:
        if not 0 <= number < (num_classes or MOST_CLASSES):
            raise ValueError(
                f"{where}: label {number}; expected a class within "
                f"0..{(num_classes or MOST_CLASSES) - 1} (labels count from 0; "
                "the number of classes is model.num_classes)"
            )
    if not multi_label:
        return numbers[0]
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise ValueError(
            f"{where}: label {twice} occurs {numbers.count(twice)} times; expected the numbers of "
            "the classes that are present, each once"
            + (
                " (for a column of 0 or 1 for each class, write the numbers of the columns with 1 "
                "instead)" if set(numbers) <= {0, 1} else ""
            )
        )
    return numbers


def read_integer(where: str, what: str, value: str | int) -> int:
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
