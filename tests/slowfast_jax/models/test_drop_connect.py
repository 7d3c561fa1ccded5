"""Stochastic depth: training drops residual branches at random."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.config import build_model, load_config
from slowfast_jax.models.blocks import Conv3D, add_shortcut
from slowfast_jax.models.norm import BatchNorm
from slowfast_jax.models.x3d import X3D
from slowfast_jax.weights import initial_variables
from tests.support.compiling import FAST
from tests.support.paths import ROOT

SMALL = dict(
    num_frames=2, crop_size=32, width_factor=1.0, depth_factor=0.2, head_width=32, dropout=0.0
)
CLIP = jnp.asarray(np.random.default_rng(0).integers(0, 256, (4, 2, 32, 32, 3)), jnp.uint8)


class Ones(nn.Module):
    """A residual block whose branch is one everywhere."""

    drop_connect: float = 0.0

    @nn.compact
    def __call__(self, x):
        return add_shortcut(
            x, jnp.ones_like(x), conv=Conv3D, norm=BatchNorm, features=2, strides=(1, 1, 1),
            drop_connect=self.drop_connect,
        )


def test_clips_lose_the_whole_branch_and_the_mean_stays():
    x = jnp.zeros((4096, 2, 3, 3, 2))
    block = Ones(drop_connect=0.2)
    key = {"dropout": jax.random.key(1)}
    y = np.asarray(block.apply({}, x, rngs=key)).reshape(len(x), -1)
    assert np.array_equal(y, np.repeat(y[:, :1], y.shape[1], axis=1))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.8], rtol=1e-6)
    assert y[:, 0].mean() == pytest.approx(1, abs=4 * 0.5 / 4096**0.5)
    other = block.apply({}, x, rngs={"dropout": jax.random.key(2)})
    assert not np.array_equal(other[:, 0, 0, 0, 0], y[:, 0])


def test_without_a_rate_no_random_number_is_drawn():
    x = jnp.zeros((2, 2, 3, 3, 2))
    y = Ones().apply({}, x)  # without a key
    assert (y == 1).all()


def rates_in(train, **keywords):
    """Drop rate of the first block of each stage, noted while the network is traced."""
    rates = {}

    def note(call, args, kwargs, context):
        if isinstance(context.module, nn.Dropout) and "block0" in context.module.path:
            rates[context.module.path[0]] = context.module.rate
        return call(*args, **kwargs)

    model = X3D(4, **SMALL, **keywords)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), CLIP))
    with nn.intercept_methods(note):
        jax.eval_shape(
            lambda v: model.apply(
                v, CLIP, train=train, rngs={"dropout": jax.random.key(0)},
                mutable=["batch_stats"],
            ), variables,
        )
    return rates


@pytest.mark.parametrize("keywords", [{}, {"frozen_norm": True}, {"remat": ("res2", "res4")}])
def test_the_rate_grows_over_the_stages_of_x3d(keywords):
    assert rates_in(True, drop_connect=0.5, **keywords) == pytest.approx(
        {"res2": 0.2, "res3": 0.3, "res4": 0.4, "res5": 0.5}
    )
    assert set(rates_in(False, drop_connect=0.5, **keywords).values()) == {0}


@pytest.mark.slow
def test_x3d_drops_branches_only_in_training():
    model = X3D(4, zero_init_final_bn=False, group_size=1, **SMALL)
    dropping = model.clone(drop_connect=0.5)
    variables = initial_variables(model, 0)

    def logits(model, train, variables, key):
        return model.apply(
            variables, CLIP, train=train, rngs={"dropout": key} if train else None,
            mutable=["batch_stats"],
        )[0][0]

    compiled = jax.jit(logits, static_argnums=(0, 1), compiler_options=FAST)
    keys = [jax.random.key(i) for i in range(2)]
    one, same, other = (compiled(dropping, True, variables, keys[i]) for i in (0, 0, 1))
    assert np.array_equal(one, same) and not np.allclose(one, other)
    np.testing.assert_array_equal(
        compiled(dropping, False, variables, keys[0]), compiled(model, False, variables, keys[0])
    )


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_invalid_rates(rate):
    with pytest.raises(ValueError, match=f"drop_connect is {rate}, expected 0 or more, below 1"):
        jax.eval_shape(lambda: X3D(4, drop_connect=rate, **SMALL).init(jax.random.key(0), CLIP))


def test_recipes_have_the_field_if_the_original_does():
    config = load_config(f"{ROOT}/configs/kinetics.py:x3d_xs")
    assert config.model.drop_connect == 0.0
    config.model.drop_connect = 0.1
    assert build_model(config).drop_connect == 0.1
    assert "drop_connect" not in load_config("kinetics/slowfast_8x8_r50").model
