"""Where the time of a demo goes."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
# In the order of the work on a frame. They run in several threads, so that they may add up to more
# than the time that passes.
PARTS = ("decode", "detect", "track", "recognize", "draw", "encode")


class Timing:
    """Seconds of work by part; threads may add to it at the same time.

    Attributes:
      seconds: part -> seconds; only the parts that were needed.
      frames: frames that were taken from the source.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.frames = 0
        self._started = time.perf_counter()
        self._stopped: float | None = None
        self._lock = threading.Lock()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the time of the block to a part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                spent = time.perf_counter() - start
                self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def each(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yields the items and adds the time that it takes to make them to a part."""
        iterator = iter(items)
        while True:
            with self.part(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def stop(self) -> None:
        """Ends the time that `elapsed` counts."""
        self._stopped = time.perf_counter()

    def elapsed(self) -> float:
        """Seconds from the start to the end, or to now."""
        return (self._stopped or time.perf_counter()) - self._started

    def by_part(self) -> dict[str, float]:
        """Part -> seconds, in the order of PARTS."""
        return {name: self.seconds[name] for name in PARTS if name in self.seconds}
