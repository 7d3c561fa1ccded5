"""Layouts change how maps lie in memory, and no number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.ops.backend import written_for
from slowfast_jax.ops.layout import laid_out


@pytest.mark.parametrize("channels, asks", [(64, True), (63, False)])
def test_broad_maps_on_tpus_are_laid_out(channels, asks):
    x = jnp.arange(2 * 2 * 3 * 3 * channels, dtype=jnp.float32).reshape(2, 2, 3, 3, channels)

    def double(x):
        return laid_out(2 * x).sum(), laid_out(2 * x)

    with written_for("tpu"):
        step = jax.jit(jax.grad(double, has_aux=True))
        assert ("layout_constraint" in str(jax.make_jaxpr(step)(x))) == asks
        slope, y = step(x)
    np.testing.assert_array_equal(y, 2 * x)
    np.testing.assert_array_equal(slope, jnp.full_like(x, 2))


def test_nothing_is_asked_of_other_backends():
    x = jnp.zeros((1, 1, 2, 2, 128))
    assert laid_out(x) is x
