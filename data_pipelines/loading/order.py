"""The order of training: the example in each row of each batch."""

import bisect
import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

FOREVER = 2**40  # elements, or steps, of an order without an end


class Place(NamedTuple):
    """What to load for one row of a batch.

    index: of the example. seed: of the example's random numbers. turn: index of the batch's size
    among the order's batch sizes.
    """

    index: int
    seed: tuple[int, ...]
    turn: int


class Order:
    """The examples that one process loads, in order: a sequence of `Place`.

    Each epoch has its own permutation of the examples, cut into whole batches; the examples that
    do not fill a last batch are left out of that epoch. Of each batch, process p of P loads the
    rows from p * batch_size / P on.

    Grain's own shuffle and repeat are not used: they would give another order, so that every
    recipe's losses would change and runs of earlier versions could not resume. They also do not
    support alternating batch sizes.

    Args:
      size: the number of examples.
      batch_size: over all processes. Several sizes alternate, beginning with the first of them at
        the first step of every epoch (the short cycle of multigrid training).
      seed: of the permutations and of the examples' random numbers.
      first_step: where to begin; steps count from 0.
      first_epoch: the number of the epoch of step 0. An order that continues another one with other
        batch sizes continues its epochs too, so that no permutation occurs twice.
      last_step: the step before which the order ends; None: it has no end.
      process: rank of this process, starting at 0.
      processes: the number of processes.

    Raises:
      ValueError: a batch cannot be split over the processes, or has more rows than there are
        examples.
    """

    def __init__(
        self, size: int, *, batch_size: int | Sequence[int], seed: int | tuple[int, ...],
        first_step: int = 0, first_epoch: int = 0, last_step: int | None = None,
        process: int = 0, processes: int = 1,
    ):
        sizes = (batch_size,) if isinstance(batch_size, int) else tuple(batch_size)
        for one in sizes:
            if one % processes:
                raise ValueError(
                    f"a batch of {one} cannot be split over {processes} processes; choose a batch "
                    f"size that is a multiple of {processes}"
                )
        if size < max(sizes):
            raise ValueError(
                f"{size} examples do not fill one batch of {max(sizes)}; choose a batch size of at "
                f"most {size}"
            )
        self.size, self._sizes, self._starts = size, sizes, (0, *itertools.accumulate(sizes))
        self._seed = (seed,) if isinstance(seed, int) else tuple(seed)
        self._process, self._processes = process, processes
        self.first_step, self.last_step = first_step, last_step
        self._first_epoch = first_epoch
        cycles, rest = divmod(size, self._starts[-1])
        self.steps_per_epoch = cycles * len(sizes) + sum(s <= rest for s in self._starts[1:])
        self._elements_per_epoch = self._elements_of(self.steps_per_epoch)

    def _elements_of(self, steps: int) -> int:
        """Elements of the first `steps` steps of an epoch, over all processes."""
        cycles, turn = divmod(steps, len(self._sizes))
        return cycles * self._starts[-1] + self._starts[turn]

    def _elements_before(self, step: int) -> int:
        """Elements of all steps before `step`, over all processes."""
        epoch, step = divmod(step, self.steps_per_epoch)
        return epoch * self._elements_per_epoch + self._elements_of(step)

    def turn(self, step: int) -> int:
        """Which of the batch sizes a step has."""
        return step % self.steps_per_epoch % len(self._sizes)

    def rows(self, step: int) -> int:
        """Rows of this process in the batch of a step."""
        return self._sizes[self.turn(step)] // self._processes

    def __len__(self) -> int:
        if self.last_step is None:
            return FOREVER
        elements = self._elements_before(self.last_step) - self._elements_before(self.first_step)
        return elements // self._processes

    def __getitem__(self, number: int) -> Place:
        """Element `number` of this process, counted from its first row of `first_step` on."""
        element = self._elements_before(self.first_step) + number * self._processes
        epoch, element = divmod(element, self._elements_per_epoch)
        cycles, rest = divmod(element, self._starts[-1])
        turn = bisect.bisect_right(self._starts, rest) - 1
        row = (rest - self._starts[turn]) // self._processes
        position = cycles * self._starts[-1] + self._starts[turn] + row
        position += self._process * (self._sizes[turn] // self._processes)
        epoch += self._first_epoch
        index = int(_permutation(self.size, self._seed, epoch)[position])
        return Place(index, (*self._seed, epoch, position), turn)


@lru_cache(maxsize=2)
def _permutation(size: int, seed: tuple[int, ...], epoch: int) -> np.ndarray:
    return np.random.default_rng((*seed, epoch)).permutation(size)
