"""Resuming the training of another program: its epoch and the state of its optimizer."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax
from absl import logging
from ml_collections import ConfigDict

from convert.load import fit, strip_names
from convert.training.pyslowfast import Progress, read_progress
from slowfast_jax.config import ConfigError
from slowfast_jax.loop.step_schedule import StepSchedule
from slowfast_jax.published.hub import local_path
from slowfast_jax.training.state import TrainState

# Optimizer -> the states that PyTorch's has for each parameter.
MOMENTS = {
    "sgd": ("momentum_buffer",), "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
}


def with_progress(config: ConfigDict, state: TrainState, schedule: StepSchedule) -> TrainState:
    """The state with the step and the optimizer state of config.train.init_from.

    A file without them, as weights are published, leaves the state as it is.

    Args:
      config: the config of the run.
      state: the state before the first step.
      schedule: that of the run; with another batch size, the same epoch is another step.

    Raises:
      ConfigError, CheckpointError: see `find_progress`.
    """
    start = config.train.init_from
    found = find_progress(config)
    if found is None:
        logging.info("%s has no epoch and optimizer state: training starts at epoch 0", start.path)
        return state
    if found.epochs > schedule.plan.epochs:
        raise ConfigError(
            f"config.train.epochs is {config.train.epochs}, but {start.path} is of epoch "
            f"{found.epochs}: increase it, or set config.train.init_from.resume=False"
        )
    moments = [
        _moment(found, kind, state.params, start.strip) for kind in MOMENTS[config.optimizer.name]
    ]
    step = np.int32(schedule.step_of(found.epochs))
    logging.info("resuming the training of %s after epoch %d", start.path, found.epochs)
    filled = state.replace(step=step, opt_state=_filled(state.opt_state, moments, step))
    return jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), filled, state)


def find_progress(config: ConfigDict) -> Progress | None:
    """The progress in the file of config.train.init_from; None if it has none.

    Raises:
      ConfigError: it is of another optimizer than the config's.
      CheckpointError: see `convert.training.pyslowfast.read_progress`.
    """
    start, name = config.train.init_from, config.optimizer.name
    path = local_path(start.path)
    found = None if os.path.isdir(path) else read_progress(path, start.entry)
    if found and found.moments and not set(MOMENTS[name]) <= set(found.moments):
        raise ConfigError(
            f"config.optimizer.name is {name}, but the optimizer of {start.path} has "
            f"{', '.join(found.moments)}, expected {', '.join(MOMENTS[name])}: choose the "
            "optimizer of that training, or set config.train.init_from.resume=False"
        )
    return found


def _moment(found: Progress, kind: str, params: Mapping[str, Any], strip: tuple[str, ...]) -> Any:
    """One state of all parameters, as a tree like theirs; 0 where the file has none."""
    tensors = found.moments.get(kind, {})
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), params)
    if not tensors:
        return zeros
    checkpoint = strip_names(found.checkpoint._replace(tensors=tensors), strip)
    fitted, _ = fit(checkpoint, {"params": zeros}, skip=(".*",), init={"params": zeros})
    return fitted["params"]


def _filled(opt_state: optax.OptState, moments: list[Any], step: np.int32) -> optax.OptState:
    """The optimizer's state with these moments after `step` steps."""
    kinds = (optax.TraceState, optax.ScaleByAdamState, optax.ScaleByScheduleState)

    def fill(part: Any) -> Any:
        if isinstance(part, optax.TraceState):
            return part._replace(trace=moments[0])
        if isinstance(part, optax.ScaleByAdamState):
            return part._replace(count=step, mu=moments[0], nu=moments[1])
        if isinstance(part, optax.ScaleByScheduleState):
            return part._replace(count=step)
        return part

    return jax.tree.map(fill, opt_state, is_leaf=lambda part: isinstance(part, kinds))
