"""Precise statistics are those of all elements in all batches."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.models.norm import BatchNorm
from slowfast_jax.training.precise_bn import make_precise_step, precise_batch_stats
from tests.slowfast_jax.training.test_step import Toy, toy_batch


def run(model, clips):
    batches = [{"clip": jnp.asarray(c, jnp.float32)} for c in clips]
    variables = model.init(jax.random.key(0), batches[0]["clip"])
    step = jax.jit(make_precise_step(model))
    stats = precise_batch_stats(step, variables["params"], variables["batch_stats"], batches)
    return stats["stem_bn"]


@pytest.mark.parametrize("model", [Toy(dropout=0.5), Toy(group_size=2)])
def test_unequal_batches(model):
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal((n, 2, 3, 3, 3)) * n + 10 * n for n in (4, 2, 6)]
    stats = run(model, clips)
    every = np.concatenate(clips).reshape(-1, 3)
    np.testing.assert_allclose(stats["mean"], every.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats["var"], every.var(0), rtol=1e-5)


class Dropping(nn.Module):
    """A batch norm after dropout of whole clips."""

    @nn.compact
    def __call__(self, clip, boxes=None, train=False):
        x = nn.Dropout(0.5, broadcast_dims=(1, 2, 3, 4), deterministic=not train)(clip)
        return BatchNorm(name="stem_bn")(x, train), {}


def test_each_batch_draws_its_own_dropout():
    ones = np.ones((8, 1, 1, 1, 2))
    assert run(Dropping(), [ones])["mean"][0] in np.arange(9) / 4
    means = {float(run(Dropping(), [ones] * count)["mean"][0]) for count in range(1, 6)}
    assert len(means) > 1


def test_no_batch():
    with pytest.raises(ValueError, match="need at least one batch; got none"):
        precise_batch_stats(make_precise_step(Toy()), {}, {}, [])


def test_norms_that_do_not_train():
    with pytest.raises(ValueError, match="no trainable batch norms, .*: set norm.precise"):
        run(Toy(frozen_norm=True), [toy_batch()["clip"]])
