"""Batch norm: PyTorch's running statistics, groups of examples, evaluation mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.models.norm import BatchNorm
from slowfast_jax.ops.norm_statistics import aggregate, disaggregate, zero_split_means


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


def pytorch_split_statistics(batches, splits):
    """Running mean and variance of a PyTorch norm with its batch in contiguous splits.

    Each split has a norm of its own. As in PySlowFast, the mean for evaluation is the mean of
    theirs, and the variance the mean of their variances plus the variance of their means.
    """
    torch = pytest.importorskip("torch")
    norms = [torch.nn.BatchNorm3d(batches[0].shape[-1]).double() for _ in range(splits)]
    for x in batches:
        parts = np.moveaxis(np.asarray(x, np.float64), -1, 1).reshape(splits, -1, 3, 2, 3, 4)
        for norm, part in zip(norms, parts, strict=True):
            norm(torch.from_numpy(part))
    means, variances = (
        np.stack([getattr(norm, f"running_{name}").numpy() for norm in norms])
        for name in ("mean", "var")
    )
    return means.mean(0), variances.mean(0), means.var(0)


def running_statistics(norm, batches, rows=4):
    """Aggregated statistics after training on the batches; `rows`: of the collection of means."""
    variables = norm.init(jax.random.key(0), batches[0], train=False)
    stats = {"batch_stats": variables["batch_stats"]}
    stats["split_means"] = zero_split_means(stats["batch_stats"], rows)
    for x in batches:
        _, stats = norm.apply(
            variables | stats, x, train=True, mutable=["batch_stats", "split_means"]
        )
    return aggregate(stats["batch_stats"], stats["split_means"])


def unlike_batches():
    """Three batches of eight clips whose means differ from clip to clip."""
    rng = np.random.default_rng(1)
    shift = rng.normal(0, 3, (3, 8, 1, 1, 1, 3))
    return list((rng.normal(0, 1, (3, 8, 2, 3, 4, 3)) + shift).astype(np.float32))


@pytest.mark.parametrize("splits", [2, 4])
def test_statistics_of_splits_are_aggregated_as_in_the_original(splits):
    """Fewer splits than the collection has rows for, as in the later phases of multigrid."""
    batches = unlike_batches()
    mean, within, between = pytorch_split_statistics(batches, splits)
    found = running_statistics(BatchNorm(group_size=8 // splits, splits=splits), batches)
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(found["var"], within + between, rtol=1e-5)
    assert (between > 5e-4 * within).all()  # far above the tolerance


def test_statistics_of_gpus_leave_out_the_variance_of_their_means():
    """What a checkpoint has is the variance of one GPU; ours is the average over all of them."""
    batches = unlike_batches()
    mean, within, _ = pytorch_split_statistics(batches, 4)
    found = running_statistics(BatchNorm(group_size=2), batches)
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(found["var"], within, rtol=1e-5)


def test_two_gpus_with_two_splits_each():
    """The variance of the means is that of the first GPU, whose norms the original saves."""
    batches = unlike_batches()
    mean, within, _ = pytorch_split_statistics(batches, 4)
    *_, between = pytorch_split_statistics([x[:4] for x in batches], 2)
    found = running_statistics(BatchNorm(group_size=2, splits=2), batches)
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(found["var"], within + between, rtol=1e-5)


def test_disaggregate_undoes_aggregate():
    stats = {"a_bn": {"mean": jnp.ones(2), "var": jnp.array([1.0, 2.0])}}
    means = {"a_bn": {"mean": jnp.array([[0.5, 1.0], [-0.5, -1.0]])}}
    both = aggregate(stats, means)
    np.testing.assert_allclose(both["a_bn"]["var"], [1.5, 4.0])
    jax.tree.map(np.testing.assert_allclose, disaggregate(both, means), stats)
