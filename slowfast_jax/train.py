"""The training loop, the same for every task; an interrupted run resumes where it stopped.

    train(load_config("configs/ava.py:mini"), workdir)

What differs between tasks (data, loss, validation) is in slowfast_jax/tasks.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh
from ml_collections import ConfigDict

from data_pipelines.loading.batches import Examples, most_held
from slowfast_jax import distributed
from slowfast_jax.config import ConfigError
from slowfast_jax.config.stored import write_config
from slowfast_jax.inference.compiling import announced
from slowfast_jax.inference.predict_step import Predictor
from slowfast_jax.loop.build import (
    clip_flops,
    initial_state,
    network_of,
    optimizer_of,
    peak_flops,
    training_step,
)
from slowfast_jax.loop.continuation import with_progress
from slowfast_jax.loop.meter import Diverged, Meter, best_so_far, clock
from slowfast_jax.loop.prefetch import on_devices
from slowfast_jax.loop.preflight import prepare_training
from slowfast_jax.loop.resume import identity_of, last_state, rescue
from slowfast_jax.loop.signals import StopSignals
from slowfast_jax.loop.step_schedule import StepSchedule
from slowfast_jax.progress import StepLine, track
from slowfast_jax.training.checkpoint_manager import Checkpoints
from slowfast_jax.training.plan import Shape
from slowfast_jax.training.precise_bn import PreciseStep, make_precise_step, precise_batch_stats
from slowfast_jax.training.profiling import Profile, parse_steps
from slowfast_jax.training.schedules import learning_rate
from slowfast_jax.training.sharding import gathered, replicated
from slowfast_jax.training.state import TrainState
from slowfast_jax.training.step import TrainStep
from slowfast_jax.training.writers import Writers, read_metrics

NORM_BATCHES = 8  # from which batch norms that the initial weights lack are restored


def train(
    config: ConfigDict, workdir: str | os.PathLike, *, then_test: bool = False
) -> dict[str, Any]:
    """Trains as the config says, resuming from the last checkpoint in `workdir` if there is one.

    `workdir` gets config.json, checkpoints/<step>, metrics.jsonl and tensorboard/. On Ctrl-C or
    SIGTERM the current step is finished, a checkpoint is saved and the run ends. Everything that
    the run will read and write is checked before it begins (loop/preflight.py); with `then_test`,
    so is the test set.

    Returns:
      The record of the last validation in metrics.jsonl; {} if the run was interrupted.

    Raises:
      ConfigError: invalid fields, data or files, or a `workdir` that belongs to another run.
      FloatingPointError: the loss or its gradient is not finite; the message has the step, its
        learning rate, gradient norm and examples.
      RuntimeError: the share of unreadable examples exceeds config.train.max_broken.
      OSError: a checkpoint cannot be written; earlier checkpoints stay complete.
    """
    task, found, examples, class_names, model, optimizer, mesh, plan, schedule, places = (
        prepare_training(config, workdir, then_test=then_test)
    )
    checkpoints = Checkpoints(
        workdir, keep_last=config.train.keep_last, keep_best=config.train.keep_best
    )
    identity = identity_of(config, class_names, examples.size, plan)
    first, state = last_state(checkpoints, identity, places)
    if state is not None:
        if first > schedule.steps:
            raise ConfigError(
                f"config.train.epochs is {config.train.epochs}, but {checkpoints.path(first)} is "
                f"of epoch {schedule.epoch(first):g}: increase it, or choose another --workdir"
            )
        logging.info("resuming from %s, epoch %.2f", checkpoints.path(first), schedule.epoch(first))
    else:
        shape = schedule.shape(0)
        start = network_of(config, shape)
        state = initial_state(
            config, task, start, optimizer, mesh,
            lambda: schedule.others(
                examples, shape, 0, max(1, min(NORM_BATCHES, examples.size // shape.batch_size)),
                threads=config.train.threads, workers=config.train.workers,
            ),
            norm_splits=plan.norm_splits,
        )
        if config.train.init_from.path and config.train.init_from.resume:
            state = with_progress(config, state, schedule)
            first = int(state.step)
    _announce(config, examples, schedule, mesh, state)

    @cache  # so that each shape is compiled once
    def train_step(shape: Shape) -> TrainStep:
        model = network_of(config, shape)
        return training_step(
            config, task, model, optimizer_of(config, model, shape), mesh, places
        )

    @cache
    def precise_step(shape: Shape) -> PreciseStep:
        step = make_precise_step(network_of(config, shape))
        return jax.jit(step, out_shardings=replicated(mesh))

    compiled: set[Shape] = set()
    predictor = Predictor(model)
    precise = (
        config.norm.precise and bool(state.batch_stats) and not config.model.get("frozen_norm")
    )
    key = jax.random.key(config.train.seed)
    headline = task.headline
    done = saved = first
    writers = Writers(workdir, first)
    if distributed.first():
        write_config(config, workdir)
    distributed.barrier("metrics.jsonl")
    stop_vote, stop = distributed.StopVote(), False
    checkpoints.scores = {
        row["step"]: row[headline] for row in _validations(workdir) if row[headline] is not None
    }
    line = StepLine(schedule.steps)
    meter = Meter(
        total_steps=schedule.steps, first_step=first, max_loss_rise=config.train.max_loss_rise,
        peak_flops=peak_flops(mesh), line=line,
    )
    flops = cache(partial(clip_flops, config) if peak_flops(mesh) else lambda shape: 0.0)
    profile = Profile(parse_steps(config.profile_steps), Path(workdir) / "profile")

    def validate(step: int, state: TrainState) -> None:
        epoch = schedule.epoch(step)
        logging.info("validating after epoch %g", epoch)
        variables, extra = distributed.local_copy((state.variables, state.extra))
        results = task.validate(predictor, variables, extra, found["val"])
        score = results[headline]
        writers.write(step, "val", {"epoch": epoch} | results)
        if distributed.first():
            logging.info("epoch %g: %s", epoch, best_so_far(_validations(workdir), headline))
        if np.isfinite(score):
            checkpoints.scores[step] = score

    try:
        with StopSignals() as signals, ExitStack() as stack:
            stack.enter_context(closing(line))
            alone = distributed.count() == 1  # otherwise all processes must stop together
            validating = schedule.ended(first) in plan.evaluations
            if validating and first not in [row["step"] for row in _validations(workdir)]:
                with signals.end_at_once(alone):
                    validate(first, state)  # the run was killed during this validation
            loading = dict(threads=config.train.threads, workers=config.train.workers)
            batches = schedule.batches(examples, first, **loading)
            stream = stack.enter_context(closing(on_devices(batches, mesh)))
            for step in range(first, schedule.steps):
                shape = schedule.shape(step)
                if step == schedule.segment(step).begin:  # the original starts from a checkpoint
                    state = state.with_statistics(state.batch_stats)
                profile.before(step, meter.flush)
                distributed.at(f"the data of step {step + 1}")
                with meter.waiting():
                    batch, index, broken = next(stream)
                meter.count_broken(broken, shape.batch_size, config.train.max_broken)
                lr = learning_rate(plan.schedule, schedule.epoch(step), plan.epochs)
                distributed.at(f"step {step + 1}")
                with ExitStack() as first_call:
                    if shape not in compiled:
                        compiled.add(shape)
                        first_call.enter_context(signals.end_at_once(alone and done == saved))
                        first_call.enter_context(meter.paused())
                        first_call.enter_context(announced("the training step"))
                    state, metrics = train_step(shape)(state, batch, np.float32(lr), key)
                done = step + 1
                clips = shape.batch_size * examples.clips
                meter.add(
                    step, lr, metrics, clips, [examples.name(i) for i in index],
                    clips * flops(shape), schedule.epoch(done),
                )
                ended = schedule.ended(done)
                if ended and config.train.summary_period and (
                    ended % config.train.summary_period == 0
                ):
                    with meter.paused():
                        writers.histograms(done, state.params)
                        writers.pictures(done, batch["clip"])
                del batch
                if done % config.train.log_period == 0 or ended:
                    writers.write(done, "train", {"epoch": schedule.epoch(done)} | meter.read())
                if ended:
                    part = "" if schedule.epoch(first) <= ended - 1 else "the rest of "
                    logging.info("%sepoch %d of %d took %s", part, ended, plan.epochs,
                                 clock(meter.epoch_seconds()))
                validating = ended in plan.evaluations
                saving = ended in plan.checkpoints or (
                    config.train.checkpoint_steps and done % config.train.checkpoint_steps == 0
                )
                stop = stop_vote.any(signals.asked)
                if not (validating or saving or stop):
                    continue
                meter.flush()  # raises if a loss is not finite, before that state is saved
                with meter.paused():
                    if precise and ended and (validating or saving):
                        shape = schedule.segment(step).phase.shapes[-1]
                        count = min(
                            config.norm.precise_batches, examples.size // shape.batch_size
                        )
                        logging.info("recomputing the batch statistics from %d batches", count)
                        others = schedule.others(examples, shape, done, count, **loading)
                        with line.hidden():
                            state = _with_precise_statistics(
                                precise_step(shape), state, others, mesh, count
                            )
                    # Save before validation, which takes long and may fail.
                    checkpoints.save(done, state, identity | {"step": done})
                    saved = done
                    stop = stop or distributed.anyone(signals.asked)
                    if validating and not stop:  # else the resumed run validates first
                        with line.hidden(), signals.end_at_once(alone):
                            validate(done, state)
                        stop = stop or distributed.anyone(signals.asked)
                if stop:
                    break
            profile.close(meter.flush)
            checkpoints.wait()
            stop = stop or distributed.anyone(signals.asked)
    except Diverged as error:
        logging.error("details of the step: %s", writers.diverged(error.record))
        raise
    except Exception:
        if done > saved and distributed.count() == 1:
            rescue(checkpoints, meter, done, state, identity)
        raise
    finally:
        profile.close()
        checkpoints.close()
        writers.close()
    distributed.barrier("the end of the training")  # until all files are complete
    if saved < schedule.steps or stop:
        logging.info("stopped at step %d; the same command resumes from there", saved)
        return {}
    if first == saved:
        logging.info("the run in %s is complete", workdir)
    return _validations(workdir)[-1]


def _validations(workdir: str | os.PathLike) -> list[dict[str, Any]]:
    return [row for row in read_metrics(workdir) if row["split"] == "val"]


def _with_precise_statistics(
    step: PreciseStep, state: TrainState, source: Iterator[dict[str, Any]], mesh: Mesh, count: int
) -> TrainState:
    """The state with batch statistics recomputed from `count` batches with its current weights."""
    with closing(on_devices(source, mesh)) as stream:
        inputs = (
            {name: batch[name] for name in ("clip", "boxes") if name in batch}
            for batch, _, _ in track(stream, count, "batch statistics")
        )
        statistics = precise_batch_stats(
            step, gathered(state.variables["params"], mesh), state.batch_stats, inputs
        )
    return state.with_statistics(statistics)


def _announce(
    config: ConfigDict, examples: Examples, schedule: StepSchedule, mesh: Mesh, state: TrainState
) -> None:
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    plan, train = schedule.plan, config.train
    logging.info(
        "%s: %d examples; %d epoch(s) of %d steps of %d clips; %d parameters, %s, on %d %s "
        "device(s)",
        config.name, examples.size, plan.epochs, schedule.segment(0).order.steps_per_epoch,
        schedule.shape(0).batch_size * examples.clips, parameters,
        " ".join((config.model.get("dtype", "float32"), *config.model.get("dtypes", ()))),
        mesh.size, jax.default_backend(),
    )
    if len(plan.shapes) > 1:
        logging.info(
            "%d steps in multigrid cycles:\n%s", schedule.steps, "\n".join(plan.words())
        )
    held, size = 0, 0.0
    for shape in plan.shapes:
        clips = examples.clips * most_held(
            schedule.rows(shape), threads=train.threads, workers=train.workers
        )
        held = max(held, clips)
        size = max(size, clips * shape.num_frames * shape.crop**2 * 3 / 1e9)
    logging.info(
        "loading with %s; this process buffers at most %d clips (%.2f GB) for the devices",
        f"{train.workers} workers of {train.threads} threads" if train.workers
        else f"{train.threads} threads", held, size,
    )
