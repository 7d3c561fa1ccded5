"""A batch processed in parts gives the same step as the whole batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.tasks.base import supervised
from slowfast_jax.training.losses import bce, cross_entropy
from slowfast_jax.training.optim import make_optimizer
from slowfast_jax.training.state import create_state
from slowfast_jax.training.step import make_train_step
from tests.support.tiny_models import TinyNorm

CLIPS, CLASSES = 8, 4


def classify(logits, endpoints, batch):
    wrong = (logits.argmax(-1) != batch["label"]).mean()
    return cross_entropy(logits, batch["label"]), {"top1_err": 100 * wrong}


def detect(logits, endpoints, batch):
    return bce(logits, batch["label"], batch["box_mask"]), {}


def batch_of(boxes: int = 0):
    rng = np.random.default_rng(0)
    batch = {"clip": rng.integers(0, 256, (CLIPS, 2, 8, 8, 3), np.uint8)}
    if not boxes:
        return batch | {"label": np.arange(CLIPS, dtype=np.int32) % CLASSES}
    return batch | {
        "boxes": rng.uniform(0, 8, (CLIPS, boxes, 4)).astype(np.float32),
        "box_mask": rng.random((CLIPS, boxes)) < 0.4,
        "label": (rng.random((CLIPS, boxes, CLASSES)) < 0.5).astype(np.float32),
    }


def one_step(accumulate, batch, loss, group_size=2, **options):
    model = TinyNorm(
        CLASSES, num_frames=2, crop_size=8, dropout=0.0, group_size=group_size,
        detection="boxes" in batch,
    )
    optimizer = make_optimizer(weight_decay=1e-3, is_norm=model.is_norm)
    variables = model.init(jax.random.key(0), batch["clip"], batch.get("boxes"))
    step = make_train_step(
        model, optimizer, supervised(loss), accumulate=accumulate, **options
    )
    state = create_state(variables, optimizer, averaged=bool(options.get("average")))
    return jax.jit(step)(state, batch, 0.1, jax.random.key(1))


@pytest.mark.parametrize("accumulate, group_size", [
    pytest.param(2, 2, marks=pytest.mark.slow), (4, 2), pytest.param(2, 4, marks=pytest.mark.slow),
])
def test_accumulated_step_equals_whole_batch_step(accumulate, group_size):
    whole = one_step(1, batch_of(), classify, group_size)
    parts = one_step(accumulate, batch_of(), classify, group_size)
    for found, expected in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def test_parts_are_weighted_by_their_boxes():
    batch = batch_of(boxes=3)
    batch["box_mask"][::2] = False  # parts differ much in their number of boxes
    batch["box_mask"][1] = True
    whole, parts = (one_step(n, batch, detect, group_size=1)[1] for n in (1, 4))
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value, rtol=2e-5)


def test_half_the_batch_gives_another_gradient():
    """So the other tests would notice if some parts were left out."""
    half = {name: rows[:4] for name, rows in batch_of().items()}
    whole = one_step(1, batch_of(), classify)[1]["grad_norm"]
    assert abs(one_step(1, half, classify)[1]["grad_norm"] - whole) > 1e-3


def test_parts_that_would_split_norm_groups_are_refused():
    with pytest.raises(ValueError, match="8 clips in batch-norm groups of 4 cannot be split"):
        one_step(4, batch_of(), classify, group_size=4)
    with pytest.raises(ValueError, match="use a divisor of 1"):
        one_step(2, batch_of(), classify, group_size=None)


def test_moving_average_of_parameters():
    plain = one_step(1, batch_of(), classify)[0]
    state = one_step(1, batch_of(), classify, average=0.9)[0]
    start = TinyNorm(CLASSES, num_frames=2, crop_size=8).init(
        jax.random.key(0), batch_of()["clip"]
    )["params"]
    expected = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, start, plain.params)
    assert plain.average == {} and plain.variables["params"] is plain.params
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
                 state.average, expected)
    assert state.variables["params"] is state.average
    moved = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), state.average, state.params)
    assert max(jax.tree.leaves(moved)) > 0
