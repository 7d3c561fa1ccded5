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
from slowfast_jax.config.checks import unusable_values, value_problems
from slowfast_jax.config.problems import Problems, concern, fields_in
from slowfast_jax.loop.build import (
    check_batches,
    check_start,
    mesh_of,
    optimizer_of,
    read_start,
    state_shapes,
)
from slowfast_jax.loop.continuation import find_progress
from slowfast_jax.loop.step_schedule import StepSchedule
from slowfast_jax.published import PUBLISHED
from slowfast_jax.published.cached_weights import weights_of
from slowfast_jax.published.hub import is_address, local_path
from slowfast_jax.recognizer import Recognizer, load
from slowfast_jax.tasks import make_task
from slowfast_jax.tasks.base import Task
from slowfast_jax.training.checkpoint import FOLDER, latest_checkpoint
from slowfast_jax.training.plan import Plan
from slowfast_jax.training.state import TrainState
from slowfast_jax.training.step import trained_leaves
from slowfast_jax.weights import RANDOM, read_weights, variable_shapes

BEGINS = "%s: checking the settings, lists and weights"
# What the checks depend on: fields, or whole sections.
LISTS = (
    "task", "data", "class_names", "model.name", "model.num_classes", "model.detection"
)
UNREAD = {  # fields of data with which its lists have nothing to do
    f"data.{field}" for field in (
        "sampling", "jitter", "inverse_uniform_jitter", "jitter_scales_relative",
        "jitter_aspect_relative", "random_flip", "dummy", "pca_jitter", "color_augmentation",
        "pca_jitter_only", "test_flip", "evaluator",
    )
}
NETWORK = ("model", "protocol", "norm.group_size", "class_names")
PLANNED = ("train", "schedule", "multigrid", "protocol", "norm", "data.jitter", "augment")
EXAMPLES = ("data", "augment", "train.class_weights")


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
    ready = _check_training_run(problems, config, workdir, then_test=then_test)
    problems.report()
    return ready


def _check_training_run(
    problems: Problems, config: ConfigDict, workdir: str | os.PathLike | None,
    *, then_test: bool, starts: bool = True, unset: frozenset[str] = frozenset(),
) -> Ready | None:
    """Notes all problems of a training run. Checks that depend on a wrong field are left out.

    Args:
      workdir: the run's folder. None: it is not known.
      starts: the run starts if there are no problems. If it cannot, devices are not touched.
      unset: fields whose intended value is not known.

    Returns:
      The run if there are no problems; otherwise, None.
    """
    with problems.noted():
        check_training(config, unset)
    valid = not problems and config.model.get("num_classes") != 0
    if problems and not config.get("train", {}).get("enable"):
        return None
    wrong = fields_in(unusable_values(config)) | unset | _unknown_format(problems)
    task = model = mesh = plan = places = None
    if not concern(wrong, ("task",)):
        with problems.noted():
            task = make_task(config)
    writable = False
    if workdir is not None:
        with problems.noted():
            _check_folder(Path(workdir))
            writable = True
    found: dict[str, Any] = {}
    if task is not None and _lists_are_known(config, wrong, problems):
        for subset in ("train", "val", "test") if then_test else ("train", "val"):
            with problems.noted():
                found[subset] = task.find(subset, workdir)
    if starts and not concern(wrong, ("mesh",)):
        with problems.noted():
            mesh = mesh_of(config)
    if not concern(wrong, NETWORK):
        with problems.noted():
            model = build_model(config, group_size=config.norm.group_size)
            initial = config.train.init_from.path and not (workdir and latest_checkpoint(workdir))
            if initial and not concern(wrong, ("train.init_from",)):
                check_start(config)
                if config.model.num_classes:  # without classes, no weights would fit
                    read_start(config, variable_shapes(model))
                    if config.train.init_from.resume and not concern(wrong, ("optimizer.name",)):
                        find_progress(config)
    if not concern(wrong, PLANNED):
        with problems.noted():
            plan = training_plan(config)
    if valid and starts and model is not None and mesh is not None and plan is not None:
        with problems.noted():
            optimizer = optimizer_of(config, model)
            places = state_shapes(
                config, task, model, optimizer, mesh, norm_splits=plan.norm_splits
            )
            trained_leaves(places.params, config.train.train_only)
            if writable:
                _check_space(config, Path(workdir), plan, places)
    if "train" in found and not concern(wrong, EXAMPLES):
        with problems.noted():
            examples, class_names = task.training_examples(found["train"])
            if config.data.dummy:
                examples = always_the_first(examples)
            if mesh is not None and plan is not None:
                check_batches(config, plan, examples, mesh, distributed.count())
    if problems or not starts:
        return None
    schedule = StepSchedule(
        plan, examples.size, seed=config.train.seed, process=distributed.index(),
        processes=distributed.count(),
    )
    return Ready(
        task, found, examples, class_names, model, optimizer, mesh, plan, schedule, places
    )


