"""Batches are transferred to the devices while the previous step runs."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from slowfast_jax.training.sharding import put_batch

POLL = 0.1  # seconds between checks whether the consumer is still there


def prefetched(source: Iterator[Any], put: Callable[[Any], Any], ahead: int = 1) -> Iterator[Any]:
    """Yields `put(item)` for each item of `source`, computed up to `ahead` items early by a thread.

    At most ahead + 2 items are held: those in the queue, the one in use and one waiting for a place
    in the queue. Closing the iterator closes `source`. Errors of `source` and `put` are raised
    here.
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
        except BaseException as error:  # raised in the consumer's thread
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
            del item  # frees its memory for the next one
    finally:
        stop.set()
        thread.join()


def on_devices(
    source: Iterator[dict[str, Any]], mesh: Mesh
) -> Iterator[tuple[dict[str, jax.Array], np.ndarray, list]]:
    """Yields (batch on the devices, indices of this process's examples, unreadable examples)."""

    def put(batch: dict[str, Any]) -> tuple[dict[str, jax.Array], np.ndarray, list]:
        broken, index = batch.pop("broken"), batch.pop("index")
        return put_batch(batch, mesh), index, broken

    return prefetched(source, put)
