"""Running statistics of split batch norms, see `models.norm.BatchNorm`."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

SPLIT_MEANS = "split_means"  # collection of the running means of splits


def zero_split_means(batch_stats: Mapping, splits: int) -> dict[str, Any]:
    """The collection "split_means" of a network, for at most `splits` splits, with equal means."""
    return jax.tree.map(
        lambda norm: {"mean": jnp.zeros((splits, *norm["mean"].shape), norm["mean"].dtype)},
        batch_stats, is_leaf=is_norm_statistics,
    )


def aggregate(batch_stats: Mapping, split_means: Mapping) -> dict[str, Any]:
    """`batch_stats` with the variance between splits added to the running variances."""
    return _add_variance(batch_stats, split_means, 1)


def disaggregate(batch_stats: Mapping, split_means: Mapping) -> dict[str, Any]:
    """Inverse of `aggregate`."""
    return _add_variance(batch_stats, split_means, -1)


def _add_variance(batch_stats: Mapping, split_means: Mapping, sign: int) -> dict[str, Any]:
    def of_norm(norm: Mapping, apart: Mapping) -> dict[str, jax.Array]:
        between = jnp.square(apart["mean"]).sum(0)
        return {"mean": norm["mean"], "var": norm["var"] + sign * between}

    return jax.tree.map(of_norm, batch_stats, split_means, is_leaf=is_norm_statistics)


def is_norm_statistics(node: Any) -> bool:
    """Whether a node of the collection "batch_stats" holds the statistics of one norm."""
    return isinstance(node, Mapping) and set(node) == {"mean", "var"}
