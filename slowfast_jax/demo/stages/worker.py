"""Runs a network beside the loop over the frames."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

MOST_WAITING = 2  # inputs that the network has not finished, so that few of them are in memory


class Worker:
    """One thread that does jobs in order.

    Use it as a context; leaving it drops the jobs that have not begun.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "recognize")
        self._jobs: deque[tuple[Any, Future]] = deque()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def busy(self) -> bool:
        """Whether a job is not finished."""
        return any(not future.done() for _, future in self._jobs)

    def submit(self, key: Any, job: Callable[[], Any]) -> None:
        """Adds a job; its result comes with the key."""
        self._jobs.append((key, self._pool.submit(job)))

    def results(self, *, all_jobs: bool = False) -> Iterator[tuple[Any, Any]]:
        """Yields (key, result) of finished jobs in order.

        It waits until less than MOST_WAITING jobs are left, or until all are done.
        """
        most = 0 if all_jobs else MOST_WAITING - 1
        while self._jobs and (len(self._jobs) > most or self._jobs[0][1].done()):
            key, future = self._jobs[0]
            result = future.result()
            self._jobs.popleft()
            yield key, result
