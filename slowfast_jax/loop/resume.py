"""Resuming: finds the last readable checkpoint and checks that it belongs to the same run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict

from data_pipelines.text_files import first_few
from slowfast_jax import distributed
from slowfast_jax.config import ConfigError
from slowfast_jax.loop.meter import Meter
from slowfast_jax.training.checkpoint_manager import Checkpoints
from slowfast_jax.training.plan import Plan
from slowfast_jax.training.state import TrainState
from slowfast_jax.weights import describe

# What a checkpoint's metadata call otherwise than the config does.
NAMES = {
    "data.examples": "the number of training examples", "data.cycles": "the multigrid schedule",
    "data.batch_size": "config.train.batch_size", "data.seed": "config.train.seed",
    "optimizer.averaged": "config.train.average",
}


def identity_of(
    config: ConfigDict, class_names: Sequence[str], examples: int, plan: Plan
) -> dict[str, Any]:
    """Metadata stored with a checkpoint, which a run that resumes from it must share."""
    cycles = "; ".join(plan.words()) if len(plan.shapes) > 1 else None
    return describe(config, class_names) | {
        "data": {
            "examples": examples, "batch_size": config.train.batch_size,
            "seed": config.train.seed, "cycles": cycles,
        },
        "optimizer": {"name": config.optimizer.name}
        | ({"averaged": True} if config.train.average else {}),
    }


def last_state(
    checkpoints: Checkpoints, identity: Mapping[str, Any], places: TrainState
) -> tuple[int, TrainState | None]:
    """(step, state) of the last readable checkpoint, (0, None) if there is no checkpoint.

    Unreadable checkpoints are renamed. Raises OSError if there are checkpoints but none can be
    read.
    """
    steps = checkpoints.steps()
    for step in reversed(steps):
        state, reason = None, ""
        try:
            _check_identity(checkpoints, step, identity)
            state = checkpoints.restore(step, places)
        except ConfigError:
            raise
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if not distributed.anyone(state is None):
            return step, state
        logging.error(
            "%s cannot be read and is now %s (%s); trying the checkpoint before it",
            checkpoints.path(step), checkpoints.set_aside(step).name, reason,
        )
    if steps:
        raise OSError(
            f"none of the checkpoints in {checkpoints.directory} can be read; they were "
            "renamed to *.unreadable. Restore a copy, or choose another --workdir to start over"
        )
    return 0, None


def _check_identity(checkpoints: Checkpoints, step: int, identity: Mapping[str, Any]) -> None:
    """Raises ConfigError if the checkpoint belongs to another run; logs settings that changed."""
    stored, wanted = checkpoints.metadata(step), json.loads(json.dumps(identity))
    names = [each["model"].get("name") for each in (stored, wanted)]
    different = [f"its network is {names[0]}, not {names[1]}"] if names[0] != names[1] else [
        f"{_name(section, key)} was {_shown(key, stored[section].get(key))} and is "
        f"{_shown(key, value)}"
        for section in ("model", "data", "optimizer")
        for key, value in wanted[section].items()
        if stored[section].get(key) != value
    ]
    # Checkpoints of earlier versions have an empty list if the classes have no names.
    if stored["class_names"] and stored["class_names"] != wanted["class_names"]:
        different.append("the class names differ")
    if different:
        raise ConfigError(
            f"{checkpoints.path(step)} belongs to another run: {first_few(different, 5, '; ')}. "
            "Choose another --workdir, or restore the settings of that run"
        )
    if changes := list(_changes(stored.get("config", {}), wanted["config"])):
        logging.info("changed since the last start: %s", first_few(changes, 10, "; "))


def _shown(key: str, value: Any) -> str:
    if value is None:
        return "unset"
    return "set" if key == "averaged" else repr(value)


def _name(section: str, key: str) -> str:
    """What the user can set, of an entry of the metadata."""
    return NAMES.get(f"{section}.{key}", f"config.{section}.{key}")


def _changes(old: Any, new: Any, name: str = "config") -> Iterator[str]:
    """Yields a text for each field of the config that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in new:
            yield from _changes(old.get(key), new[key], f"{name}.{key}")
    elif old != new:
        yield f"{name} was {old!r} and is {new!r}"


def rescue(
    checkpoints: Checkpoints, meter: Meter, done: int, state: TrainState,
    identity: Mapping[str, Any],
) -> None:
    """After an error, saves the steps since the last checkpoint if their loss was finite."""
    try:
        meter.flush()
        if not any(leaf.is_deleted() for leaf in jax.tree.leaves(state)):
            checkpoints.save(done, state, identity | {"step": done})
            checkpoints.wait()
            logging.info("saved %s before ending", checkpoints.path(done))
    except (OSError, FloatingPointError) as error:
        logging.error("step %d could not be saved: %s", done, error)
