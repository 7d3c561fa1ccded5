"""What is checked before a run: everything that it will read or write, reported in one list."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import optax
from absl import logging
from jax.sharding import Mesh
from ml_collections import ConfigDict

from data_pipelines.loading.batches import Examples, always_the_first
from slowfast_jax import distributed
from slowfast_jax.config import (
    ConfigError,
    build_model,
    check_training,
    check_values,
    training_plan,
)
from slowfast_jax.config.problems import Problems
from slowfast_jax.loop.build import (
    check_batches,
    mesh_of,
    optimizer_of,
    read_start,
    state_shapes,
)
from slowfast_jax.loop.continuation import find_progress
from slowfast_jax.loop.step_schedule import StepSchedule
from slowfast_jax.published import PUBLISHED
from slowfast_jax.published.cached_weights import weights_of
from slowfast_jax.recognizer import Recognizer, load
from slowfast_jax.tasks import make_task
from slowfast_jax.tasks.base import Task
from slowfast_jax.training.checkpoint import FOLDER, latest_checkpoint
from slowfast_jax.training.plan import Plan
from slowfast_jax.training.state import TrainState
from slowfast_jax.training.step import trained_leaves
from slowfast_jax.weights import RANDOM, read_weights, variable_shapes

BEGINS = "%s: checking the settings, lists and weights"


class Ready(NamedTuple):
    """A training run whose config, data and files were checked.

    found: subset -> what `Task.find` returned. places: shapes, dtypes and shardings of the training
    state. class_names: of the training set; [] if it has none.
    """

    task: Task
    found: dict[str, Any]
    examples: Examples
    class_names: list[str]
    model: nn.Module
    optimizer: optax.GradientTransformation
    mesh: Mesh
    plan: Plan
    schedule: StepSchedule
    places: TrainState


def prepare_training(
    config: ConfigDict, workdir: str | os.PathLike, *, then_test: bool = False
) -> Ready:
    """Checks a training run: config, lists, class names, initial weights, `workdir` and disk space.

    Nothing is initialized or compiled. Data that the config generates is generated first.

    Args:
      config: the complete config.
      workdir: the run's folder.
      then_test: the test set is read as well, because a test follows.

    Raises:
      ConfigError: several problems; the message has a line for each.
      OSError, ValueError, RuntimeError: the only problem.
    """
    logging.info(BEGINS, config.name)
    problems = Problems()
    with problems.noted():
        check_training(config)
    valid = not problems
    if problems and not config.get("train", {}).get("enable"):
        problems.report()
    task = model = mesh = plan = places = None
    with problems.noted():
        task = make_task(config)
    writable = False
    with problems.noted():
        _check_folder(Path(workdir))
        writable = True
    if problems and (task is None or config.data.generate):
        problems.report()
    found: dict[str, Any] = {}
    for subset in ("train", "val", "test") if then_test else ("train", "val"):
        with problems.noted():
            found[subset] = task.find(subset, workdir)
    with problems.noted():
        mesh = mesh_of(config)
    with problems.noted():
        model = build_model(config, group_size=config.norm.group_size)
        # If the number of classes is unknown, that is reported already; no weights would fit.
        starts = config.train.init_from.path and not latest_checkpoint(workdir)
        if starts and config.model.num_classes:
            read_start(config, variable_shapes(model))
            if config.train.init_from.resume:
                find_progress(config)
    with problems.noted():
        plan = training_plan(config)
    if valid and model is not None and mesh is not None and plan is not None:
        with problems.noted():
            optimizer = optimizer_of(config, model)
            places = state_shapes(
                config, task, model, optimizer, mesh, norm_splits=plan.norm_splits
            )
            trained_leaves(places.params, config.train.train_only)
            if writable:
                _check_space(config, Path(workdir), plan, places)
    if "train" in found:
        with problems.noted():
            examples, class_names = task.training_examples(found["train"])
            if config.data.dummy:
                examples = always_the_first(examples)
            if mesh is not None and plan is not None:
                check_batches(config, plan, examples, mesh, distributed.count())
    problems.report()
    schedule = StepSchedule(
        plan, examples.size, seed=config.train.seed, process=distributed.index(),
        processes=distributed.count(),
    )
    return Ready(
        task, found, examples, class_names, model, optimizer, mesh, plan, schedule, places
    )


def prepare_test(
    config: ConfigDict, workdir: str | os.PathLike | None, weights: str | os.PathLike | None,
    backend: str = "jax",
) -> tuple[Recognizer, Any]:
    """Finds the test set of the config and loads the network.

    The weights are loaded after the test set was found. Random weights are only initialized, and
    published ones only downloaded, if there is no problem.

    Args:
      config: the complete config.
      workdir: the folder for the results, if any.
      weights: see `weights_to_test`.
      backend: what runs the network, see `slowfast_jax.load`.

    Returns:
      The network and what `Task.find` returned.

    Raises: as `prepare_training`.
    """
    logging.info(BEGINS, config.name)
    problems = Problems()
    with problems.noted():
        check_values(config)
    if workdir is not None:
        with problems.noted():
            _check_folder(Path(workdir))
        if problems and config.data.generate:
            problems.report()
    with problems.noted():
        found = make_task(config).find("test", workdir)
    if weights == PUBLISHED:
        problems.report()
    with problems.noted():
        path = weights_to_test(config, workdir, weights)
        config = config.copy_and_resolve_references()
        config.test.checkpoint = os.fspath(path)
        options = _start_options(config) if path else {}
        if not problems:
            recognizer = load(config, backend=backend, **options)
        elif path:
            read_weights(config, variable_shapes(build_model(config)), path, **options)
    problems.report()
    return recognizer, found


def weights_to_test(
    config: ConfigDict, workdir: str | os.PathLike | None, given: str | os.PathLike | None = None
) -> str | os.PathLike:
    """The checkpoint to test: the `given` one, else config.test.checkpoint, else the last one in
    `workdir`, else config.train.init_from.path. Of a run's folder, the last checkpoint is taken.

    `given` may also be "random", for which "" is returned, or "published": the published weights,
    see `weights_of`. Raises ConfigError if none of these names a checkpoint.
    """
    if given == RANDOM:
        return ""
    if given == PUBLISHED:
        return weights_of(config.name, config.model.name)
    named = given or config.test.checkpoint
    if named:
        return latest_checkpoint(named) or named
    last = latest_checkpoint(workdir) if workdir else None
    if last:
        return last
    start = config.get("train", {}).get("init_from", {}).get("path")
    if not start:
        raise ConfigError(
            "there are no weights to test: name them with --weights, or with --workdir a run that "
            "has a checkpoint (--weights=random tests an untrained network)"
        )
    logging.info("there is no checkpoint yet: testing the weights that training starts from")
    return start


def _start_options(config: ConfigDict) -> dict[str, Any]:
    """Keywords of `load` and `read_weights` for the checkpoint in config.test.checkpoint: initial
    weights are read as training reads them."""
    start = config.get("train", {}).get("init_from", {})
    if start.get("path") != config.test.checkpoint:
        return {}
    return {"skip": tuple(start.skip), "strip": tuple(start.strip), "entry": start.entry}


def _check_folder(folder: Path) -> None:
    """ConfigError if no file can be written to the folder, or to where it will be created."""
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)):
            pass
    except OSError as error:
        raise ConfigError(
            f"--workdir={folder} cannot be written to ({error.strerror}); choose another folder"
        ) from error


def _existing(folder: Path) -> Path:
    """The folder, or the closest one above it that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _check_space(config: ConfigDict, workdir: Path, plan: Plan, places: TrainState) -> None:
    """ConfigError if the disk has no room for the checkpoints that will be kept, and for the next
    one, which is written before an old one is removed."""
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(places))
    kept = config.train.keep_last + config.train.keep_best + 1
    if not config.train.checkpoint_steps:
        kept = min(kept, len(plan.checkpoints | plan.evaluations))
    there = sum(path.name.isdecimal() for path in (workdir / FOLDER).glob("*"))
    count = max(kept - there, 1)
    free = shutil.disk_usage(_existing(workdir)).free
    if count * size > free:
        raise ConfigError(
            f"--workdir={workdir} has {free / 1e9:.2f} GB of free space, but {count} more "
            f"checkpoints of {size / 1e9:.2f} GB will be kept there: free some, choose another "
            "folder, or lower --config.train.keep_last"
        )
