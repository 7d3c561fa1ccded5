"""Notices the death of worker processes, even where Grain waits for them forever.

A worker that is killed while it holds one of Grain's locks never releases it, and Grain waits for
the lock to tell its worker to end. So one thread waits for Grain, and another one watches.
"""

import gc
import queue
import threading
from collections.abc import Iterator
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import grain

DEATH = "terminated unexpectedly"  # in Grain's message on a dead worker
CHECK = 0.1  # seconds between two looks at the workers
REPORT = 5.0  # seconds that Grain gets to report the death of a worker


def watched(stream: grain.DatasetIterator, folder: Path, workers: int) -> Iterator[Any]:
    """Yields the elements of `stream` and closes it.

    Args:
      stream: loads with worker processes.
      folder: each worker has made a file in it, whose name is its process id.
      workers: the number of workers.

    Raises:
      RuntimeError with DEATH in its message: a worker died.
      Any exception of `stream`.
    """
    wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
    results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def take() -> None:
        while wanted.get():
            try:
                results.put((next(stream), None))
            except BaseException as error:  # raised in the reader's thread instead
                results.put((None, error))

    thread = threading.Thread(target=take, name="take elements", daemon=True)
    thread.start()
    processes = _Processes(folder, workers)
    try:
        while True:
            wanted.put(True)
            element, error = _result(results, processes)
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            processes.look()
            yield element
            del element
    finally:
        wanted.put(False)
        if not processes.abandoned:
            thread.join()
            stream.close()


def _result(results: queue.SimpleQueue, processes: "_Processes") -> tuple[Any, Any]:
    dead_for = 0.0
    while dead_for < REPORT:
        try:
            return results.get(timeout=CHECK)
        except queue.Empty:
            dead_for += CHECK * processes.one_died()
    processes.abandon()
    raise RuntimeError(f"a worker {DEATH} with exit code {processes.exit_code()}")


class _Processes:
    """The worker processes of one stream."""

    def __init__(self, folder: Path, count: int):
        self.abandoned = False
        self._folder, self._count = folder, count
        self._children: dict[int, BaseProcess] = {}  # of this program, by process id
        self._workers: dict[int, BaseProcess | None] = {}  # None died before it was first seen

    def look(self) -> None:
        """Learns which workers have started."""
        if len(self._workers) < self._count:
            self._children |= {child.pid: child for child in active_children()}
            pids = [int(file.name) for file in self._folder.iterdir()]
            self._workers = {pid: self._children.get(pid) for pid in pids}

    def one_died(self) -> bool:
        """Whether a worker has ended, which none does while its elements are waited for."""
        self.look()
        return any(w is None or w.exitcode is not None for w in self._workers.values())

    def exit_code(self) -> int | None:
        """The exit code of a worker that died; None if it is unknown."""
        return next((w.exitcode for w in self._workers.values() if w and w.exitcode), None)

    def abandon(self) -> None:
        """Kills the workers, and makes Grain forget them: to end them, it would wait for a lock."""
        self.abandoned = True
        for iterator in gc.get_objects():
            if type(iterator).__name__ == "ProcessPrefetchDatasetIterator":
                if getattr(iterator._prefetch_process, "pid", None) in self._workers:
                    iterator._prefetch_process = None
        for worker in filter(None, self._workers.values()):
            worker.kill()
