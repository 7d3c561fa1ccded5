"""The fusion barrier changes no value, and JAX differentiates and batches through it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.ops.fusion_barrier import materialize


def gated(x, barrier):
    y = barrier(jnp.sin(x) * 2)
    return y * y.mean()


def slope(x, barrier):
    return jax.grad(lambda x: gated(x, barrier).sum())(x)


@pytest.mark.parametrize("f", [gated, slope])
def test_identity_with_a_gradient_and_a_batch(f):
    x = jnp.linspace(-1.0, 2.0, 12).reshape(3, 4)
    for run in (f, jax.jit(jax.vmap(f, (0, None)), static_argnums=1)):
        np.testing.assert_allclose(run(x, materialize), run(x, lambda y: y), rtol=1e-6)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the barrier exists on CPU only")
def test_the_producer_is_computed_once():
    def sines(barrier):
        text = jax.jit(lambda x: gated(x, barrier)).lower(jnp.ones((64, 64))).compile().as_text()
        return text.count(" sine(")

    assert sines(materialize) == 1
    assert sines(lambda y: y) == 2
