"""What descriptions are made of: fields, such as those of a config, and the values they accept."""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Union

TYPES = {bool: "True or False", int: "a whole number", float: "a number", str: "a line of text"}
LONGEST = 60  # characters of a value in a message


class Range(NamedTuple):
    """The values that a field accepts.

    Attributes:
      words: the range in words, which complete "expected ...".
      holds: value -> whether it lies in the range. It is only asked about values of the field's
        type.
      choices: the texts that it accepts, if it is a list of texts.
    """

    words: str
    holds: Callable[[Any], bool]
    choices: tuple[str, ...] = ()


class Field(NamedTuple):
    """A field of a config, or of what is stored with weights.

    Attributes:
      default: its value where nothing sets it; this also determines its type. A type
        (`float`) stands for a value of that type that may be missing (None), `object` for one of
        several types.
      help: what it means, with its unit.
      range: the values that it accepts. None: any value of its type.
    """

    default: Any
    help: str
    range: Range | None = None


Section = Mapping[str, Union[Field, "Section"]]  # key -> field or nested section


def at_least(least: float) -> Range:
    """Numbers from `least` on."""
    words = "0 or more" if least == 0 else f"at least {least}"
    return Range(words, lambda value: value >= least)


def above(bound: float) -> Range:
    """Numbers greater than `bound`."""
    return Range(f"above {bound}", lambda value: value > bound)


def between(low: float, high: float) -> Range:
    """Numbers from `low` to `high`, both included."""
    return Range(f"{low}..{high}", lambda value: low <= value <= high)


def one_of(choices: Iterable[Any]) -> Range:
    """The listed values only."""
    choices = tuple(choices)
    texts = tuple(choice for choice in choices if isinstance(choice, str))
    return Range(" or ".join(map(str, choices)), lambda value: value in choices, texts)


def numbers(
    words: str, holds: Callable[[tuple], bool] = lambda value: True, *, whole: bool = False
) -> Range:
    """Tuples of finite numbers for which `holds` is true."""
    kind = int if whole else float
    return Range(
        words, lambda value: all(is_a(kind, number) for number in value) and holds(tuple(value))
    )


def texts(words: str = "a tuple of texts, as in ('a', 'b')") -> Range:
    """Tuples of texts that are not empty."""
    return Range(words, lambda value: all(isinstance(text, str) and text for text in value))


def patterns() -> Range:
    """Tuples of regular expressions."""
    return Range(
        "a tuple of regular expressions, as in ('head/.*',)",
        lambda value: all(map(is_pattern, value)),
    )


def is_pattern(text: Any) -> bool:
    """Whether it is a regular expression."""
    try:
        re.compile(text)
    except (re.error, TypeError):
        return False
    return True


def is_a(kind: type, value: Any) -> bool:
    """Whether a value has a field's type. Whole numbers are numbers; infinities are not."""
    if kind is tuple:
        return isinstance(value, (tuple, list))
    if kind in (int, float):
        accepted = int if kind is int else (int, float)
        return isinstance(value, accepted) and not isinstance(value, bool) and is_finite(value)
    if kind is str:
        return isinstance(value, str) and "\n" not in value
    return isinstance(value, kind)


def is_finite(number: float) -> bool:
    """Whether a number is finite as a double."""
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number too large for a double
        return False


def expected(field: Field, value: Any) -> str:
    """What the field accepts, in words that complete "expected ..."; "" if it accepts `value`."""
    kind = _kind(field)
    optional = kind is field.default and kind is not object
    if optional and value is None:
        return ""
    if not is_a(kind, value):
        return expected_words(field)
    if field.range is None or field.range.holds(value):
        return ""
    close = difflib.get_close_matches(str(value), field.range.choices, n=1, cutoff=0.5)
    return field.range.words + (f"; did you mean {close[0]}?" if close else "")


def expected_words(field: Field) -> str:
    """Type and range of a field, in words that complete "expected ..."."""
    kind, words = _kind(field), field.range.words if field.range else ""
    if not words:
        return TYPES.get(kind, f"something like {field.default!r}")
    return f"{TYPES[kind]}, {words}" if kind in (int, float) else words


def _kind(field: Field) -> type:
    return field.default if isinstance(field.default, type) else type(field.default)


def shown(value: Any) -> str:
    """A value in a message: one line, not too long."""
    plain = isinstance(value, str) and value and value.isprintable() and not _is_number(value)
    text = value if plain else " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def field_problems(values: Any, section: Section, name: str = "config") -> list[str]:
    """The fields whose value has another type than in a section, or is out of its range.

    Args:
      values: a config, one of its sections, or a dict.
      section: the schema of `values`. Fields that `values` lacks are not checked.
      name: name of `values` in the messages; "" for none.
    """
    problems = []
    for key, field in section.items():
        if key not in values:
            continue
        value, full = values[key], f"{name}.{key}".removeprefix(".")
        if isinstance(field, Field):
            if words := expected(field, value):
                problems.append(f"{full} is {shown(value)}, expected {words}")
        elif hasattr(value, "keys"):
            problems += field_problems(value, field, full)
        else:
            problems.append(f"{full} is {shown(value)}, expected a section with {', '.join(field)}")
    return problems


def _is_number(text: str) -> bool:
    """Whether a text reads like a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
