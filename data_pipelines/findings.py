"""Problems found while data is checked or prepared: one line each, and a summary at the end.

If not every problem is wanted, the first few of those that are alike but for names and numbers are
printed as they are found, and the others as one line at the end.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from data_pipelines.paths import PathLike
from data_pipelines.video.inspection import Inspection

Facts = dict[str, str | int]  # rows of the summary
ALIKE_SHOWN = 5  # problems that are alike
# What differs between problems that are alike: quoted texts, paths and numbers.
DIFFERS = re.compile(r"""'[^']*'|"[^"]*"|\S*[/\\]\S*|[-+]?\d[\d.,:]*""")


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
        every: print every problem, even if others are alike.

    Attributes:
        kinds: the number of problems of each kind.
    """

    def __init__(
        self, words: Mapping[str, str] = MappingProxyType({}), *, every: bool = True
    ):
        self.kinds: Counter[str] = Counter()
        self._words = words
        self._every = every
        self._alike: Counter[tuple[str, str]] = Counter()
        self._last: dict[tuple[str, str], str] = {}  # of problems that were not printed

    def worded(self, text: str) -> str:
        """The text with each of `words` replaced, so that it names the flags of the command."""
        for word, flag in self._words.items():
            text = text.replace(f"config.{word}", flag).replace(word, flag)
        return text

    def report(self, where: str, kind: str, text: str, name: str = "") -> None:
        """Prints a problem, unless enough that are alike were printed.

        Args:
            where: a file, or file:line.
            kind: one or a few words, by which problems are counted.
            text: what is wrong and what to do.
            name: what the text is about, such as a video.
        """
        self.kinds[kind] += 1
        alike = kind, DIFFERS.sub("", text.replace(name, "") if name else text)
        self._alike[alike] += 1
        line = f"{where}: {kind}: {f'{name}: ' if name else ''}{self.worded(text)}"
        if self._every or self._alike[alike] <= ALIKE_SHOWN:
            print(line, flush=True)
        else:
            self._last[alike] = line

    def report_row(self, error: ValueError) -> str:
        """Prints the error of a reader, whose text starts with a location; returns the location."""
        where, _, text = str(error).partition(": ")
        self.report(where, "invalid row", text)
        return where

    def report_video(self, where: str, name: str, inspection: Inspection) -> bool:
        """Prints the problems of a video; returns whether it is usable."""
        for problem in inspection.problems:
            self.report(where, problem.kind, problem.text, name)
        return all(problem.usable for problem in inspection.problems)

    def print_rest(self) -> None:
        """Prints a line for the problems of each sort that were not printed."""
        for alike, line in self._last.items():
            count = self._alike[alike] - ALIKE_SHOWN
            print(f"{count:,} more like these, the last: {line}")
        self._last.clear()

    def print_table(self, facts: Facts) -> None:
        """Prints the problems that were not printed, a line for each sort, and the summary: `facts`
        in their order, then the number of problems by kind."""
        self.print_rest()
        rows = [(name, f"{value}") for name, value in facts.items()]
        rows += [(f"problem: {kind}", f"{count}") for kind, count in sorted(self.kinds.items())]
        names, values = (max(map(len, column)) for column in zip(*rows, strict=True))
        print()
        for name, value in rows:
            print(f"{name:<{names}}  {value:>{values}}")
        print(f"problems: {self.kinds.total()}" if self.kinds else "no problems found")
