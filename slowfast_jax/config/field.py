"""What the schema is made of: config fields and the values that they accept."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Union

from ml_collections.config_dict import placeholder


class Range(NamedTuple):
    """The values that a field accepts.

    Attributes:
      words: the range in words, which complete "expected ...".
      holds: value -> whether it lies in the range.
    """

    words: str
    holds: Callable[[Any], bool]


class Field(NamedTuple):
    """A config field.

    Attributes:
      default: its value where a recipe doesn't set it; this also determines its type. A type
        (`float`) stands for a value of that type that may be missing (None).
      help: what it means, with its unit.
      range: the values that it accepts. None: not checked here, because any value of its type will
        do or because the code that uses the field checks it.
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
    return Range(" or ".join(map(str, choices)), lambda value: value in choices)


def default_values(section: Section) -> dict[str, Any]:
    """The defaults of a section as a new nested dict, whose values no other config shares."""
    return {
        key: default_value(field) if isinstance(field, Field) else default_values(field)
        for key, field in section.items()
    }


def default_value(field: Field) -> Any:
    """The field's default; an empty placeholder where its default is a type."""
    return placeholder(field.default) if isinstance(field.default, type) else field.default
