"""A layout constraint changes how maps lie in memory, and no values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.ops.backend import written_for
from slowfast_jax.ops.layout import in_layout


@pytest.mark.parametrize("channels, constrained", [(64, True), (63, False)])
def test_wide_maps_on_tpus_are_constrained(channels, constrained):
    x = jnp.arange(2 * 2 * 3 * 3 * channels, dtype=jnp.float32).reshape(2, 2, 3, 3, channels)

    def double(x):
        return in_layout(2 * x).sum(), in_layout(2 * x)

    with written_for("tpu"):
        step = jax.jit(jax.grad(double, has_aux=True))
        assert ("layout_constraint" in str(jax.make_jaxpr(step)(x))) == constrained
        slope, y = step(x)
    np.testing.assert_array_equal(y, 2 * x)
    np.testing.assert_array_equal(slope, jnp.full_like(x, 2))


def test_other_backends_get_no_constraint():
    x = jnp.zeros((1, 1, 2, 2, 128))
    assert in_layout(x) is x
