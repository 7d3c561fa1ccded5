"""Training: one loop for every task, which goes on where it was interrupted.

    train(load_config("configs/ava.py:mini"), workdir)

What differs between jobs (data, loss, validation) is in slowfast_jax/tasks.
"""

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from absl import logging
from jax.sharding import Mesh, NamedSharding
from ml_collections import ConfigDict

from data_pipelines.loader import Examples, Order, always_the_first, batches, most_held
from slowfast_jax import processes
from slowfast_jax.config import ConfigError, build_model, check_training
from slowfast_jax.tasks import TASKS
from slowfast_jax.training.interruption import Interruption
from slowfast_jax.training.manager import Checkpoints
from slowfast_jax.training.meter import Meter
from slowfast_jax.training.mixing import make_mixer
from slowfast_jax.training.optim import make_optimizer
from slowfast_jax.training.precise_bn import PreciseStep, make_precise_step, precise_batch_stats
from slowfast_jax.training.prefetch import prefetched
from slowfast_jax.training.schedules import learning_rate
from slowfast_jax.training.sharding import data_mesh, put_batch, replicated
from slowfast_jax.training.state import TrainState, create_state
from slowfast_jax.training.step import Mixer, make_train_step
from slowfast_jax.training.writers import Writers, read_metrics
from slowfast_jax.weights import describe, initial_variables, read_weights, variable_shapes


def train(config: ConfigDict, workdir: str | os.PathLike) -> dict[str, Any]:
    """Trains by the config, from the last checkpoint in `workdir` on where there is one.

    `workdir` gets checkpoints/<step>, metrics.jsonl and tensorboard/. Ctrl-C and SIGTERM end the
    run after the step under way, with a checkpoint.

    Returns:
      The record of the last validation in metrics.jsonl; {} where the run was interrupted.

    Raises:
      ConfigError: for fields that make no sense, and a `workdir` of another run.
      FloatingPointError: where the loss or its gradient is not finite, with the step, its learning
        rate, gradient norm and examples.
      RuntimeError: where more than config.train.max_broken of the examples cannot be read.
      OSError: where a checkpoint cannot be written; those before stay complete.
    """
    check_training(config)
    model = build_model(config, group_size=config.norm.group_size)
    optimizer = _optimizer(config)
    task, mesh = TASKS[config.task], data_mesh()
    examples, class_names = task.training_examples(config, workdir)
    if config.data.dummy:
        examples = always_the_first(examples)
    order = _order(config, examples)
    per_epoch, epochs = order.steps_per_epoch, config.train.epochs
    checkpoints = Checkpoints(
        workdir, keep_last=config.train.keep_last, keep_best=config.train.keep_best
    )
    identity = describe(config, class_names) | {
        "data": {"examples": examples.size, "batch_size": config.train.batch_size,
                 "seed": config.train.seed},
        "optimizer": {"name": config.optimizer.name},
    }
    if checkpoints.steps():
        first = checkpoints.steps()[-1]
        _check_identity(checkpoints, first, identity)
        if first > epochs * per_epoch:
            raise ConfigError(
                f"config.train.epochs is {epochs}, and {checkpoints.path(first)} is of epoch "
                f"{first / per_epoch:g}; choose another --workdir, or more epochs"
            )
        state = checkpoints.restore(first, _state_shapes(model, optimizer, replicated(mesh)))
        logging.info("going on from %s, epoch %.2f", checkpoints.path(first), first / per_epoch)
    else:
        first = 0
        state = jax.device_put(_initial_state(config, model, optimizer), replicated(mesh))
    _announce(config, examples, order, mesh, state)

    train_step = jax.jit(
        make_train_step(
            model, optimizer, task.loss_function(config),
            clip_norm=config.optimizer.clip_norm, clip_value=config.optimizer.clip_value,
            train_only=config.train.train_only, mix=_mixer(config, model),
        ),
        donate_argnums=0, out_shardings=(replicated(mesh), replicated(mesh)),
    )
    predict = _predictor(model)
    precise_step = jax.jit(make_precise_step(model), out_shardings=replicated(mesh))
    precise = (
        config.norm.precise and bool(state.batch_stats) and not config.model.get("frozen_norm")
    )
    key = jax.random.key(config.train.seed)
    headline = task.headline(config)
    saved = first
    writers = Writers(workdir, first)
    processes.barrier("metrics.jsonl")
    wishes, stop = processes.Wishes(), False
    checkpoints.scores = {
        row["step"]: row[headline] for row in _validations(workdir) if row[headline] is not None
    }
    meter = Meter(
        config.train.batch_size, total_steps=epochs * per_epoch, first_step=first,
        clips_of_example=examples.clips, max_loss_rise=config.train.max_loss_rise,
    )

    def validate(step: int, state: TrainState) -> None:
        variables = processes.local_copy(state.variables)
        results = task.validate(config, partial(predict, variables), workdir)
        epoch, score = step / per_epoch, results[headline]
        writers.write(step, "val", {"epoch": epoch} | results)
        logging.info("epoch %g: %s %.2f", epoch, headline, score)
        if np.isfinite(score):
            checkpoints.scores[step] = score

    try:
        with Interruption() as interruption, ExitStack() as stack:
            validating = first and _due(first, per_epoch, epochs, config.train.eval_period)
            if validating and first not in [row["step"] for row in _validations(workdir)]:
                validate(first, state)  # the run was killed while it did
            stream = stack.enter_context(closing(
                _stream(config, _order(config, examples, first), examples, mesh)
            ))
            for step in range(first, epochs * per_epoch):
                processes.at(f"the data of step {step + 1}")
                with meter.waiting():
                    batch, index, broken = next(stream)
                meter.count_broken(broken, config.train.max_broken)
                lr = learning_rate(config.schedule, step / per_epoch, epochs, jax.process_count())
                processes.at(f"step {step + 1}")
                state, metrics = train_step(state, batch, np.float32(lr), key)
                del batch
                meter.add(step, lr, metrics, [examples.name(i) for i in index])

                done = step + 1
                epoch, end_of_epoch = done / per_epoch, done % per_epoch == 0
                if done % config.train.log_period == 0 or end_of_epoch:
                    writers.write(done, "train", {"epoch": epoch} | meter.read())
                validating = _due(done, per_epoch, epochs, config.train.eval_period)
                saving = _due(done, per_epoch, epochs, config.train.checkpoint_period) or (
                    config.train.checkpoint_steps and done % config.train.checkpoint_steps == 0
                )
                stop = wishes.any(interruption.asked)
                if not (validating or saving or stop):
                    continue
                meter.flush()  # no state is saved whose loss was not seen to be finite
                with meter.paused():
                    if precise and end_of_epoch and (validating or saving):
                        state = _with_precise_statistics(
                            precise_step, state, config, examples, mesh
                        )
                    # Before it is validated: that takes time, and may fail.
                    checkpoints.save(done, state, identity | {"step": done})
                    saved = done
                    if validating:
                        validate(done, state)
                        stop = stop or processes.anyone(interruption.asked)
                if stop:
                    break
            checkpoints.wait()
            stop = stop or processes.anyone(interruption.asked)
    finally:
        checkpoints.close()
        writers.close()
    processes.barrier("the end of the training")  # and of its files
    if saved < epochs * per_epoch or stop:
        logging.info("stopped at step %d; the same command goes on from there", saved)
        return {}
    if first == saved:
        logging.info("the run in %s is complete", workdir)
    return _validations(workdir)[-1]


