"""Batches brought to the devices while the step before is under way."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from slowfast_jax.training.sharding import put_batch

POLL = 0.1  # seconds between looks whether anyone still wants what is ready


def prefetched(source: Iterator[Any], put: Callable[[Any], Any], ahead: int = 1) -> Iterator[Any]:
    """`put` of each item of `source`, `ahead` of them ready beforehand, by a thread of its own.

    With the item in use and the one that waits for its place in the queue, at most ahead + 2 are
    held. Closing the iterator closes `source`. What either of them raises is raised here.
    """
    ready: queue.Queue = queue.Queue(ahead)
    stop = threading.Event()

    def offer(item: tuple[str, Any]) -> None:
        while not stop.is_set():
            try:
                return ready.put(item, timeout=POLL)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in source:
                offer(("item", put(item)))
                if stop.is_set():
                    return
            offer(("end", None))
        except BaseException as error:  # for the thread that waits for it
            offer(("error", error))
        finally:
            getattr(source, "close", lambda: None)()

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, item = ready.get()
            if kind == "error":
                raise item
            if kind == "end":
                return
            yield item
            del item  # its memory is the next one's
    finally:
        stop.set()
        thread.join()


def on_devices(
    source: Iterator[dict[str, Any]], mesh: Mesh
) -> Iterator[tuple[dict[str, jax.Array], np.ndarray, list]]:
    """(batch on the devices, indices of this process's examples, those that are broken)."""

    def put(batch: dict[str, Any]) -> tuple[dict[str, jax.Array], np.ndarray, list]:
        broken, index = batch.pop("broken"), batch.pop("index")
        return put_batch(batch, mesh), index, broken

    return prefetched(source, put)
