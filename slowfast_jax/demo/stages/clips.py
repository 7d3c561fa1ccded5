"""Takes clips for a network out of the most recent frames of a video."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np

from slowfast_jax.demo.sources.frames import Frame

CLOSE = 1e-6  # of a position: places that differ by less are the same


class ClipBuffer:
    """The frames that a next clip may need, by position.

    Positions count `rate` per second from the first frame on. Position n shows the frame that is
    seen at that time: in a video of this frame rate the n-th frame, in one of a variable rate the
    last frame up to then.
    """

    def __init__(self, rate: float, prepare: Callable[[np.ndarray], np.ndarray]):
        """rate: positions per second; prepare: scales and crops a picture (H, W, 3)."""
        self._rate, self._prepare = rate, prepare
        self._places: list[float] = []
        self._frames: list[Frame] = []
        self._prepared: dict[float, np.ndarray] = {}  # place -> the picture as the network takes it

    @property
    def count(self) -> int:
        """Number of positions from the start to the last frame."""
        return math.floor(self._places[-1] + 0.5 + CLOSE) + 1 if self._places else 0

    def push(self, frame: Frame) -> None:
        """Adds the next frame."""
        self._places.append(frame.time * self._rate)
        self._frames.append(frame)

    def clip(self, positions: Sequence[int]) -> np.ndarray:
        """The pictures at rising positions, uint8 (T, H, W, 3)."""
        return np.stack([self._picture(position) for position in positions])

    def forget(self, position: float) -> None:
        """Drops the frames that are only needed before a position."""
        first = max(self._index(math.floor(position)), 0)
        for place in self._places[:first]:
            self._prepared.pop(place, None)
        del self._places[:first], self._frames[:first]

    def _index(self, position: int) -> int:
        """Index of the frame at a position; the first one before it, -1 without any frame."""
        found = bisect_left(self._places, position + 0.5 - CLOSE) - 1
        return max(found, 0) if self._places else -1

    def _picture(self, position: int) -> np.ndarray:
        index = self._index(position)
        place = self._places[index]
        if place not in self._prepared:
            self._prepared[place] = self._prepare(self._frames[index].picture())
        return self._prepared[place]
