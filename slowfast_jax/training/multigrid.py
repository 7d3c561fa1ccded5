"""Multigrid training: most of a run on smaller clips, in larger batches.

Wu et al., "A Multigrid Method for Efficiently Training Video Models" (CVPR 2020,
https://arxiv.org/abs/1912.00998), with the numbers of PySlowFast's utils/multigrid.py and
datasets/multigrid_helper.py. Frames times pixels times batch stay about the same:

- The long cycle goes from few small frames in large batches to the recipe's shape, once between
  every two steps of the learning rate. The learning rate scales with the batch size.
- The short cycle changes crop and batch from step to step, three shapes in turn.

The number of clips that share batch-norm statistics grows with the batch of the short cycle but not
of the long cycle, where the original splits a GPU's batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from slowfast_jax.training.plan import Phase, Plan, Shape, plain_plan


def make_plan(
    shape: Shape, *, epochs: int, schedule: Mapping[str, Any], eval_period: int,
    checkpoint_period: int, multigrid: Mapping[str, Any], sync_devices: int = 1,
) -> Plan:
    """The plan of a recipe, with the cycles that its `multigrid` section enables.

    With `long_cycle`, the learning rate is base_lr * lr_decay ** (number of earlier steps) * (batch
    size / the recipe's batch size), and `relative_lrs` is unused; `epochs` is multiplied by about
    `epoch_factor`, and at most `evaluations_per_phase` validations and checkpoints are
    placed at equal distances back from the end of each phase. The original cannot run the long
    cycle without the short one; here the plan then has only the last of the three shapes. With
    `short_cycle` alone, epochs and steps are multiplied by `epoch_factor` and truncated.

    Args:
      shape: of the recipe. All shapes share its maximum jitter and its lower sampling rate.
      schedule, multigrid: sections of the recipe.
      eval_period, checkpoint_period: epochs, of runs without the long cycle.
      sync_devices: GPUs of the original that shared batch statistics; `shape.group_size` counts the
        clips of all of them.

    Raises:
      ValueError: naming the key of the recipe, for invalid settings.
    """
    long, short = multigrid["long_cycle"], multigrid["short_cycle"]
    periods = dict(eval_period=eval_period, checkpoint_period=checkpoint_period)
    if not (long or short):
        return plain_plan(shape, epochs=epochs, schedule=schedule, **periods)
    _check(multigrid, epochs)
    if not long:
        factor = multigrid["epoch_factor"]
        later = {**schedule, "steps": tuple(int(step * factor) for step in schedule["steps"])}
        plan = plain_plan(shape, epochs=int(epochs * factor), schedule=later, **periods)
        turns = _turns(shape, shape, multigrid)
        return plan._replace(phases=(Phase(0, plan.epochs, turns),))
    stages = long_cycle(shape, epochs=epochs, schedule=schedule, multigrid=multigrid)
    steps, rates = _steps_and_rates(stages, multigrid["lr_decay"])
    due = _counted_back([stage.end for stage in stages], multigrid["evaluations_per_phase"])
    begins = [0, *(stage.end for stage in stages)]
    of_gpu = shape.group_size // sync_devices
    phases = tuple(
        Phase(begin, stage.end, _turns(stage.base(shape, of_gpu, multigrid), shape, multigrid))
        for begin, stage in zip(begins, stages, strict=False) if stage.end > begin
    )
    return Plan(
        shape, phases, stages[-1].end, {**schedule, "steps": steps, "relative_lrs": rates}, due, due
    )


class Stage(NamedTuple):
    """One shape of the long cycle, up to epoch `end`.

    step: number of earlier steps of the learning rate. relative: batch size divided by the
    recipe's.
    """

    step: int
    relative: int
    num_frames: int
    crop: int
    end: int

    def base(self, shape: Shape, of_gpu: int, multigrid: Mapping[str, Any]) -> Shape:
        """The shape without the short cycle. of_gpu: clips on one GPU in the recipe."""
        low = shape.sampling_rates[0]
        clips, group = self.relative * of_gpu, multigrid["norm_group_size"]
        return Shape(
            batch_size=self.relative * shape.batch_size,
            num_frames=self.num_frames,
            crop=self.crop,
            group_size=multigrid["norm_group_size"],
            jitter=_jitter(shape, self.crop),
            # Fewer frames may lie further apart, up to the time that the recipe's clip covers.
            sampling_rates=(low, low * (shape.num_frames // self.num_frames)),
            norm_splits=clips // group if clips > group else None,
        )


def long_cycle(
    shape: Shape, *, epochs: int, schedule: Mapping[str, Any], multigrid: Mapping[str, Any]
) -> list[Stage]:
    """All shapes between every two steps of the learning rate, then the last shape to the end.

    Between two steps of the learning rate, all shapes have the same number of iterations. The part
    after the last step is shortened in proportion to the rest. Ends are rounded once, half to even,
    so a stage may be empty.
    """
    at = tuple(schedule["steps"])
    if schedule["name"] != "steps" or len(at) < 2 or at[-1] > epochs:
        raise ValueError(
            "multigrid.long_cycle runs through its shapes between two steps of the learning rate: "
            "it needs schedule.name=steps and two or more schedule.steps, none beyond train.epochs "
            f"({epochs}); schedule.name is {schedule['name']} and schedule.steps {at}"
        )
    size = float(shape.num_frames * shape.crop**2)
    shapes, means = [], []
    for of_time, of_space in multigrid["long_cycle_factors"]:
        frames = int(round(shape.num_frames * of_time))
        crop = int(round(shape.crop * of_space))
        if frames < 1 or crop < 1:
            raise ValueError(
                f"multigrid.long_cycle_factors has {(of_time, of_space)}, which leaves {frames} of "
                f"{shape.num_frames} frames and {crop} of {shape.crop} pixels"
            )
        crops = [crop]
        if multigrid["short_cycle"]:
            crops = [shape.crop * factor for factor in multigrid["short_cycle_factors"]] + crops
        relative = [int(round(size / (frames * side * side))) for side in crops]
        shapes.append((relative[-1], frames, crop))
        means.append(sum(relative) / len(relative))

    lengths, total = [], 0.0  # (step, shape, epochs before they are scaled)
    for step, length in enumerate(at[i + 1] - at[i] for i in range(len(at) - 1)):
        for one, mean in zip(shapes, means, strict=True):
            of_shape = length * mean / sum(means)
            total += of_shape / mean
            lengths.append((step, one, of_shape))
    saving = at[-1] / total
    lengths.append((len(at) - 1, shapes[-1], (epochs - at[-1]) / saving * means[-1]))
    scale = epochs * multigrid["epoch_factor"] / sum(length for *_, length in lengths)
    stages, done = [], 0.0
    for step, one, length in lengths:
        done += length * scale
        stages.append(Stage(step, *one, int(round(done))))
    return stages


def _steps_and_rates(
    stages: Sequence[Stage], decay: float
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Epochs at which the learning rate changes and the factors of base_lr.

    The first half of the last stage keeps the rate of the stage before it.
    """
    steps = [0, *(stage.end for stage in stages)]
    steps[-1] = (steps[-2] + steps[-1]) // 2
    rates = [decay**stage.step * stage.relative for stage in stages]
    return tuple(steps), (*rates[:-1], rates[-2], rates[-1])


def _turns(base: Shape, shape: Shape, multigrid: Mapping[str, Any]) -> tuple[Shape, ...]:
    """The shapes of the short cycle that ends in `base`; `shape`: the recipe's."""
    if not multigrid["short_cycle"]:
        return (base,)
    turns = []
    for factor in multigrid["short_cycle_factors"]:
        crop = int(round(factor * shape.crop))
        times = int(round((base.crop / (factor * shape.crop)) ** 2))
        if crop < 1 or times < 1:
            raise ValueError(
                f"multigrid.short_cycle_factors has {factor}, which makes crops of {crop} pixels "
                f"in batches {times} times as large as those of {base.crop} pixels, expected at "
                "least 1 of each; choose another factor, or larger multigrid.long_cycle_factors"
            )
        turns.append(base._replace(
            batch_size=times * base.batch_size, crop=crop, group_size=times * base.group_size,
            jitter=_jitter(shape, crop),
        ))
    return (*turns, base)


def _jitter(shape: Shape, crop: int) -> tuple[int, int]:
    """The minimum short side scales with the crop, the maximum does not."""
    return int(round(float(shape.jitter[0]) * crop / shape.crop)), shape.jitter[1]


def _counted_back(ends: Sequence[int], count: int) -> frozenset[int]:
    """The end of each phase and about `count` epochs at equal distances before it."""
    due = set()
    for begin, end in zip([0, *ends], ends, strict=False):
        due.update(range(end, begin, -max((end - begin) // count + 1, 1)))
    return frozenset(due)


def _check(multigrid: Mapping[str, Any], epochs: int) -> None:
    for name, allowed, good in (
        ("epoch_factor", f"enough for one epoch (train.epochs is {epochs})",
         epochs * multigrid["epoch_factor"] >= 1),
        ("short_cycle_factors", "numbers above 0",
         all(factor > 0 for factor in multigrid["short_cycle_factors"])),
        ("long_cycle_factors", "pairs of numbers above 0 and up to 1 (of frames and of pixels)",
         len(multigrid["long_cycle_factors"]) > 0 and all(
             len(pair) == 2 and 0 < min(pair) and max(pair) <= 1
             for pair in multigrid["long_cycle_factors"]
         )),
        ("norm_group_size", "at least 1", multigrid["norm_group_size"] >= 1),
        ("evaluations_per_phase", "at least 1", multigrid["evaluations_per_phase"] >= 1),
        ("lr_decay", "above 0", multigrid["lr_decay"] > 0),
    ):
        if not good:
            raise ValueError(f"multigrid.{name} is {multigrid[name]}, expected {allowed}")
