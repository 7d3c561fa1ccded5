"""A new kind of network, defined in one file, gets everything that the others have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.inference.input_checks import check_clips
from slowfast_jax.models import zoo
from slowfast_jax.training.optim import make_optimizer
from tests.support import two_block_vit
from tests.support.network_checks import Probe, check_gradients, check_outputs

NAME = "test/two_block_vit"
# Softmax over the keys cancels what is added to all keys.
NO_EFFECT = ("key/bias",)


@pytest.fixture
def vit(monkeypatch):
    monkeypatch.setitem(zoo.ZOO, NAME, two_block_vit.entry())
    return zoo.create(NAME)


def test_it_does_what_every_network_does(vit):
    probe = Probe(vit)
    check_outputs(probe)
    check_gradients(probe, NO_EFFECT)


def test_it_gets_the_keywords_of_its_protocol(vit):
    assert (vit.num_frames, vit.crop_size) == (4, 32)
    assert vit.mean == zoo.PROTOCOL["mean"] and vit.std == zoo.PROTOCOL["std"]
    assert zoo.create(NAME, dtype=jnp.bfloat16, width=8).width == 8
    with pytest.raises(ValueError, match="TwoBlockViT.* takes no group_size; it takes .*width"):
        zoo.create(NAME, group_size=8)


def test_it_declares_what_it_can_do(vit):
    assert not (vit.norm_groups or vit.foldable or vit.is_norm("norm/scale"))
    shape = (1, vit.num_frames, vit.crop_size, vit.crop_size, 3)
    check_clips(np.zeros(shape, np.uint8), vit)
    with pytest.raises(ValueError, match="clips have 3 frames, the network needs 4"):
        check_clips(np.zeros((1, 3, *shape[2:]), np.uint8), vit)
    with pytest.raises(ValueError, match="clips are 16x32, too small for a network with"):
        check_clips(np.zeros((1, 4, 16, 32, 3), np.uint8), vit)


def test_the_optimizer_asks_it_for_layers_and_for_parameters_without_decay(vit):
    clip = jnp.zeros((1, vit.num_frames, vit.crop_size, vit.crop_size, 3), jnp.uint8)
    shapes = jax.eval_shape(vit.init, jax.random.key(0), clip)["params"]
    params = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
    optimizer = make_optimizer(
        momentum=0.0, nesterov=False, weight_decay=0.1, layer_decay=0.5, layer_of=vit.layer_of,
        is_norm=vit.is_norm, no_decay=vit.no_decay,
    )
    gradients = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    # With gradients 0, an update is the weight decay times 0.5 for each layer above it.
    for part, layers_above in (("patches", 3), ("block0", 2), ("block1", 1), ("projection", 0)):
        for leaf in jax.tree.leaves(updates[part]):
            np.testing.assert_allclose(leaf, 0.1 * 0.5**layers_above, rtol=1e-6)
    assert not updates["class_token"].any() and not updates["positions"].any()
