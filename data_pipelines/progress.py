"""Progress of long work on stderr: a bar on a terminal, a line every 30 seconds elsewhere."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_pipelines.cores import available_cores

SECONDS_BETWEEN_LINES = 30.0


@dataclass
class _Shown:
    """Work whose progress is shown."""

    what: str
    total: int
    count: int = 0


_shown: list[_Shown] = []  # the current work is the last one
Item = TypeVar("Item")
Result = TypeVar("Result")


def track(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yields `items` and shows on stderr how many of `total` have been yielded.

    What the program prints to the same terminal meanwhile appears above the bar.

    Args:
        items: the items to pass on.
        total: the number of items expected.
        what: name of the work, shown before the count.
    """
    shown = _Shown(what, total)
    _shown.append(shown)
    try:
        for item in _display(items, total, what):
            shown.count += 1
            yield item
    finally:
        _shown[:] = [each for each in _shown if each is not shown]


def _display(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yields `items` and shows how many there were so far."""
    console = Console(stderr=True, soft_wrap=True)
    if total and can_redraw(console):
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("remaining"), TimeRemainingColumn(),
        )
        # Results on a stdout that is a file or a pipe must stay there.
        with Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty()) as bar:
            task = bar.add_task(what, total=total)
            for item in items:
                bar.advance(task)
                yield item
        return
    start = last = time.monotonic()
    for count, item in enumerate(items, 1):
        now = time.monotonic()
        if count == 1:
            first = now  # what is done once, such as compiling, is not repeated for the others
        if count == total or now - last > SECONDS_BETWEEN_LINES:
            last, remaining = now, (now - first) / max(count - 1, 1) * (total - count)
            text = f", about {remaining:.0f} s remaining" if remaining >= 1 else ""
            print(f"{what}: {count}/{total} in {now - start:.0f} s{text}", file=sys.stderr,
                  flush=True)
        yield item


def can_redraw(console: Console) -> bool:
    """Whether the console's stderr is a terminal whose lines can be overwritten.

    Rich alone takes any file for a terminal if FORCE_COLOR is set, as it is where builds run.
    """
    return console.is_interactive and sys.stderr.isatty()


def in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], what: str
) -> Iterator[Result]:
    """Yields `work(item)` for each item, in order, computed in one thread per processor.

    Threads suffice because FFmpeg and Pillow release Python's lock while they work. Progress is
    shown as by `track`. If the consumer stops early or `work` raises, items not yet started are
    dropped.

    Raises:
        Exception: whatever `work` raises, at the place of its item.
    """
    with ThreadPoolExecutor(available_cores()) as pool:
        def results() -> Iterator[Result]:  # nothing starts before `track` shows that it does
            yield from pool.map(work, items)

        try:
            yield from track(results(), len(items), what)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def end_on_interrupt(after: str) -> None:
    """Makes Ctrl-C end the process at once, without waiting for work that threads have started.

    It prints one line with what was done, ending in `after`, and exits with status 130.
    """
    def end(_number: int, _frame: object) -> None:
        console = Console(stderr=True)
        console.show_cursor()  # which a progress bar hides
        now = _shown[-1] if _shown else None
        done = f" {now.what}: {now.count} of {now.total} done;" if now else ""
        os.write(2, f"\ninterrupted:{done} {after}\n".encode())
        os._exit(130)

    signal.signal(signal.SIGINT, end)
