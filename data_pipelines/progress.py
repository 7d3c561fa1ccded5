"""Work on many files in threads, with a word on how far it is."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TextIO, TypeVar

SECONDS_BETWEEN_LINES = 30.0
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], what: str
) -> Iterator[Result]:
    """`work(item)` of each item, in their order, as many at once as there are processors.

    FFmpeg and Pillow let other threads run while they work, so threads do. How many are done is
    shown on stderr: in a line that changes on a terminal, in a line now and then elsewhere. Where
    the reader stops early, or `work` raises, items that have not begun are given up.
    """
    show = _Display(what, len(items), sys.stderr)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for done, result in enumerate(pool.map(work, items), 1):
                show(done)
                yield result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Display:
    """Tells how many of `total` are done."""

    def __init__(self, what: str, total: int, stream: TextIO):
        self.what, self.total, self.stream = what, total, stream
        self.start = self.last = time.monotonic()

    def __call__(self, done: int) -> None:
        now, terminal = time.monotonic(), self.stream.isatty()
        if done < self.total and now - self.last < (0.1 if terminal else SECONDS_BETWEEN_LINES):
            return
        self.last = now
        left = (now - self.start) / done * (self.total - done)
        text = f"{self.what}: {done}/{self.total}, {now - self.start:.0f} s"
        text += f", about {left:.0f} s left" if left >= 1 else ""
        if terminal:
            print(f"\r{text}\033[K", end="\n" if done == self.total else "", file=self.stream)
        else:
            print(text, file=self.stream)
        self.stream.flush()
