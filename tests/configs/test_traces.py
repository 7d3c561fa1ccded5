"""Every recipe's model, optimizer and schedule make valid steps: traced, not compiled."""

import importlib

import jax
import jax.numpy as jnp
import pytest

from slowfast_jax.config import build_model, clips_of_example, load_config
from slowfast_jax.inference.predict_step import make_predict_step
from slowfast_jax.loop import build
from slowfast_jax.tasks import make_task
from slowfast_jax.training.schedules import learning_rate
from slowfast_jax.training.sharding import make_mesh
from tests.support.paths import ROOT

STEMS = ("kinetics", "ava", "ssv2", "charades", "imagenet", "own")
# One of each optimizer; the others train the same networks.
FINE_TUNED = ("x3d_xs_finetune", "mvitv2_s_16x4_finetune")
SPECS = [
    f"{stem}.py:{variant}"
    for stem in STEMS for variant in importlib.import_module(f"configs.{stem}").VARIANTS
    if not variant.endswith("_finetune") or variant in FINE_TUNED
]
# The two recipes that a quick run traces; other tests also compile and run them.
QUICK = ("kinetics.py:mini", "ava.py:mini")


def shapes(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


@pytest.mark.parametrize(
    "spec", [pytest.param(s, marks=[] if s in QUICK else [pytest.mark.slow]) for s in SPECS]
)
def test_the_steps_of_a_recipe(spec):
    config = load_config(f"{ROOT}/configs/{spec}")
    config.model.num_classes = config.model.num_classes or 5  # those of the user's data
    task, mesh = make_task(config), make_mesh(devices=jax.devices()[:1])
    model = build_model(config, group_size=config.norm.group_size)
    optimizer = build.optimizer_of(config, model)
    state = build.state_shapes(config, task, model, optimizer, mesh)

    if config.train.enable:
        epochs = config.train.epochs
        rates = [learning_rate(config.schedule, share * epochs, epochs) for share in (0, 0.5, 1)]
        assert all(0 <= rate < 20 for rate in rates) and rates[1] > 0
    rows = config.norm.group_size * clips_of_example(config)
    batch = task.batch_shapes(rows, config.protocol.train_crop)
    step = build.training_step(config, task, model, optimizer, mesh, state)
    scalar, key = jax.ShapeDtypeStruct((), jnp.float32), jax.eval_shape(lambda: jax.random.key(0))
    after, metrics = jax.eval_shape(step, state, batch, scalar, key)
    assert shapes(after) == shapes(state)
    assert {"loss", "grad_norm"} <= set(metrics) and all(m.shape == () for m in metrics.values())

    batch = task.batch_shapes(2, config.protocol.test_crop)
    inputs = {name: batch[name] for name in ("clip", "boxes") if name in batch}
    probabilities = jax.eval_shape(
        make_predict_step(build_model(config), mesh), state.variables, inputs
    )
    boxes = inputs["boxes"].shape[1:2] if "boxes" in inputs else ()
    assert probabilities.shape == (2, *boxes, config.model.num_classes)
