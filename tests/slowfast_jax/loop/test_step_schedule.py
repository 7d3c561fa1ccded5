"""Epochs and shapes of steps, and batches that depend on the step alone."""

import numpy as np
import pytest

from data_pipelines.loading.batches import Examples, always_the_first
from slowfast_jax.loop.step_schedule import StepSchedule
from slowfast_jax.training.multigrid import make_plan
from tests.slowfast_jax.training.test_multigrid import CYCLES, SHAPE, STEPS

SIZE = 30
PLAN = make_plan(
    SHAPE._replace(batch_size=2), epochs=6, schedule=STEPS | {"steps": (0, 4)}, eval_period=1,
    checkpoint_period=1, multigrid=CYCLES,
)
LOADING = dict(threads=1, workers=0)


def load(index, generator, shape=None):
    frames, crop = (shape or SHAPE)[1:3]
    return {
        "clip": np.zeros((frames, crop)), "draw": generator.random(), "default": shape is None
    }


EXAMPLES = Examples(SIZE, load, str)


def schedule(**place):
    return StepSchedule(PLAN, SIZE, seed=3, **place)


def batches(first=0, examples=EXAMPLES, **place):
    return list(schedule(**place).batches(examples, first, **LOADING))


@pytest.fixture(scope="module")
def whole():
    return batches()


def test_steps_epochs_and_shapes(whole):
    planned = schedule()
    assert [(p.begin, p.end) for p in PLAN.phases] == [(0, 5), (5, 7), (7, 9)]
    ends = [planned.ended(done) for done in range(planned.steps + 1)]
    assert [epoch for epoch in ends if epoch] == list(range(1, PLAN.epochs + 1))
    assert ends[0] == 0 and ends[-1] == planned.epoch(planned.steps) == PLAN.epochs
    epochs = [planned.epoch(step) for step in range(planned.steps)]
    assert epochs == sorted(epochs)
    assert all(planned.epoch(done) == epoch for done, epoch in enumerate(ends) if epoch)
    first_steps = [planned.step_of(epoch) for epoch in range(1, PLAN.epochs + 1)]
    assert first_steps == [done for done, epoch in enumerate(ends) if epoch]
    assert planned.step_of(0) == 0 and planned.step_of(PLAN.epochs + 1) == planned.steps
    assert len(whole) == planned.steps
    for step, batch in enumerate(whole):
        shape = planned.shape(step)
        assert shape in planned.segment(step).phase.shapes
        assert batch["clip"].shape == (shape.batch_size, shape.num_frames, shape.crop)
        assert set(batch["default"]) == {shape == PLAN.shape}


def test_epochs_have_no_repeats_and_different_orders(whole):
    planned = schedule()
    epochs = [[] for _ in range(PLAN.epochs)]
    for step, batch in enumerate(whole):
        epochs[int(planned.epoch(step))] += list(batch["index"])
    assert all(len(set(epoch)) == len(epoch) >= 24 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == PLAN.epochs


def test_batches_resume_at_any_step(whole):
    for first in range(schedule().steps):
        rest = batches(first)
        assert len(rest) == len(whole) - first
        for ours, theirs in zip(rest[:4], whole[first:], strict=False):
            np.testing.assert_array_equal(ours["index"], theirs["index"])
            np.testing.assert_array_equal(ours["draw"], theirs["draw"])


def test_processes_share_each_batch(whole):
    parts = [batches(process=p, processes=2) for p in (0, 1)]
    assert schedule(processes=2).rows(PLAN.shape) == 1
    for batch, *shares in zip(whole, *parts, strict=True):
        joined = np.concatenate([share["draw"] for share in shares])
        np.testing.assert_array_equal(joined, batch["draw"])


def test_other_batches_are_of_one_shape():
    planned, shape = schedule(), PLAN.phases[0].shapes[-1]
    first, again, later = (
        list(planned.others(EXAMPLES, shape, step, 2, **LOADING)) for step in (4, 4, 5)
    )
    assert [len(b["index"]) for b in first] == [shape.batch_size] * 2
    np.testing.assert_array_equal(first[0]["draw"], again[0]["draw"])
    np.testing.assert_array_equal(first[1]["draw"], later[0]["draw"])
    assert list(first[0]["index"]) != list(batches(4)[0]["index"])[: shape.batch_size]


def test_a_single_example_is_loaded_once_per_shape():
    made = []
    one = Examples(SIZE, lambda *a, **k: made.append(k) or load(*a, **k), str)
    batches(examples=always_the_first(one))
    assert len(made) == len(PLAN.shapes)
