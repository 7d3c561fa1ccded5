"""The schedule of a run: the epoch, the shape and the batch of every step."""

import bisect
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from data_pipelines.loading.batches import Examples, Load, batches
from data_pipelines.loading.order import Order
from slowfast_jax.training.plan import Phase, Plan, Shape


class Segment(NamedTuple):
    """The steps `begin` to `end` - 1 of a run: a phase of its plan and its order of examples."""

    phase: Phase
    order: Order
    begin: int
    end: int


class StepSchedule:
    """Maps steps to epochs, shapes and batches, given a plan, the number of examples and a seed.

    The batch of a step depends on these and the step only, so a run can resume at any step. No
    example occurs twice in an epoch; examples that do not fill a last batch are left out of it.

    Attributes:
      plan: the plan.
      steps: number of steps of the run.

    Raises:
      ValueError: there are fewer examples than a batch needs, or a batch cannot be split over the
        processes.
    """

    def __init__(
        self, plan: Plan, size: int, *, seed: int, process: int = 0, processes: int = 1
    ):
        self.plan, self._size, self._seed = plan, size, seed
        self._place = dict(process=process, processes=processes)
        self._segments: list[Segment] = []
        begin = 0
        for phase in plan.phases:
            order = self._order(phase.shapes, first_epoch=phase.begin)
            end = begin + (phase.end - phase.begin) * order.steps_per_epoch
            self._segments.append(Segment(phase, order, begin, end))
            begin = end
        self.steps = begin

    def _order(self, shapes: tuple[Shape, ...], *, stream: int = 0, **place: int) -> Order:
        """The order of the examples; every `stream` has a different one."""
        return Order(
            self._size, batch_size=[shape.batch_size for shape in shapes],
            seed=(self._seed, stream), **place, **self._place,
        )

    def segment(self, step: int) -> Segment:
        """The segment of a step; the last one at the end of the run."""
        number = bisect.bisect_right([segment.end for segment in self._segments], step)
        return self._segments[min(number, len(self._segments) - 1)]

    def epoch(self, step: int) -> float:
        """Number of epochs completed before a step, with fractions."""
        segment = self.segment(step)
        return segment.phase.begin + (step - segment.begin) / segment.order.steps_per_epoch

    def ended(self, done: int) -> int:
        """The epoch, counted from 1, that `done` steps complete; 0 in the middle of an epoch."""
        segment = self.segment(done)
        epochs, rest = divmod(done - segment.begin, segment.order.steps_per_epoch)
        return 0 if rest else segment.phase.begin + epochs

    def step_of(self, epochs: int) -> int:
        """The first step after a number of completed epochs, at most those of the run."""
        for segment in self._segments:
            if epochs < segment.phase.end:
                past = epochs - segment.phase.begin
                return segment.begin + past * segment.order.steps_per_epoch
        return self.steps

    def shape(self, step: int) -> Shape:
        segment = self.segment(step)
        return segment.phase.shapes[segment.order.turn(step - segment.begin)]

    def rows(self, shape: Shape) -> int:
        """Number of examples that this process loads for a batch."""
        return shape.batch_size // self._place["processes"]

    def batches(
        self, examples: Examples, first_step: int, *, threads: int, workers: int
    ) -> Iterator[dict[str, Any]]:
        """This process's rows of the batches from `first_step` to the end of the run."""
        for segment in self._segments:
            if first_step >= segment.end:
                continue
            order = self._order(
                segment.phase.shapes, first_epoch=segment.phase.begin,
                first_step=max(first_step - segment.begin, 0),
                last_step=segment.end - segment.begin,
            )
            loads = [self._load(examples, shape) for shape in segment.phase.shapes]
            yield from batches(
                order, loads, clips=examples.clips, threads=threads, workers=workers
            )

    def others(
        self, examples: Examples, shape: Shape, step: int, count: int, *, threads: int, workers: int
    ) -> Iterator[dict[str, Any]]:
        """`count` batches of one shape, in an order that is independent of the training batches."""
        order = self._order((shape,), stream=1, first_step=step, last_step=step + count)
        return batches(
            order, self._load(examples, shape), clips=examples.clips, threads=threads,
            workers=workers,
        )

    def _load(self, examples: Examples, shape: Shape) -> Load:
        if shape == self.plan.shape:
            return examples.load
        return partial(examples.load, shape=shape)
