"""Collects the problems of a command, so that they are reported in one list."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from convert.load import CheckpointMismatch
from data_pipelines.text_files import BadRows
from slowfast_jax.config.recipe_files import ConfigError


class Problems:
    """Errors that were noted, to be raised together."""

    def __init__(self) -> None:
        self._errors: dict[str, Exception] = {}  # line -> the error that it describes

    def __bool__(self) -> bool:
        return bool(self._errors)

    def __iter__(self) -> Iterator[str]:
        return iter(self._errors)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Notes an error of the block instead of raising it."""
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            for line in _lines(error):
                self._errors.setdefault(line, error)

    def report(self) -> None:
        """Raises what was noted: a single error as it is, several as a ConfigError that lists them.

        Its attribute `before_start` is True: nothing was run, so the command exits with status 2.
        """
        if self._errors:
            raise self.error()

    def raise_each(self) -> None:
        """Raises what was noted within the work of another `noted`, which gets each problem."""
        if len(self._errors) > 1:
            raise ConfigError(*self._errors)
        for error in self._errors.values():
            raise error

    def error(self) -> Exception:
        """What `report` raises."""
        error = next(iter(self._errors.values()))
        if len(self._errors) > 1:
            lines = "".join(f"\n  - {line}" for line in self._errors)
            error = ConfigError(f"{len(self._errors)} problems:{lines}")
        error.before_start = True
        return error


def fields_in(problems: Iterable[str]) -> set[str]:
    """The fields, such as "train.epochs", that problems begin with."""
    names = (re.match(r"(?:--)?config\.([\w.]+)", problem) for problem in problems)
    return {name[1].rstrip(".") for name in names if name}


def concern(wrong: Iterable[str], fields: Iterable[str]) -> bool:
    """Whether any of the wrong fields is one of `fields`. Both may name sections, such as "data".
    """
    return any(
        f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")
        for one in wrong for other in fields
    )


def _lines(error: Exception) -> list[str]:
    """The problems that an error describes, a line for each."""
    lines = str(error).splitlines() or [type(error).__name__]
    if isinstance(error, CheckpointMismatch):  # without its table
        return [". ".join(lines[:2])]
    if isinstance(error, ConfigError | BadRows):
        return [line.strip() for line in lines]
    return [" ".join(line.strip() for line in lines)]
