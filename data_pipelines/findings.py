"""What a check of data finds: a line for each problem as it is found, and a table at the end."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from data_pipelines.sources.keyframes import PathLike
from data_pipelines.video.inspection import Inspection

Facts = dict[str, str | int]


class Checked(NamedTuple):
    """What data holds, and how to write what of it is right: a list to a file, AVA's tables to a
    folder."""

    facts: Facts
    write: Callable[[PathLike], None]


class Findings:
    """Prints problems and counts them by kind."""

    def __init__(self):
        self.kinds: Counter[str] = Counter()

    def tell(self, where: str, kind: str, text: str) -> None:
        """A problem: `where` is a file, or file:line; `text` what it is and what to do."""
        self.kinds[kind] += 1
        print(f"{where}: {kind}: {text}", flush=True)

    def tell_row(self, error: ValueError) -> str:
        """An error of a reader, which names the place; returns that."""
        where, _, text = str(error).partition(": ")
        self.tell(where, "wrong row", text)
        return where

    def tell_video(self, where: str, name: str, inspection: Inspection) -> bool:
        """The problems of a video; whether it is usable."""
        for problem in inspection.problems:
            self.tell(where, problem.kind, f"{name}: {problem.text}")
        return all(problem.usable for problem in inspection.problems)

    def print_table(self, facts: dict[str, str | int]) -> None:
        """The summary: `facts` in their order, then how many problems of each kind there are."""
        rows = [(name, f"{value}") for name, value in facts.items()]
        rows += [(f"found: {kind}", f"{count}") for kind, count in sorted(self.kinds.items())]
        names, values = (max(map(len, column)) for column in zip(*rows, strict=True))
        print()
        for name, value in rows:
            print(f"{name:<{names}}  {value:>{values}}")
        print(f"problems: {self.kinds.total()}" if self.kinds else "all is well")


def some(names: Iterable, most: int = 12) -> str:
    """The first names of many."""
    names = [str(name) for name in names]
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