def _validations(workdir: str | os.PathLike) -> list[dict[str, Any]]:
    return [row for row in read_metrics(workdir) if row["split"] == "val"]


def _optimizer(config: ConfigDict) -> optax.GradientTransformation:
    options = {k: v for k, v in config.optimizer.items() if not k.startswith("clip_")}
    try:
        return make_optimizer(**options)
    except ValueError as error:
        raise ConfigError(f"config.{error}") from error


def _mixer(config: ConfigDict, model: nn.Module) -> Mixer | None:
    """What is done to a batch on the devices; None where clips and labels stay as they are."""
    augment = config.augment
    if not any(augment.get(k) for k in ("mixup_alpha", "cutmix_alpha", "label_smoothing")):
        return None
    return make_mixer(
        model, group_size=config.norm.group_size, label_smoothing=augment.label_smoothing,
        mixup_alpha=augment.mixup_alpha, cutmix_alpha=augment.cutmix_alpha,
        prob=augment.mix_prob, switch_prob=augment.switch_prob,
    )


def _order(config: ConfigDict, examples: Examples, first_step: int = 0, stream: int = 0) -> Order:
    """This process's part of the training data; another `stream` has another order."""
    return Order(
        examples.size,
        batch_size=config.train.batch_size,
        seed=(config.train.seed, stream),
        first_step=first_step,
        process=jax.process_index(),
        processes=jax.process_count(),
    )


def _stream(
    config: ConfigDict, order: Order, examples: Examples, mesh: Mesh
) -> Iterator[tuple[dict[str, jax.Array], np.ndarray, list]]:
    """(batch on the devices, indices of this process's examples, those that are broken)."""

    def put(batch: dict[str, Any]) -> tuple[dict[str, jax.Array], np.ndarray, list]:
        broken, index = batch.pop("broken"), batch.pop("index")
        return put_batch(batch, mesh), index, broken

    threads, workers = config.train.threads, config.train.workers
    source = batches(
        order, examples.load, clips=examples.clips, threads=threads, workers=workers
    )
    return prefetched(source, put)


