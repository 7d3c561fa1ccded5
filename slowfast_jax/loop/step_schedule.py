"""A plan laid over the data: which epoch, shape and batch each step of a run has."""

import bisect
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from data_pipelines.loading.batches import Examples, Load, batches
from data_pipelines.loading.order import Order
from slowfast_jax.training.plan import Phase, Plan, Shape


class Leg(NamedTuple):
    """A phase of the plan in steps: those from `begin` to `end` - 1, `order` being its own."""

    phase: Phase
    order: Order
    begin: int
    end: int


class Course:
    """What follows from a plan, the number of examples and a seed; `steps` there are in all.

    The batch of a step is a function of these and of the step, so a run goes on anywhere. An epoch
    has no example twice, and what does not fill its last batch is left to other epochs.

    Raises:
      ValueError: there are fewer examples than a batch needs; it does not split over `processes`.
    """

    def __init__(
        self, plan: Plan, size: int, *, seed: int, process: int = 0, processes: int = 1
    ):
        self.plan, self._size, self._seed = plan, size, seed
        self._place = dict(process=process, processes=processes)
        self._legs: list[Leg] = []
        begin = 0
        for phase in plan.phases:
            order = self._order(phase.shapes, first_epoch=phase.begin)
            end = begin + (phase.end - phase.begin) * order.steps_per_epoch
            self._legs.append(Leg(phase, order, begin, end))
            begin = end
        self.steps = begin

    def _order(self, shapes: tuple[Shape, ...], *, stream: int = 0, **place: int) -> Order:
        """Another `stream` has another order."""
        return Order(
            self._size, batch_size=[shape.batch_size for shape in shapes],
            seed=(self._seed, stream), **place, **self._place,
        )

    def leg(self, step: int) -> Leg:
        """That of a step; at the end of the run the last."""
        number = bisect.bisect_right([leg.end for leg in self._legs], step)
        return self._legs[min(number, len(self._legs) - 1)]

    def epoch(self, step: int) -> float:
        """Epochs that are done before a step."""
        leg = self.leg(step)
        return leg.phase.begin + (step - leg.begin) / leg.order.steps_per_epoch

    def ended(self, done: int) -> int:
        """The number of the epoch, from 1 on, which `done` steps complete; within one 0."""
        leg = self.leg(done)
        epochs, rest = divmod(done - leg.begin, leg.order.steps_per_epoch)
        return 0 if rest else leg.phase.begin + epochs

    def shape(self, step: int) -> Shape:
        leg = self.leg(step)
        return leg.phase.shapes[leg.order.turn(step - leg.begin)]

    def rows(self, shape: Shape) -> int:
        """Examples of this process in a batch."""
        return shape.batch_size // self._place["processes"]

    def batches(
        self, examples: Examples, first_step: int, *, threads: int, workers: int
    ) -> Iterator[dict[str, Any]]:
        """This process's part of the batches from a step to the end of the run."""
        for leg in self._legs:
            if first_step >= leg.end:
                continue
            order = self._order(
                leg.phase.shapes, first_epoch=leg.phase.begin,
                first_step=max(first_step - leg.begin, 0), last_step=leg.end - leg.begin,
            )
            loads = [self._load(examples, shape) for shape in leg.phase.shapes]
            yield from batches(
                order, loads, clips=examples.clips, threads=threads, workers=workers
            )

    def others(
        self, examples: Examples, shape: Shape, step: int, count: int, *, threads: int, workers: int
    ) -> Iterator[dict[str, Any]]:
        """`count` batches of one shape in an order of their own, which follows from the step."""
        order = self._order((shape,), stream=1, first_step=step, last_step=step + count)
        return batches(
            order, self._load(examples, shape), clips=examples.clips, threads=threads,
            workers=workers,
        )

    def _load(self, examples: Examples, shape: Shape) -> Load:
        if shape == self.plan.shape:
            return examples.load
        return partial(examples.load, shape=shape)
