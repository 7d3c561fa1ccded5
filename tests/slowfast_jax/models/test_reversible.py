"""Reversible networks: gradients equal JAX's own; activations are not stored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.models import zoo
from slowfast_jax.ops.backend import PLAIN_BACKEND, written_for
from slowfast_jax.ops.transformer import reversible
from slowfast_jax.weights import initial_variables, variable_shapes
from tests.support.compiling import FAST

SMALL = dict(
    num_classes=4, num_frames=4, crop_size=32, width=16, dropout=0.0, drop_path=0.5, depth=4,
    dim_mul=((2, 2.0),), head_mul=((2, 2.0),), q_strides=((2, 1, 2, 2),), transitions=(2,),
)


def model_of(**options):
    return zoo.create("kinetics/rev_mvit_b_16x4_conv", **(SMALL | options))


def clip_of(model, n=4):
    shape = (n, model.num_frames, model.crop_size, model.crop_size, 3)
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, shape), jnp.uint8)


def loss_of(model, clip):
    def loss(params):
        logits, _ = model.apply(
            {"params": params}, clip, train=True, rngs={"dropout": jax.random.key(3)}
        )
        return jnp.square(logits - jnp.arange(4)).mean()

    return loss


@pytest.mark.parametrize("fusion", ["avg", pytest.param("concat_linear_2", marks=pytest.mark.slow)])
def test_gradients_equal_plain_automatic_differentiation(monkeypatch, fusion):
    """Stochastic depth drops the same branches in both passes."""
    model = model_of(stage_fusion=fusion)
    clip = clip_of(model)
    params = initial_variables(model, 0)["params"]
    params = jax.tree.map(lambda p: p * 4 if p.ndim > 1 else p, params)

    def run():
        with written_for(PLAIN_BACKEND):  # compiled fastest
            step = jax.value_and_grad(loss_of(model, clip))
            return jax.jit(step, compiler_options=FAST)(params)

    found = run()
    monkeypatch.setattr(reversible, "run_reversible", reversible.forward)
    expected = run()
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected[1]))
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(found[1]), jax.tree.leaves(expected[1]), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * largest, err_msg=str(path))


def test_the_forward_pass_is_the_one_of_evaluation():
    model = model_of(drop_path=0.0)
    clip, variables = clip_of(model), initial_variables(model, 0)
    with written_for(PLAIN_BACKEND):
        found, expected = jax.jit(
            lambda v: [model.apply(v, clip, train=train)[0] for train in (True, False)],
            compiler_options=FAST,
        )(variables)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_is_stored_does_not_grow_with_the_blocks():
    def stored(depth):
        model = model_of(depth=depth)
        shapes = variable_shapes(model)["params"]
        _, pullback = jax.eval_shape(
            lambda p: jax.vjp(loss_of(model, clip_of(model)), p), shapes
        )
        parameters = sum(leaf.size for leaf in jax.tree.leaves(shapes))
        return sum(leaf.size for leaf in jax.tree.leaves(pullback)) - parameters

    few, many = stored(4), stored(12)
    assert many < few + 8 * 64  # masks of stochastic depth


@pytest.mark.parametrize(
    "mode", ["add", "max", "min", "concat", "concat_linear", "ln+concat_linear"]
)
def test_fusions(mode):
    shapes = variable_shapes(model_of(stage_fusion="avg", final_fusion=mode))["params"]
    linear = "norm_mlp" if mode.startswith("ln") else "mlp"
    assert ("fusion" in shapes) == ("linear" in mode)
    if "linear" in mode:
        assert shapes["fusion"][linear]["fc1"]["kernel"].shape == (64, 64)
    channels = shapes["head"]["projection"]["kernel"].shape[0]
    assert channels == (64 if "concat" in mode else 32)


def test_errors():
    with pytest.raises(ValueError, match="a fusion is 'sum', expected add, max, min, avg, concat"):
        variable_shapes(model_of(stage_fusion="sum"))
    with pytest.raises(ValueError, match="a fusion is 'concat_linear_x'"):
        variable_shapes(model_of(final_fusion="concat_linear_x"))
    with pytest.raises(ValueError, match="reversible networks classify clips"):
        variable_shapes(model_of(detection=True))
