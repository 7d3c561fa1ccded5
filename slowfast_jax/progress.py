"""Progress of work shared by several processes."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from data_pipelines import progress
from slowfast_jax import distributed

Item = TypeVar("Item")


def track(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yields `items`, telling the watchdog at each one that this process is alive.

    The first process also shows the progress of its own part on stderr, as
    `data_pipelines.progress.track` does.

    Args:
      items: the items of this process.
      total: the number of items expected.
      what: name of the work, shown before the count.
    """
    items = _alive(items)
    return progress.track(items, total, what) if distributed.first() else items


def _alive(items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        distributed.alive()
        yield item
