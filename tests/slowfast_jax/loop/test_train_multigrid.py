"""The loop with multigrid cycles: every step has the planned shape; runs resume at any step."""

import logging
import re
import shutil
from collections import Counter

import jax
import pytest

from slowfast_jax.config import ConfigError, training_plan
from slowfast_jax.loop import step_schedule
from slowfast_jax.loop.build import initial_state, optimizer_of
from slowfast_jax.loop.step_schedule import StepSchedule
from slowfast_jax.train import train
from slowfast_jax.training.schedules import learning_rate
from slowfast_jax.training.writers import read_metrics
from tests.slowfast_jax.loop.test_train import rows_of
from tests.support.tiny_models import training_config, write_colors
from tests.support.training_runs import assert_same_run

EXAMPLES = 24
FIELDS = {
    "train__batch_size": 2, "train__epochs": 3, "train__checkpoint_steps": 1,
    "train__keep_last": 100, "model__head_pool": "global", "norm__group_size": 2,
    "schedule__name": "steps", "schedule__steps": (0, 2), "schedule__relative_lrs": (1.0, 0.1),
    "multigrid__long_cycle": True, "multigrid__short_cycle": True, "multigrid__norm_group_size": 2,
    "multigrid__long_cycle_factors": ((0.5, 0.5**0.5), (1.0, 1.0)),
}
COMPILED = re.compile(r"Finished XLA compilation of (?:jit\()?(step|predict)\b")

pytestmark = pytest.mark.usefixtures("tiny_norm")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "colors"
    write_colors(folder, train=EXAMPLES)
    return folder


class Messages(logging.Handler):
    def __init__(self):
        super().__init__(logging.DEBUG)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


@pytest.fixture(scope="module")
def whole(tiny_norm, data, tmp_path_factory):
    """An uninterrupted run: its folder, its batches, and what was compiled."""
    workdir, seen, messages = tmp_path_factory.mktemp("whole"), [], Messages()
    made = step_schedule.batches

    def noting(order, load, **options):
        for batch in made(order, load, **options):
            if isinstance(load, list):  # not those for precise statistics
                seen.append((batch["clip"].shape, list(batch["index"])))
            yield batch

    logger = logging.getLogger("jax")
    with pytest.MonkeyPatch.context() as patch, jax.log_compiles():
        patch.setattr(step_schedule, "batches", noting)
        logger.addHandler(messages)
        train(training_config(data, **FIELDS), workdir)
        logger.removeHandler(messages)
    compiled = Counter(m[1] for text in messages.texts if (m := COMPILED.match(text)))
    return workdir, seen, compiled


@pytest.fixture
def copied(whole, tmp_path):
    return shutil.copytree(whole[0], tmp_path / "run")


def planned(data, **fields):
    plan = training_plan(training_config(data, **FIELDS | fields))
    return plan, StepSchedule(plan, EXAMPLES, seed=0)


def test_every_step_has_the_planned_shape_and_rate(whole, data):
    workdir, seen, _ = whole
    plan, steps = planned(data)
    assert [s[:4] for s in plan.shapes] == [
        (16, 2, 8, 4), (8, 2, 11, 2), (8, 4, 8, 8), (4, 4, 11, 4), (2, 4, 16, 2)
    ]
    shapes = [steps.shape(step) for step in range(steps.steps)]
    assert set(shapes) == set(plan.shapes)
    assert [shape for shape, _ in seen] == [
        (s.batch_size, s.num_frames, s.crop, s.crop, 3) for s in shapes
    ]
    assert rows_of(workdir, "train", "epoch", "lr") == [
        [steps.epoch(s + 1), learning_rate(plan.schedule, steps.epoch(s), plan.epochs)]
        for s in range(steps.steps)
    ]
    assert rows_of(workdir, "val", "epoch") == [[epoch] for epoch in sorted(plan.evaluations)]


def test_no_video_is_repeated_within_an_epoch(whole, data):
    plan, steps = planned(data)
    epochs = [[] for _ in range(plan.epochs)]
    for step, (_, index) in enumerate(whole[1]):
        epochs[int(steps.epoch(step))] += index
    for epoch in epochs:
        assert len(set(epoch)) == len(epoch) > EXAMPLES - 16
    assert len({tuple(epoch[:2]) for epoch in epochs}) == plan.epochs


def test_each_shape_is_compiled_once(whole, data):
    """Each for training, the last one of each phase for precise statistics, one for validation."""
    plan, _ = planned(data)
    last = {phase.shapes[-1] for phase in plan.phases}
    assert len(plan.phases) > len(last)  # some phases end with the same shape
    assert whole[2] == {"step": len(plan.shapes) + len(last), "predict": 1}


@pytest.mark.slow
@pytest.mark.parametrize("place", ["mid-cycle", "mid-phase", "between phases"])
def test_resumed_run_equals_uninterrupted_run(whole, data, copied, place):
    _, steps = planned(data)
    step = {
        "mid-cycle": 2 * steps.segment(0).order.steps_per_epoch + 1,
        "mid-phase": steps.segment(steps.segment(0).end).begin + 4,
        "between phases": steps.segment(0).end,
    }[place]
    for folder in (copied / "checkpoints").iterdir():
        if int(folder.name) > step:
            shutil.rmtree(folder)
    workers = 1 if place == "between phases" else 0
    train(training_config(data, **FIELDS, train__workers=workers), copied)
    assert_same_run(copied, whole[0])


@pytest.mark.slow
@pytest.mark.parametrize("fields", [
    {"multigrid__short_cycle": False}, {"multigrid__long_cycle": False, "train__batch_size": 4},
], ids=["long", "short"])
def test_each_cycle_alone(data, tmp_path, fields, monkeypatch):
    plan, steps = planned(data, **fields)
    optimizers, starts = set(), []

    def noting(config, model, shape=None):
        optimizers.add(shape)
        return optimizer_of(config, model, shape)

    def starting(config, task, model, *rest, **options):
        starts.append((model.norm_splits, options["norm_splits"]))
        return initial_state(config, task, model, *rest, **options)

    monkeypatch.setattr("slowfast_jax.train.optimizer_of", noting)
    monkeypatch.setattr("slowfast_jax.train.initial_state", starting)
    train(training_config(data, **FIELDS | fields | {"train__keep_last": 1}), tmp_path)
    rows = read_metrics(tmp_path)
    assert rows[-1]["step"] == steps.steps and rows[-1]["epoch"] == plan.epochs
    assert optimizers == {steps.shape(step) for step in range(steps.steps)}
    first = plan.shapes[0].norm_splits  # the scales start as those of the first shape
    assert starts == [(first, max(shape.norm_splits or 1 for shape in plan.shapes))]
    assert (first is None) == (fields.get("multigrid__long_cycle") is False)


def test_changing_cycles_makes_another_run(whole, data):
    plain = {"multigrid__long_cycle": False, "multigrid__short_cycle": False}
    with pytest.raises(ConfigError, match="another run: the multigrid schedule was 'ep.* is unset"):
        train(training_config(data, **FIELDS | plain), whole[0])


def test_too_few_examples_for_a_multigrid_batch(data, tmp_path):
    config = training_config(data, **FIELDS | {"train__batch_size": 4})
    with pytest.raises(ValueError, match="24 examples do not fill one batch of 32"):
        train(config, tmp_path)
    assert not list(tmp_path.iterdir())
