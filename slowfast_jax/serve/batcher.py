"""Clips of concurrent requests run together, in batches of a few fixed sizes."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Run = Callable[[np.ndarray], Any]  # uint8 clips (N, T, H, W, 3) -> scores (N, K)


@dataclass
class _Work:
    """The clips of a request.

    Attributes:
      taken: how many of them were put into a batch.
      scores: those of the batches that are done.
      result: gets all scores.
    """

    clips: np.ndarray
    taken: int = 0
    scores: list[np.ndarray] = field(default_factory=list)
    result: Future = field(default_factory=Future)

    def take(self, most: int) -> np.ndarray:
        clips = self.clips[self.taken:self.taken + most]
        self.taken += len(clips)
        return clips

    def add(self, scores: np.ndarray) -> None:
        self.scores.append(scores)
        if sum(map(len, self.scores)) == len(self.clips):
            _settle(self.result, np.concatenate(self.scores))


class Batcher:
    """A thread that runs a network on the clips of all requests, in order of their arrival.

    While a batch runs, further clips gather; the next batch takes as many of them as fit, and is
    padded to the smallest size that holds them.

    Attributes:
      sizes: numbers of clips per batch, ascending.
    """

    def __init__(
        self, run: Run, sizes: Sequence[int],
        observe: Callable[[int, int], None] = lambda clips, size: None,
    ):
        """observe: called with the number of clips and the size of each batch."""
        self.sizes = sorted(sizes)
        self._run = run
        self._observe = observe
        self._waiting: deque[_Work] = deque()  # clips of these are not all taken
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="batches", daemon=True)

    def start(self, clip: Sequence[int]) -> None:
        """Compiles the network for clips of shape (T, H, W, 3) in all sizes, then takes work."""
        for size in self.sizes:
            np.asarray(self._run(np.zeros((size, *clip), np.uint8)))
        self._thread.start()

    def submit(self, clips: np.ndarray) -> Future:
        """Scores (V, K) of the clips (V, T, H, W, 3) of one request, once they are there.

        Clips of a future that is cancelled before their batch begins are not run.
        """
        work = _Work(clips)
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._waiting.append(work)
            self._changed.notify()
        return work.result

    def close(self) -> None:
        """Finishes what was submitted and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        while (parts := self._next()) is not None:
            if parts:
                self._run_batch(parts)

    def _next(self) -> list[tuple[_Work, np.ndarray]] | None:
        """Waits for work, and takes the clips of the next batch; None at the end."""
        parts, free = [], self.sizes[-1]
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            while self._waiting and free:
                work = self._waiting[0]
                if not work.result.done():  # neither cancelled nor failed
                    clips = work.take(free)
                    free -= len(clips)
                    parts.append((work, clips))
                if work.result.done() or work.taken == len(work.clips):
                    self._waiting.popleft()
        return parts

    def _run_batch(self, parts: Sequence[tuple[_Work, np.ndarray]]) -> None:
        clips = np.concatenate([clips for _, clips in parts])
        count = len(clips)
        size = next(size for size in self.sizes if size >= count)
        padding = np.zeros((size - count, *clips.shape[1:]), np.uint8)
        self._observe(count, size)
        try:
            scores = np.asarray(self._run(np.concatenate([clips, padding])))[:count]
        except Exception as error:  # fails the requests in this batch only
            for work, _ in parts:
                _settle(work.result, error)
            return
        begin = 0
        for work, clips in parts:
            work.add(scores[begin:begin + len(clips)])
            begin += len(clips)


def _settle(future: Future, outcome: np.ndarray | Exception) -> None:
    """Gives a future its result or exception, unless it was cancelled meanwhile."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
