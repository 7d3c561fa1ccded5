"""A progress bar on a terminal, a line now and then where output goes to a file."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from slowfast_jax import distributed

SECONDS_BETWEEN_LINES = 30.0
Item = TypeVar("Item")


def track(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Passes `items` on, of which there will be `total`, and shows on stderr how many have come.

    Of many processes the first one shows it, of its own part.
    """
    if not distributed.first():
        yield from _alive(items)
        return
    items = _alive(items)
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("remaining"), TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(what, total=total)
            for item in items:
                bar.advance(task)
                yield item
        return
    start = last = time.monotonic()
    for count, item in enumerate(items, 1):
        now = time.monotonic()
        if count == total or now - last > SECONDS_BETWEEN_LINES:
            last = now
            console.print(f"{what}: {count}/{total} in {now - start:.0f} s", highlight=False)
        yield item


def _alive(items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        distributed.alive()
        yield item
