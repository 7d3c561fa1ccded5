"""Iterators read ahead by background threads."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

NAME = "read ahead"  # name of the threads
POLL = 0.1  # seconds between checks whether the reader still wants items
Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(sources: Sequence[Iterable[Item]], ahead: int = 1) -> Iterator[Item]:
    """Yields the items of all sources as they come, with one reader thread per source.

    Up to `ahead` items wait in a queue. With the item in use and the one that each thread holds
    until there is room in the queue, at most ahead + 1 + len(sources) items are in memory.

    Closing the iterator stops the threads, waits for them and closes the sources. An exception of a
    source is raised here.
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(ahead)
    stop = threading.Event()

    def offer(kind: str, item: Any) -> None:
        while not stop.is_set():
            try:
                return ready.put((kind, item), timeout=POLL)
            except queue.Full:
                continue

    def work(source: Iterable[Item]) -> None:
        try:
            for item in source:
                offer("item", item)
                del item  # or its memory would be held while the next one is made
                if stop.is_set():
                    return
            offer("end", None)
        except BaseException as error:  # raised in the reader's thread instead
            offer("error", error)
        finally:
            getattr(source, "close", lambda: None)()

    threads = [
        threading.Thread(target=work, args=(source,), name=NAME, daemon=True) for source in sources
    ]
    for thread in threads:
        thread.start()
    try:
        running = len(threads)
        while running:
            kind, item = ready.get()
            if kind == "error":
                raise item
            if kind == "end":
                running -= 1
                continue
            yield item
            del item
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def work_queues(
    items: Iterable[Item], process: Callable[[int, Item], Iterable[Result]], count: int
) -> list[Iterator[Result]]:
    """Divides items among `count` iterators, as sources for `read_ahead`.

    Each iterator takes the next item that no other has taken, and yields the results of
    `process(number of the item, item)` before it takes another.
    """
    tasks: queue.SimpleQueue[tuple[int, Item]] = queue.SimpleQueue()
    for task in enumerate(items):
        tasks.put(task)

    def work() -> Iterator[Result]:
        while True:
            try:
                number, item = tasks.get_nowait()
            except queue.Empty:
                return
            yield from process(number, item)

    return [work() for _ in range(count)]
