"""What every network must do, whatever its architecture; see test_every_network.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.models.base import VideoNetwork
from slowfast_jax.models.fold import fold_batch_norm
from slowfast_jax.ops.backend import PLAIN_BACKEND, written_for
from slowfast_jax.weights import initial_variables, variable_shapes
from tests.support.compiling import FAST

BOXES = [[0.0, 0, 32, 32], [3.3, 5.7, 20.1, 31.9], [8, 2, 30, 12]]


class Probe:
    """A small network, random weights for it, and a batch of training clips in uint8."""

    def __init__(self, model: VideoNetwork, batch: int = 4):
        self.model = model
        rng, side = np.random.default_rng(0), model.crop_size
        clip = rng.integers(0, 256, (batch, model.num_frames, side, side, 3))
        self.clip = jnp.asarray(clip, jnp.uint8)
        self.boxes = jnp.array([BOXES] * batch) if model.detection else None
        self.shape = (batch, *((len(BOXES),) if model.detection else ()), model.num_classes)
        self.variables = initial_variables(model, 0)


def check_outputs(probe: Probe) -> None:
    """Checks logits and probabilities in evaluation mode: their shapes, that they are finite, and
    that every other way to compute them gives the same numbers."""
    model, variables = probe.model, probe.variables
    normalized = (probe.clip / 255.0 - jnp.array(model.mean)) / jnp.array(model.std)
    models = {"plain": (model, False), "float clip": (model, False)}
    inputs = {"plain": (variables, probe.clip), "float clip": (variables, normalized)}
    models["bfloat16"] = model.clone(dtype=jnp.bfloat16), False
    inputs["bfloat16"] = inputs["plain"]
    if model.foldable:
        folded, merged = fold_batch_norm(model, variables)
        models["folded"], inputs["folded"] = (folded, False), (merged, probe.clip)
    if model.norm_groups:
        models["frozen norms"] = model.clone(frozen_norm=True, dropout=0.0), True
        inputs["frozen norms"] = inputs["plain"]

    def run(inputs):
        return {
            name: net.apply(*inputs[name], probe.boxes, train=train)
            for name, (net, train) in models.items()
        }

    found = jax.jit(run, compiler_options=FAST)(inputs)
    logits, out = found.pop("plain")
    assert logits.shape == out["probs"].shape == probe.shape
    assert np.isfinite(logits).all() and np.isfinite(out["probs"]).all()
    _, rough = found.pop("bfloat16")
    assert rough["features"].dtype == jnp.bfloat16 and rough["probs"].dtype == jnp.float32
    np.testing.assert_allclose(rough["probs"], out["probs"], atol=0.02)
    for name, (other, _) in found.items():
        scale = np.abs(logits).max()
        np.testing.assert_allclose(other, logits, atol=1e-4 * scale, rtol=0, err_msg=name)


def check_gradients(probe: Probe, without_effect: tuple[str, ...] = ()) -> None:
    """Checks that a training step reaches every parameter and every running statistic, and that
    recomputing (`remat`) gives the same gradients as storing.

    `without_effect` has the ends of paths of parameters that the output does not depend on.
    """
    model = probe.model.clone(dropout=0.0)
    variables = jax.tree_util.tree_map_with_path(_nonzero_scale, probe.variables)
    target = jnp.arange(np.prod(probe.shape)).reshape(probe.shape) / np.prod(probe.shape)
    stages = [part for part in variables["params"] if "res" in part or "block" in part]
    recomputed = (f"{s}{':norms' if i % 2 else ''}" for i, s in enumerate(stages))
    models = [model, model.clone(remat=tuple(recomputed))]
    with pytest.raises(ValueError, match="remat has nowhere"):
        variable_shapes(model.clone(remat=("nowhere",)))

    def gradients(model, variables):
        def loss(params):
            (logits, _), new = model.apply(
                variables | {"params": params}, probe.clip, probe.boxes, train=True,
                mutable=["batch_stats"],
            )
            return jnp.square(logits - target).mean(), new.get("batch_stats", {})

        return jax.value_and_grad(loss, has_aux=True)(variables["params"])

    run = jax.jit(lambda v: [gradients(m, v) for m in models], compiler_options=FAST)
    with written_for(PLAIN_BACKEND):  # the CPU's forms of a convolution have tests of their own
        ((value, stats), slopes), *again = run(variables)
    assert np.isfinite(value)
    for path, slope in jax.tree_util.tree_leaves_with_path(slopes):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        assert name.endswith(without_effect) or np.abs(slope).max() > 0, name
    before = variables.get("batch_stats", {})
    assert bool(before) == model.norm_groups
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(stats), strict=True):
        assert not np.array_equal(old, new)
    largest = max(np.abs(slope).max() for slope in jax.tree.leaves(slopes))
    for _, other in again:
        for a, b in zip(jax.tree.leaves(other), jax.tree.leaves(slopes), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * largest)


def _nonzero_scale(path: tuple, leaf: jax.Array) -> jax.Array:
    """Replaces scales that are 0 by 1: no gradient passes the norm at the end of a branch if its
    scale starts with 0."""
    return jnp.ones_like(leaf) if path[-1].key == "scale" and not leaf.any() else leaf
