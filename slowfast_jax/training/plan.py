"""Plan of a run by epoch: batch shapes, learning rates, validations and checkpoints.

A plan is data, made before training begins. A plain run has one phase with one shape; multigrid
training (multigrid.py) has several.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Shape(NamedTuple):
    """The input of a step: clips (batch_size * clips of an example, num_frames, crop, crop, 3).

    batch_size: examples in all processes together. group_size: clips that share batch-norm
    statistics. jitter: range of the short side in pixels. sampling_rates: range that a clip's
    frame interval (in frames of the video) is drawn from. norm_splits: number of groups of
    group_size clips on one GPU of the original; None: it does not split a GPU's batch.
    """

    batch_size: int
    num_frames: int
    crop: int
    group_size: int
    jitter: tuple[int, int]
    sampling_rates: tuple[int, int]
    norm_splits: int | None = None


class Phase(NamedTuple):
    """Epochs `begin` to `end` - 1, counted from 0.

    The shapes alternate from step to step, beginning with the first in each epoch; the last one is
    the shape without the short cycle.
    """

    begin: int
    end: int
    shapes: tuple[Shape, ...]


class Plan(NamedTuple):
    """A whole run.

    shape: the recipe's shape, used in validation and by the finished network.
    schedule: argument of `learning_rate`.
    evaluations, checkpoints: numbers of completed epochs after which to validate and to save.
    """

    shape: Shape
    phases: tuple[Phase, ...]
    epochs: int
    schedule: Mapping[str, Any]
    evaluations: frozenset[int]
    checkpoints: frozenset[int]

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The distinct shapes, in order of appearance."""
        return tuple(dict.fromkeys(shape for phase in self.phases for shape in phase.shapes))

    @property
    def norm_splits(self) -> int:
        """Largest number of splits of a batch norm in the run; 1 if none are split."""
        return max(shape.norm_splits or 1 for shape in self.shapes)

    def words(self) -> list[str]:
        """One line of text for each phase."""
        return [
            f"epochs {phase.begin + 1}-{phase.end}: "
            + ", ".join(f"{s.batch_size}x{s.num_frames}x{s.crop}x{s.crop}" for s in phase.shapes)
            for phase in self.phases
        ]


def plain_plan(
    shape: Shape, *, epochs: int, schedule: Mapping[str, Any], eval_period: int,
    checkpoint_period: int,
) -> Plan:
    """A plan that is the same in every epoch. Periods are in epochs; 0: only at the end."""
    return Plan(
        shape, (Phase(0, epochs, (shape,)),), epochs, schedule,
        _multiples(eval_period, epochs), _multiples(checkpoint_period, epochs),
    )


def _multiples(period: int, epochs: int) -> frozenset[int]:
    """Multiples of the period below `epochs`, and `epochs`."""
    return frozenset([*(range(period, epochs, period) if period else ()), epochs])
