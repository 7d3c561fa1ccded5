"""Batch norm: PyTorch's running statistics, groups of examples, evaluation mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.models.norm import BatchNorm


def batch(n=8, channels=3):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.standard_normal((n, 2, 3, 4, channels)) * 2 + 1, jnp.float32)


def apply(norm, x, train=True):
    variables = norm.init(jax.random.key(0), x, train=False)
    return norm.apply(variables, x, train=train, mutable=["batch_stats"])


def test_running_statistics_are_pytorchs():
    x = batch()
    y, new = apply(BatchNorm(), x)
    flat = np.asarray(x, np.float64).reshape(-1, 3)
    np.testing.assert_allclose(new["batch_stats"]["mean"], 0.1 * flat.mean(0), rtol=1e-5)
    unbiased = flat.var(0, ddof=1)
    np.testing.assert_allclose(new["batch_stats"]["var"], 0.9 + 0.1 * unbiased, rtol=1e-5)
    expected = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
    np.testing.assert_allclose(np.asarray(y).reshape(-1, 3), expected, atol=1e-5)


def test_groups_are_contiguous_examples():
    x = batch()
    y, new = apply(BatchNorm(group_size=4), x)
    first, stats0 = apply(BatchNorm(), x[:4])
    second, stats1 = apply(BatchNorm(), x[4:])
    np.testing.assert_allclose(y, jnp.concatenate([first, second]), atol=1e-5)
    for name in ("mean", "var"):
        both = (stats0["batch_stats"][name] + stats1["batch_stats"][name]) / 2
        np.testing.assert_allclose(new["batch_stats"][name], both, rtol=1e-5)


def test_a_batch_smaller_than_a_group_is_one_group():
    x = batch(4)
    np.testing.assert_array_equal(apply(BatchNorm(group_size=8), x)[0], apply(BatchNorm(), x)[0])


def test_groups_must_divide_the_batch():
    with pytest.raises(ValueError, match="a batch of 6 clips cannot be divided .* groups of 4"):
        apply(BatchNorm(group_size=4), batch(6))


def test_evaluation_uses_the_running_statistics():
    x = batch()
    norm = BatchNorm()
    variables = {
        "params": {"scale": jnp.asarray([1.0, 2, 3]), "bias": jnp.asarray([0.0, 1, 2])},
        "batch_stats": {"mean": jnp.asarray([1.0, 0, -1]), "var": jnp.asarray([4.0, 1, 0.25])},
    }
    y = norm.apply(variables, x, train=False)
    expected = (x - jnp.asarray([1.0, 0, -1])) / jnp.sqrt(jnp.asarray([4.0, 1, 0.25]) + 1e-5)
    np.testing.assert_allclose(y, expected * jnp.asarray([1.0, 2, 3]) + jnp.arange(3), atol=1e-5)


def test_bfloat16_keeps_float32_statistics():
    x = batch().astype(jnp.bfloat16)
    y, new = apply(BatchNorm(), x)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(new)} == {jnp.dtype("float32")}


def test_moments_of_the_whole_batch_on_request():
    x = batch()
    norm = BatchNorm(group_size=2)
    variables = norm.init(jax.random.key(0), x, train=True)
    assert set(variables) == {"params", "batch_stats"}
    _, new = norm.apply(variables, x, train=True, mutable=["batch_stats", "batch_moments"])
    flat = np.asarray(x, np.float64).reshape(-1, 3)
    np.testing.assert_allclose(new["batch_moments"]["mean"], flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(new["batch_moments"]["var"], flat.var(0), rtol=1e-5)
