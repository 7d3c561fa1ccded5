"""Maps each step of a run to its epoch, batch shape and examples, given a plan and the data."""

import bisect
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from data_pipelines.loading.batches import Examples, Load, Order, batches
from slowfast_jax.training.plan import Phase, Plan, Shape


class Leg(NamedTuple):
    """A phase of the plan as steps `begin` to `end` - 1, with its own order of examples."""

    phase: Phase
    order: Order
    begin: int
    end: int


class Course:
    """The steps of a run, given its plan, the number of examples and a seed.

    The batch of a step depends only on these and the step, so a run can resume anywhere. An epoch
    contains no example twice; examples that do not fill the last batch are left for other epochs.
    `steps` is the total number of steps.

    Raises:
      ValueError: there are fewer examples than in a batch, or a batch cannot be split over
        `processes`.
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
        """Each `stream` has its own shuffle."""
        return Order(
            self._size, batch_size=[shape.batch_size for shape in shapes],
            seed=(self._seed, stream), **place, **self._place,
        )

    def leg(self, step: int) -> Leg:
        """The leg that contains a step; the last one at the end of the run."""
        number = bisect.bisect_right([leg.end for leg in self._legs], step)
        return self._legs[min(number, len(self._legs) - 1)]

    def epoch(self, step: int) -> float:
        """Number of epochs (fractional) completed before a step."""
        leg = self.leg(step)
        return leg.phase.begin + (step - leg.begin) / leg.order.steps_per_epoch

    def ended(self, done: int) -> int:
        """Number (from 1) of the epoch that ends after `done` steps; 0 within an epoch."""
        leg = self.leg(done)
        epochs, rest = divmod(done - leg.begin, leg.order.steps_per_epoch)
        return 0 if rest else leg.phase.begin + epochs

    def shape(self, step: int) -> Shape:
        leg = self.leg(step)
        return leg.phase.shapes[leg.order.turn(step - leg.begin)]

    def rows(self, shape: Shape) -> int:
        """Number of examples of this process in a batch."""
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
        """`count` batches of one shape in a separate shuffle, determined by the step."""
        order = self._order((shape,), stream=1, first_step=step, last_step=step + count)
        return batches(
            order, self._load(examples, shape), clips=examples.clips, threads=threads,
            workers=workers,
        )

    def _load(self, examples: Examples, shape: Shape) -> Load:
        if shape == self.plan.shape:
            return examples.load
        rate, max_rate = shape.sampling_rates
        return partial(
            examples.load, num_frames=shape.num_frames, crop=shape.crop, jitter=shape.jitter,
            sampling_rate=rate, max_sampling_rate=max_rate,
        )
