"""The attention that is shown is the one that the network computes with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.config import ConfigError
from slowfast_jax.models.mvit import MViT
from slowfast_jax.ops.transformer.attention import attention, attention_weights
from slowfast_jax.visualize.attention import (
    attention_layers,
    default_layer,
    make_attention,
    shares_within,
)
from tests.slowfast_jax.visualize.test_gradcam import MVIT, variables_of
from tests.support.tiny_models import Tiny

random = np.random.default_rng(0)
clip = random.normal(size=(2, 4, 32, 32, 3)).astype(np.float32)


def attend(model, variables, layer="", query=None):
    return make_attention(model, layer, query)(variables, clip)


def test_weights_are_those_of_the_attention():
    q, k, v = (jnp.asarray(random.normal(size=(2, n, 3, 4)), jnp.float32) for n in (5, 7, 7))
    weights = attention_weights(q, k)
    expected = jnp.einsum("nhqk,nkhc->nqhc", weights, v)
    np.testing.assert_allclose(attention(q, k, v), expected, atol=1e-6)


@pytest.fixture(scope="module")
def network():
    model = MViT(**MVIT, rel_pos_space=True)
    return model, variables_of(model)


def test_the_class_token_and_a_point(network):
    model, variables = network
    assert attention_layers(model, variables, clip) == ["block0/attn", "block1/attn"]
    found = attend(model, variables, "block0/attn")
    assert found.maps.shape == (2, 1, 2, 2, 2)  # keys are pooled by 2 x 2
    np.testing.assert_allclose(found.maps.sum((2, 3, 4)) + found.class_token, 1, atol=1e-6)
    point = attend(model, variables, "block0/attn", (0.0, 0.9, 0.1))
    np.testing.assert_allclose(point.maps.sum((2, 3, 4)) + point.class_token, 1, atol=1e-6)
    other = attend(model, variables, "block0/attn", (0.9, 0.1, 0.9))
    for one in (found, other):
        assert np.abs(point.maps - one.maps).max() > 1e-6
    assert attend(model, variables).maps.shape == (2, 1, 2, 4, 4)
    assert default_layer(model) == "block1/attn"  # the last that pools queries
    assert default_layer(MViT(**(MVIT | {"depth": 4}))) == "block1/attn"
    assert default_layer(MViT(**(MVIT | {"q_strides": ()}))) == "block1/attn"  # the last of all
    assert default_layer(model.clone(detection=True)) == ""


@pytest.mark.slow
def test_without_a_class_token_it_is_the_mean_of_all_queries(network):
    model = MViT(**MVIT, class_token=False, mean_pooling=True)
    variables = variables_of(model)
    mean = attend(model, variables, "block1/attn")
    np.testing.assert_allclose(mean.maps.sum((2, 3, 4)), 1, atol=1e-6)
    np.testing.assert_array_equal(mean.class_token, 0)
    one = attend(model, variables, "block1/attn", (0.2, 0.2, 0.7))
    assert one.maps.shape == mean.maps.shape and np.abs(one.maps - mean.maps).max() > 1e-4


def test_points_within_a_box():
    boxes = np.array([[0.0, 0.0, 0.5, 1.0], [0.4, 0.2, 0.8, 0.3], [0.9, 0.9, 0.95, 0.95]])
    within = np.array([
        [[1, 1, 0, 0], [1, 1, 0, 0]],
        [[0, 0, 1, 0], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 1]],  # the box lies between the points: the nearest one counts
    ])
    expected = within / within.sum((1, 2), keepdims=True) / 3
    found = jax.jit(shares_within, static_argnums=1)(boxes, (3, 2, 4)).reshape(3, 3, 2, 4)
    np.testing.assert_allclose(found, np.stack([expected] * 3, 1), atol=1e-7)


def test_a_box_looks_with_its_points(network):
    model = network[0].clone(detection=True, roi_scale=1 / 8)
    variables = variables_of(model)
    attend = make_attention(model, "block0/attn")
    box = attend(variables, clip, jnp.array([[0, 0, 8, 8], [0, 0, 8, 8]], jnp.float32))
    points = [make_attention(model, "block0/attn", (t, 0.1, 0.1)) for t in (0.0, 0.9)]
    one, two = (
        at(variables, clip, jnp.array([[0, 0, 30, 30]] * 2, jnp.float32)).maps for at in points
    )
    np.testing.assert_allclose(box.maps, (one + two) / 2, atol=1e-6)


def test_errors(network):
    model, variables = network
    with pytest.raises(ConfigError, match="no attention block9/attn.*block0/attn, block1/attn"):
        attend(model, variables, "block9/attn")
    with pytest.raises(ConfigError, match="fractions"):
        attend(model, variables, "block0/attn", (0, 0, 1.5))
    tiny = Tiny(num_classes=2)
    with pytest.raises(ConfigError, match="Tiny has no attention"):
        attend(tiny, variables_of(tiny))
