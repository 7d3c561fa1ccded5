"""`train` runs a custom task that has no labels and keeps state between steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data_pipelines.loading.batches import Examples
from slowfast_jax import tasks
from slowfast_jax.config import build_model
from slowfast_jax.loop.build import mesh_of, optimizer_of, state_shapes
from slowfast_jax.tasks.base import Task, forward
from slowfast_jax.train import train
from slowfast_jax.training.checkpoint import latest_checkpoint
from slowfast_jax.training.checkpoint_manager import Checkpoints
from slowfast_jax.training.state import TrainState
from slowfast_jax.training.step import make_train_step
from slowfast_jax.training.writers import read_metrics
from tests.support.tiny_models import training_config

QUEUE, CLIPS, STEPS = 6, 12, 12
MOMENTUM = 0.9

pytestmark = pytest.mark.usefixtures("tiny_norm")


class Teacher(Task):
    """The network predicts what its moving average outputs for the mirrored clip.

    Between steps the task keeps the average (a momentum encoder) and a queue of its last outputs,
    which serve as negatives of a contrastive loss.
    """

    headline = "agreement"

    def training_examples(self, found):
        clips = np.random.default_rng(0).integers(0, 256, (CLIPS, 4, 16, 16, 3), np.uint8)

        def load(index, generator, **changes):
            return {"clip": clips[index]}

        return Examples(CLIPS, load, lambda index: f"clip {index}"), []

    def initial_extra(self, model, variables):
        queue = jax.random.normal(jax.random.key(1), (QUEUE, model.num_classes))
        return {"encoder": dict(variables), "queue": queue, "filled": jnp.zeros((), jnp.int32)}

    def loss(self, model, variables, extra, batch, rngs):
        logits, _, updates = forward(model, variables, batch, rngs)
        teacher = jax.tree.map(
            lambda old, new: MOMENTUM * old + (1 - MOMENTUM) * jax.lax.stop_gradient(new),
            extra["encoder"], dict(variables),
        )
        targets = model.apply(teacher, batch["clip"][:, :, :, ::-1])[0]
        candidates = jnp.concatenate([targets, extra["queue"]])
        similarity = logits @ jax.lax.stop_gradient(candidates).T
        rows = jnp.arange(len(logits))
        loss = optax.softmax_cross_entropy_with_integer_labels(similarity, rows).mean()
        kept = {
            "encoder": teacher,
            "queue": candidates[:QUEUE],
            "filled": extra["filled"] + len(logits),
        }
        agreement = (similarity.argmax(-1) == rows).mean()
        return loss, {"agreement": agreement}, updates | {"extra": kept}

    def validate(self, predictor, variables, extra, found):
        clips = np.zeros((2, 4, 16, 16, 3), np.uint8)
        ours, theirs = (
            np.asarray(predictor(v, clips)) for v in (variables, extra["encoder"])
        )
        return {"agreement": float(1 - np.abs(ours - theirs).max()), "num_videos": len(clips)}


@pytest.fixture(autouse=True)
def task(monkeypatch):
    monkeypatch.setitem(tasks.TASKS, "teacher", Teacher)


def config_of(tmp_path, **fields):
    return training_config(tmp_path, task="teacher", augment={}, norm__precise=False, **fields)


def extra_in(workdir):
    """The extra state of the last checkpoint of a run."""
    config = config_of(workdir)
    model = build_model(config, group_size=config.norm.group_size)
    optimizer, mesh = optimizer_of(config, model), mesh_of(config)
    shapes = state_shapes(config, Teacher(config), model, optimizer, mesh)
    checkpoints = Checkpoints(workdir)
    state = checkpoints.restore(int(latest_checkpoint(workdir).name), shapes)
    checkpoints.close()
    return state.extra


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_norm):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tasks.TASKS, "teacher", Teacher)
        workdir = tmp_path_factory.mktemp("whole")
        train(config_of(workdir), workdir)
    return workdir


def test_custom_task_trains_and_keeps_extra_state(whole):
    rows = read_metrics(whole)
    assert [row["step"] for row in rows if row["split"] == "train"] == [*range(1, STEPS + 1)]
    assert {"loss", "agreement"} <= set(rows[0]) and "top1_acc" not in rows[0]
    assert 0 < rows[-1]["agreement"] <= 1
    extra = extra_in(whole)
    assert extra["filled"] == 4 * STEPS


def test_interrupted_run_resumes_with_extra_state(whole, tmp_path, monkeypatch):
    class Broken(RuntimeError):
        pass

    def stop(*args):
        raise Broken

    first = config_of(tmp_path, train__checkpoint_steps=5)
    with monkeypatch.context() as patch:
        patch.setattr(Teacher, "validate", stop)
        with pytest.raises(Broken):
            train(first, tmp_path)  # validates after step 6, and fails
    assert latest_checkpoint(tmp_path).name == "6"
    train(config_of(tmp_path), tmp_path)

    def losses(folder):
        return [row["loss"] for row in read_metrics(folder) if row["split"] == "train"]

    assert losses(tmp_path) == losses(whole)
    assert jax.tree.all(jax.tree.map(np.array_equal, extra_in(tmp_path), extra_in(whole)))


def state_and_step(config, **options):
    model = build_model(config, group_size=config.norm.group_size)
    task, optimizer = Teacher(config), optimizer_of(config, model)
    batch = {"clip": np.random.default_rng(1).integers(0, 256, (4, 4, 16, 16, 3), np.uint8)}
    variables = model.init(jax.random.key(0), batch["clip"])
    extra = task.initial_extra(model, variables)
    state = TrainState(
        jnp.zeros((), jnp.int32), variables["params"], variables["batch_stats"],
        optimizer.init(variables["params"]), extra=extra,
    )
    return state, jax.jit(make_train_step(model, optimizer, task.loss, **options)), batch


@pytest.mark.slow
def test_accumulated_parts_pass_extra_state_on(tmp_path):
    state, step, batch = state_and_step(config_of(tmp_path), accumulate=2)
    after, metrics = step(state, batch, 0.1, jax.random.key(0))
    assert after.extra["filled"] == 4 and np.isfinite(metrics["loss"])


def test_loss_that_changes_extra_shapes_is_refused(tmp_path, monkeypatch):
    def longer(self, model, variables, extra, batch, rngs):
        logits, _, updates = forward(model, variables, batch, rngs)
        queue = jnp.concatenate([extra["queue"], logits])
        return logits.mean(), {}, updates | {"extra": extra | {"queue": queue}}

    monkeypatch.setattr(Teacher, "loss", longer)
    state, step, batch = state_and_step(config_of(tmp_path))
    with pytest.raises(ValueError, match=r"float32\[10, 4\].*expected.*float32\[6, 4\]"):
        step(state, batch, 0.1, jax.random.key(0))


@pytest.mark.parametrize("name, arguments", [
    ("training_examples", (None,)), ("objective", (None, {}, {})), ("batch_shapes", (1, 2)),
    ("validate", (None, {}, {}, None)), ("test", (None, None, None)),
])
def test_a_task_names_what_it_does_not_define(name, arguments):
    with pytest.raises(NotImplementedError, match=f"task Task does not define `{name}`"):
        getattr(Task(None), name)(*arguments)
