"""The learning rate as a function of time, as the published recipes define it."""

import math
from collections.abc import Mapping
from typing import Any

NAMES = ("cosine", "steps")
STYLES = ("pyslowfast", "mmaction2", "mmengine")


def learning_rate(schedule: Mapping[str, Any], epoch: float, epochs: float) -> float:
    """Learning rate of the step that begins at `epoch` (`step / steps_per_epoch`), as a double.

    Args:
      schedule: a recipe's `schedule` section.
        "cosine": half a cosine from `base_lr` at epoch 0 to `end_lr` at `epochs`
        (https://arxiv.org/abs/1608.03983, without restarts); with `cosine_after_warmup` it begins
        where the warm-up ends.
        "steps": `base_lr * relative_lrs[i]` from epoch `steps[i]` on, the last one to the end.
        With `style` "pyslowfast" the rate changes every step, and first rises linearly from
        `warmup_start_lr` to the rate at `warmup_epochs`. With "mmaction2" (MMCV's LrUpdaterHook
        by epochs) it changes every epoch, and during the warm-up it is multiplied by a factor that
        rises linearly, every step, from warmup_start_lr / base_lr to 1. With "mmengine" (MMEngine's
        LinearLR by epochs) this factor, too, changes every epoch; it is 1 in the last epoch of the
        warm-up.
      epoch: from 0; it may lie beyond `epochs`.
      epochs: of the whole run.

    Raises ValueError, naming the key, for an invalid schedule.
    """
    check_schedule(schedule, epochs)
    warmup = schedule["warmup_epochs"]
    if schedule["style"] != "pyslowfast":
        whole = math.floor(epoch)
        rate = _policy(schedule, whole, epochs)
        if epoch >= warmup:
            return rate
        begin = schedule["warmup_start_lr"] / schedule["base_lr"]
        by_epochs = schedule["style"] == "mmengine"
        share = whole / max(warmup - 1, 1) if by_epochs else epoch / warmup
        return rate * (begin + (1 - begin) * share)
    if epoch >= warmup:
        return _policy(schedule, epoch, epochs)
    start = schedule["warmup_start_lr"]
    slope = (_policy(schedule, warmup, epochs) - start) / warmup
    return epoch * slope + start


def scaled(schedule: Mapping[str, Any], batch_size: int) -> dict[str, Any]:
    """The schedule with rates scaled by batch_size / `reference_batch`, if that is set.

    The linear scaling rule, https://arxiv.org/abs/1706.02677, section 2.1.
    """
    reference = schedule["reference_batch"]
    if not reference:
        return dict(schedule)
    factor = batch_size / reference
    return dict(schedule) | {
        name: schedule[name] * factor for name in ("base_lr", "end_lr", "warmup_start_lr")
    }


def check_schedule(schedule: Mapping[str, Any], epochs: float) -> None:
    """Raises ValueError, naming the key of the recipe, for an invalid schedule."""
    name, steps, rates = schedule["name"], schedule["steps"], schedule["relative_lrs"]
    if name not in NAMES:
        raise ValueError(f"schedule.name is {name!r}, expected {' or '.join(NAMES)}")
    if schedule["style"] not in STYLES:
        raise ValueError(
            f"schedule.style is {schedule['style']!r}, expected {' or '.join(STYLES)}"
        )
    if epochs <= 0:
        raise ValueError(f"train.epochs is {epochs}, expected more than 0")
    warmup = schedule["warmup_epochs"]
    if warmup < 0:
        raise ValueError(f"schedule.warmup_epochs is {warmup}, expected 0 or more")
    if schedule["style"] == "mmengine" and warmup % 1:
        raise ValueError(
            f"schedule.warmup_epochs is {warmup}, expected a whole number with schedule.style "
            "mmengine"
        )
    if name == "cosine":
        end, base = schedule["end_lr"], schedule["base_lr"]
        if end >= base:
            raise ValueError(
                f"schedule.end_lr is {end}, expected less than schedule.base_lr, {base}"
            )
        if schedule["cosine_after_warmup"] and warmup >= epochs:
            raise ValueError(
                f"schedule.warmup_epochs is {warmup}, expected less than train.epochs, {epochs}, "
                "with schedule.cosine_after_warmup"
            )
    elif not steps or steps[0] != 0:
        raise ValueError(f"schedule.steps is {tuple(steps)}, expected epochs that start at 0")
    elif list(steps) != sorted(steps):
        raise ValueError(f"schedule.steps is {tuple(steps)}, expected increasing epochs")
    elif len(rates) < (needed := sum(step < epochs for step in steps)):
        raise ValueError(
            f"schedule.relative_lrs has {len(rates)} rates, expected one for each of the "
            f"{needed} schedule.steps before epoch {epochs}"
        )


def _policy(schedule: Mapping[str, Any], epoch: float, epochs: float) -> float:
    """The rate without warm-up."""
    base = schedule["base_lr"]
    if schedule["name"] == "steps":
        rates = schedule["relative_lrs"]
        begun = sum(step <= epoch for step in schedule["steps"])
        return rates[min(begun, len(rates)) - 1] * base
    end = schedule["end_lr"]
    start = schedule["warmup_epochs"] if schedule["cosine_after_warmup"] else 0.0
    phase = math.pi * max(epoch - start, 0.0) / (epochs - start)
    return end + (base - end) * (math.cos(phase) + 1.0) * 0.5
