"""Problems found while data is checked or prepared: one line each, and a summary at the end."""

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from data_pipelines.paths import PathLike
from data_pipelines.video.inspection import Inspection

Facts = dict[str, str | int]  # rows of the summary


class Checked(NamedTuple):
    """Result of a check.

    Attributes:
        facts: what the data holds, for the summary.
        write: writes the valid part of the data: a list to a file, AVA's tables to a folder.
    """

    facts: Facts
    write: Callable[[PathLike], None]


class Findings:
    """Prints problems and counts them by kind.

    Args:
        words: words of the messages, and what the command calls them.

    Attributes:
        kinds: the number of problems of each kind.
    """

    def __init__(self, words: Mapping[str, str] = MappingProxyType({})):
        self.kinds: Counter[str] = Counter()
        self._words = words

    def worded(self, text: str) -> str:
        """The text with each of `words` replaced, so that it names the flags of the command."""
        for word, flag in self._words.items():
            text = text.replace(f"config.{word}", flag).replace(word, flag)
        return text

    def report(self, where: str, kind: str, text: str) -> None:
        """Prints a problem.

        Args:
            where: a file, or file:line.
            kind: one or a few words, by which problems are counted.
            text: what is wrong and what to do.
        """
        self.kinds[kind] += 1
        print(f"{where}: {kind}: {self.worded(text)}", flush=True)

    def report_row(self, error: ValueError) -> str:
        """Prints the error of a reader, whose text starts with a location; returns the location."""
        where, _, text = str(error).partition(": ")
        self.report(where, "invalid row", text)
        return where

    def report_video(self, where: str, name: str, inspection: Inspection) -> bool:
        """Prints the problems of a video; returns whether it is usable."""
        for problem in inspection.problems:
            self.report(where, problem.kind, f"{name}: {problem.text}")
        return all(problem.usable for problem in inspection.problems)

    def print_table(self, facts: Facts) -> None:
        """Prints the summary: `facts` in their order, then the number of problems by kind."""
        rows = [(name, f"{value}") for name, value in facts.items()]
        rows += [(f"problem: {kind}", f"{count}") for kind, count in sorted(self.kinds.items())]
        names, values = (max(map(len, column)) for column in zip(*rows, strict=True))
        print()
        for name, value in rows:
            print(f"{name:<{names}}  {value:>{values}}")
        print(f"problems: {self.kinds.total()}" if self.kinds else "no problems found")
