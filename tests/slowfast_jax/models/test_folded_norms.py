"""Batch norms that were folded into the kernels are detected, and restored for training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert.trees import flatten, unflatten
from slowfast_jax.config import load_config
from slowfast_jax.models import zoo
from slowfast_jax.models.fold import fold_batch_norm
from slowfast_jax.models.folded_norms import are_folded, restored
from slowfast_jax.models.norm import EPSILON
from slowfast_jax.training.precise_bn import make_moments_step, precise_batch_stats
from slowfast_jax.weights import initial_variables, read_weights, variable_shapes
from tests.support.paths import REAL, needs_real
from tests.support.tiny_models import TinyNorm

FRESH = ("kinetics/mini", "kinetics/x3d_xs", "kinetics/i3d_nln_8x8_r50")


def trained(model, seed=0):
    """Variables with the statistics and scales of a trained network."""
    random = np.random.default_rng(seed)

    def value(path, leaf):
        name, size = path[-1].key, leaf.shape
        if name in ("var", "scale"):
            return random.uniform(0.5, 2, size).astype(np.float32)
        if name in ("mean", "bias"):
            return random.normal(0, 0.5, size).astype(np.float32)
        return np.asarray(leaf) * 2

    return jax.tree_util.tree_map_with_path(value, initial_variables(model, seed))


def published_folded(model, variables, *, var=1 - EPSILON, scale=1.0):
    """The variables as an export writes them: norms in the kernels, and neutral norms with bias."""
    folded = flatten(fold_batch_norm(model, variables)[1])
    leaves = {}
    for (collection, path), leaf in flatten(variables).items():
        module, _, name = path.rpartition("/")
        if not module.endswith("_bn"):
            leaves[collection, path] = folded[collection, path]
            continue
        convolution = module.removesuffix("_bn")
        leaves[collection, path] = {
            "scale": np.full_like(leaf, scale), "var": np.full_like(leaf, var),
            "mean": np.zeros_like(leaf), "bias": folded.get(("params", f"{convolution}/bias")),
        }[name]
    return unflatten(leaves)


@pytest.fixture(scope="module")
def model():
    return TinyNorm(num_classes=4, dropout=0.0)


CLIPS = np.random.default_rng(5).integers(0, 256, (8, 4, 16, 16, 3), np.uint8)


@pytest.mark.parametrize("var, scale", [(1 - EPSILON, 1), (1, 1), (1, np.sqrt(1 + EPSILON))])
def test_restored_norms_change_nothing_but_normalize(model, var, scale):
    full = trained(model)
    folded = published_folded(model, full, var=var, scale=scale)
    assert are_folded(folded) and not are_folded(full)
    step = jax.jit(make_moments_step(model, folded["batch_stats"]))
    batches = [{"clip": CLIPS[:4]}, {"clip": CLIPS[4:]}]
    moments = precise_batch_stats(step, folded["params"], folded["batch_stats"], batches)
    working = restored(folded, moments)
    assert jax.tree.structure(working) == jax.tree.structure(folded)
    assert not are_folded(working)
    expected = model.apply(full, CLIPS)[0]
    spread = np.asarray(expected).std()
    np.testing.assert_allclose(model.apply(folded, CLIPS)[0], expected, atol=1e-4 * spread)
    np.testing.assert_allclose(model.apply(working, CLIPS)[0], expected, atol=1e-4 * spread)

    def in_training(variables):
        return model.apply(variables, CLIPS, train=True, mutable=["batch_stats"])[0][0]

    # The statistics are those of these clips, so those of the batch change nothing ...
    np.testing.assert_allclose(in_training(working), expected, atol=1e-3 * spread)
    # ... whereas with neutral norms they change everything.
    assert np.abs(in_training(folded) - expected).max() > spread


def test_networks_that_were_not_folded(model):
    for name in FRESH:
        shapes = variable_shapes(zoo.create(name))
        fresh = {  # as initialized, without computing the kernels
            (collection, path): np.full(
                leaf.shape, 1.0 if path.endswith(("scale", "var")) else 0.0, np.float32
            )
            for (collection, path), leaf in flatten(shapes).items()
        }
        assert not are_folded(unflatten(fresh)), name
    assert not are_folded(initial_variables(model, 0))
    assert not are_folded(trained(model))
    assert not are_folded({"params": {"head": {"kernel": jnp.ones((2, 2))}}})  # without norms


def test_a_trained_network_with_one_unused_norm_was_not_folded(model):
    leaves = flatten(trained(model))
    for name, value in (("mean", 0.0), ("var", 1.0), ("scale", 1.0)):
        collection = "params" if name == "scale" else "batch_stats"
        leaves[collection, f"a_bn/{name}"] = np.full(8, value, np.float32)
    assert not are_folded(unflatten(leaves))


@needs_real
@pytest.mark.parametrize("program", ["pyslowfast", "pytorchvideo"])
def test_real_weights_that_were_folded(program):
    config = load_config("kinetics/x3d_xs")
    path = REAL / "weights" / f"X3D_XS_k400_{program}.pyth"
    variables, _ = read_weights(config, variable_shapes(zoo.create("kinetics/x3d_xs")), path)
    assert are_folded(variables)
