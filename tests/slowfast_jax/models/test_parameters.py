"""Parameters are checked by their shapes, and their initializers are traced only to initialize."""

import jax
import jax.numpy as jnp
import pytest
from flax.errors import ScopeParamNotFoundError, ScopeParamShapeError

from slowfast_jax.models.parameters import Layer, only_shapes

KEY = jax.random.key(0)


class Scale(Layer):
    features: int = 3

    def setup(self):
        self.scale = self.param("scale", self.draw, (self.features,))

    def draw(self, key, shape):
        self.calls.append(shape)
        return jax.random.normal(key, shape)

    def __call__(self, x):
        return x * self.scale


Scale.calls = []


def test_the_initializer_is_called_once():
    Scale.calls.clear()
    variables = Scale().init(KEY, jnp.ones(3))
    assert (Scale().apply(variables, jnp.ones(3)) == variables["params"]["scale"]).all()
    assert Scale.calls == [(3,)] and variables["params"]["scale"].any()
    with only_shapes():
        assert not Scale().init(KEY, jnp.ones(3))["params"]["scale"].any()
    assert Scale.calls == [(3,)]


def test_wrong_and_missing_parameters():
    variables = Scale().init(KEY, jnp.ones(3))
    with pytest.raises(ScopeParamShapeError, match=r"scale.*\(4,\).*\(3,\)"):
        Scale(4).apply(variables, jnp.ones(4))
    with pytest.raises(ScopeParamNotFoundError, match="scale"):
        Scale().apply({"params": {"other": jnp.ones(3)}}, jnp.ones(3))
