"""Clips of concurrent requests run together, in batches of a few fixed sizes."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# uint8 clips (N, T, H, W, 3), for networks that classify boxes also boxes (N, B, 4) -> scores
Run = Callable[..., Any]
Inputs = tuple[np.ndarray, ...]  # of `Run`, N clips


@dataclass
class _Work:
    """The clips of a request.

    Attributes:
      taken: how many of them were put into a batch.
      scores: those of the batches that are done.
      result: gets all scores.
    """

    inputs: Inputs
    taken: int = 0
    scores: list[np.ndarray] = field(default_factory=list)
    result: Future = field(default_factory=Future)

    def __len__(self) -> int:
        return len(self.inputs[0])

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of a single clip and its boxes."""
        return [array.shape[1:] for array in self.inputs]

    def finished(self) -> bool:
        """Whether nothing is left to take: all is taken, or nobody waits for it any more."""
        return self.taken == len(self) or self.result.done()

    def take(self, most: int) -> Inputs:
        part = slice(self.taken, self.taken + most)
        self.taken = min(len(self), self.taken + most)
        return tuple(array[part] for array in self.inputs)

    def add(self, scores: np.ndarray) -> None:
        self.scores.append(scores)
        if sum(map(len, self.scores)) == len(self):
            _settle(self.result, np.concatenate(self.scores))


class Batcher:
    """A thread that runs a network on the clips of all requests, in order of their arrival.

    While a batch runs, further clips gather; the next batch takes as many of them as fit, and is
    padded to the smallest size that holds them. Clips of different shapes are in different batches.

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

    def start(self, examples: Iterable[Inputs]) -> None:
        """Compiles the network in all sizes, then takes work.

        Args:
          examples: the inputs of a single clip (N = 1) in each shape.
        """
        for inputs in examples:
            for size in self.sizes:
                np.asarray(self._run(*_enlarged(inputs, size)))
        self._thread.start()

    def submit(self, *inputs: np.ndarray) -> Future:
        """Scores of the clips of one request, (V, K) or (V, B, K), once they are there.

        Clips of a future that is cancelled before their batch begins are not run.
        """
        work = _Work(inputs)
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

    def _next(self) -> list[tuple[_Work, Inputs]] | None:
        """Waits for work, and takes the clips of the next batch; None at the end."""
        parts, free = [], self.sizes[-1]
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            shapes = self._waiting[0].shapes
            for work in self._waiting:
                # One that is finished here was cancelled, or has failed.
                if free and work.shapes == shapes and not work.finished():
                    inputs = work.take(free)
                    free -= len(inputs[0])
                    parts.append((work, inputs))
            self._waiting = deque(work for work in self._waiting if not work.finished())
        return parts

    def _run_batch(self, parts: Sequence[tuple[_Work, Inputs]]) -> None:
        inputs = tuple(map(np.concatenate, zip(*(inputs for _, inputs in parts), strict=True)))
        count = len(inputs[0])
        size = next(size for size in self.sizes if size >= count)
        self._observe(count, size)
        try:
            scores = np.asarray(self._run(*_enlarged(inputs, size)))[:count]
        except Exception as error:  # fails the requests in this batch only
            for work, _ in parts:
                _settle(work.result, error)
            return
        begin = 0
        for work, inputs in parts:
            end = begin + len(inputs[0])
            work.add(scores[begin:end])
            begin = end


def _enlarged(inputs: Inputs, size: int) -> Inputs:
    """The inputs with `size` clips, of which the further ones repeat the last."""
    return tuple(
        np.concatenate([array, array[-1:].repeat(size - len(array), axis=0)]) for array in inputs
    )


def _settle(future: Future, outcome: np.ndarray | Exception) -> None:
    """Gives a future its result or exception, unless it was cancelled meanwhile."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
