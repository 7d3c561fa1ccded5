"""What a run sees in which epoch: shapes of batches, learning rates, validations, checkpoints.

A plan is data, made before training begins. A plain run has one phase with one shape; the cycles
of multigrid training (multigrid.py) have many.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Shape(NamedTuple):
    """The input of a step: clips (batch_size * clips of an example, num_frames, crop, crop, 3).

    batch_size: examples, of all processes. group_size: clips that share batch statistics. jitter:
    range of the short side in pixels. sampling_rates: the least and the most frames of the video
    from one frame of a clip to the next; a clip's number is drawn from them. split: the
    clips that share batch statistics are a part of what one GPU of the original has.
    """

    batch_size: int
    num_frames: int
    crop: int
    group_size: int
    jitter: tuple[int, int]
    sampling_rates: tuple[int, int]
    split: bool = False


class Phase(NamedTuple):
    """Epochs `begin` to `end` - 1 (counted from 0), in which the shapes take turns, the first of
    them in the first step of each epoch. The last is the one without a short cycle."""

    begin: int
    end: int
    shapes: tuple[Shape, ...]


class Plan(NamedTuple):
    """A whole run.

    shape: of the recipe; it is what validation and the finished network see.
    schedule: for `learning_rate`.
    evaluations, checkpoints: numbers of done epochs at which the network is validated and saved.
    """

    shape: Shape
    phases: tuple[Phase, ...]
    epochs: int
    schedule: Mapping[str, Any]
    evaluations: frozenset[int]
    checkpoints: frozenset[int]

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """All that occur, each once, in the order of the run."""
        return tuple(dict.fromkeys(shape for phase in self.phases for shape in phase.shapes))

    def words(self) -> list[str]:
        """A line for each phase."""
        return [
            f"epochs {phase.begin + 1}-{phase.end}: "
            + ", ".join(f"{s.batch_size}x{s.num_frames}x{s.crop}x{s.crop}" for s in phase.shapes)
            for phase in self.phases
        ]


def plain_plan(
    shape: Shape, *, epochs: int, schedule: Mapping[str, Any], eval_period: int,
    checkpoint_period: int,
) -> Plan:
    """The same in every epoch. Periods are in epochs, 0: at the end alone."""
    return Plan(
        shape, (Phase(0, epochs, (shape,)),), epochs, schedule,
        _multiples(eval_period, epochs), _multiples(checkpoint_period, epochs),
    )


def _multiples(period: int, epochs: int) -> frozenset[int]:
    """Those of the period up to the last epoch, and the last."""
    return frozenset([*(range(period, epochs, period) if period else ()), epochs])