def _due(done: int, per_epoch: int, epochs: int, period: int) -> bool:
    """Whether `done` steps end an epoch whose number is a multiple of `period`, or the last one."""
    epoch, rest = divmod(done, per_epoch)
    return not rest and (epoch == epochs or bool(period) and epoch % period == 0)


def _initial_state(
    config: ConfigDict, model: nn.Module, optimizer: optax.GradientTransformation
) -> TrainState:
    """A random start, or config.train.init_from, whose `skip` alone may differ from the file."""
    variables = initial_variables(model, config.train.seed)
    start = config.train.init_from
    if start.path:
        variables, _ = read_weights(
            config, variable_shapes(model), start.path,
            skip=start.skip, strip=start.strip, init=variables,
        )
    return create_state(variables, optimizer)


def _state_shapes(
    model: nn.Module, optimizer: optax.GradientTransformation, sharding: NamedSharding
) -> TrainState:
    """A TrainState of ShapeDtypeStructs: to go on, neither a start nor its file is needed."""
    shapes = jax.eval_shape(partial(create_state, optimizer=optimizer), variable_shapes(model))
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes
    )


def _check_identity(checkpoints: Checkpoints, step: int, identity: Mapping[str, Any]) -> None:
    """ConfigError where the run in the folder is another one than this config's."""
    stored, wanted = checkpoints.metadata(step), json.loads(json.dumps(identity))
    different = [
        f"{section}.{key} was {stored[section].get(key)!r} and is {value!r}"
        for section in ("model", "data", "optimizer")
        for key, value in wanted[section].items()
        if stored[section].get(key) != value
    ]
    if stored["class_names"] != wanted["class_names"]:
        different.append("the class names are others")
    if different:
        raise ConfigError(
            f"{checkpoints.path(step)} is of another run: {'; '.join(different)}. Choose another "
            "--workdir, or go on as that run began"
        )


def _predictor(model: nn.Module) -> Callable[..., np.ndarray]:
    """(variables, clips[, boxes]) -> probabilities, with the running statistics, on the devices of
    this process alone: each has its own part of the examples."""
    mesh = Mesh(np.array(jax.local_devices()), ("data",))

    @jax.jit
    def probabilities(variables: Mapping, batch: dict[str, jax.Array]) -> jax.Array:
        return model.apply(variables, batch["clip"], batch.get("boxes"))[1]["probs"]

    def predict(
        variables: Mapping, clips: np.ndarray, boxes: np.ndarray | None = None
    ) -> np.ndarray:
        batch = {"clip": clips} if boxes is None else {"clip": clips, "boxes": boxes}
        if len(clips) % mesh.size == 0:
            batch = put_batch(batch, mesh)
        return np.asarray(probabilities(variables, batch))

    return predict


def _with_precise_statistics(
    step: PreciseStep, state: TrainState, config: ConfigDict, examples: Examples, mesh: Mesh
) -> TrainState:
    """Running statistics of the weights as they are now, over batches in an order of their own."""
    count = min(config.norm.precise_batches, examples.size // config.train.batch_size)
    order = _order(config, examples, first_step=int(state.step), stream=1)
    with closing(_stream(config, order, examples, mesh)) as stream:
        inputs = (
            {name: batch[name] for name in ("clip", "boxes") if name in batch}
            for batch, _, _ in itertools.islice(stream, count)
        )
        statistics = precise_batch_stats(step, state.params, state.batch_stats, inputs)
    return state.replace(batch_stats=statistics)


def _announce(
    config: ConfigDict, examples: Examples, order: Order, mesh: Mesh, state: TrainState
) -> None:
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    logging.info(
        "%s: %d examples, %d steps an epoch of %d clips, %d epochs; %d parameters, %s, on %d %s "
        "device(s)",
        config.name, examples.size, order.steps_per_epoch,
        config.train.batch_size * examples.clips,
        config.train.epochs, parameters, config.model.get("dtype", "float32"), mesh.size,
        jax.default_backend(),
    )
    train, protocol = config.train, config.protocol
    held = most_held(order.rows(0), threads=train.threads, workers=train.workers) * examples.clips
    size = held * protocol.num_frames * protocol.train_crop**2 * 3 / 1e9
    logging.info(
        "loading with %s; at most %d clips of this process (%.2f GB) are on the way to the devices",
        f"{train.workers} processes of {train.threads} threads" if train.workers
        else f"{train.threads} threads", held, size,
    )