def _unknown_format(problems: Problems) -> set[str]:
    """The field of the data's format if it does not exist or does not fit the task."""
    return fields_in(problems) & {"data.format"}


def _lists_are_known(config: ConfigDict, wrong: set[str], problems: Problems) -> bool:
    """Whether it is known which lists to read. Data is not generated for a run with problems."""
    return not (problems and config.data.generate) and not concern(wrong - UNREAD, LISTS)


def prepare_test(
    config: ConfigDict, workdir: str | os.PathLike | None, weights: str | os.PathLike | None,
    backend: str = "jax",
) -> tuple[Recognizer, Any]:
    """Finds the test set of the config and loads the network.

    The weights are loaded after the test set was found. Random weights are only initialized, and
    others only downloaded, if there is no problem.

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
    prepared = _check_test_run(problems, config, workdir, weights, backend=backend)
    problems.report()
    return prepared


def _check_test_run(
    problems: Problems, config: ConfigDict, workdir: str | os.PathLike | None,
    weights: str | os.PathLike | None, *, backend: str = "jax", starts: bool = True,
    unset: frozenset[str] = frozenset(),
) -> tuple[Recognizer, Any] | None:
    """As `_check_training_run`, for a test."""
    found, wrong = _check_test_set(problems, config, workdir, unset)
    recognizer = None
    if concern(wrong, (*NETWORK, "test.checkpoint", "test.entry", "train.init_from")):
        return None
    downloaded = weights == PUBLISHED or is_address(weights or config.test.checkpoint)
    if downloaded and (problems or not starts):
        return None
    with problems.noted():
        path = weights_to_test(config, workdir, weights)
        config = config.copy_and_resolve_references()
        config.test.checkpoint = os.fspath(path)
        options = _start_options(config) if path else {}
        if starts and not problems:
            recognizer = load(config, backend=backend, **options)
        elif path:
            read_weights(config, variable_shapes(build_model(config)), path, **options)
    return recognizer, found


def find_test_set(config: ConfigDict, workdir: str | os.PathLike | None) -> Any:
    """What `Task.find` returns of the test set, with the checks of `prepare_test` that need no
    network. Raises: as `prepare_training`."""
    problems = Problems()
    found, _ = _check_test_set(problems, config, workdir, frozenset())
    problems.report()
    return found


def _check_test_set(
    problems: Problems, config: ConfigDict, workdir: str | os.PathLike | None,
    unset: frozenset[str],
) -> tuple[Any, set[str]]:
    """What `Task.find` returned, if it did, and the fields that are wrong."""
    if not concern(unset, ("task", "data", "model", "protocol")):
        with problems.noted():
            check_values(config)
    wrong = fields_in(value_problems(config)) | unset | _unknown_format(problems)
    if workdir is not None:
        with problems.noted():
            _check_folder(Path(workdir))
    found = None
    if _lists_are_known(config, wrong, problems):
        with problems.noted():
            found = make_task(config).find("test", workdir)
    return found, wrong


def note_problems(
    problems: Problems, config: ConfigDict, mode: str, workdir: str | os.PathLike | None,
    weights: str | os.PathLike | None, unset: frozenset[str] = frozenset(),
) -> None:
    """Adds what else is wrong with a run that cannot start, so that all problems are in one list.

    Args:
      problems: those that are known.
      config: the complete config, as far as it is known.
      mode: of modes other than train, eval and extract, nothing is checked.
      workdir, weights: as for `prepare_training` and `prepare_test`; None: not given.
      unset: fields whose intended value is not known.
    """
    if mode == "train":
        _check_training_run(
            problems, config, workdir, then_test=True, starts=False, unset=unset
        )
    elif mode in ("eval", "extract"):
        _check_test_run(problems, config, workdir, weights, starts=False, unset=unset)


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
        named = local_path(named)
        return latest_checkpoint(named) or named
    last = latest_checkpoint(workdir) if workdir else None
    if last:
        return last
    start = config.get("train", {}).get("init_from", {}).get("path")
    if not start:
        raise ConfigError(
            "there are no weights to test: pass --weights=FILE, --weights=published for those of "
            "a published network, or --workdir with the folder of a run that has a checkpoint "
            "(--weights=random tests an untrained network)"
        )
    logging.info("there is no checkpoint yet: testing the weights that training starts from")
    return local_path(start)


def _start_options(config: ConfigDict) -> dict[str, Any]:
    """Keywords of `load` and `read_weights` for the checkpoint in config.test.checkpoint: initial
    weights are read as training reads them."""
    start = config.get("train", {}).get("init_from", {})
    path = start.get("path")
    if path and is_address(path):
        path = os.fspath(local_path(path))
    if path != config.test.checkpoint:
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
