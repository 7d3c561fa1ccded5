"""Batch-norm statistics for evaluation, exact over many batches with fixed weights.

Running statistics lag behind changing weights. Precise statistics are the mean and the population
variance of the inputs of the batch norms over several batches, as computed by fvcore's
`update_bn_stats` for PySlowFast's `BN.USE_PRECISE_STATS`; each batch is normalized by its own
statistics, as in training.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from slowfast_jax.ops.norm_statistics import is_norm_statistics

Batch = Mapping[str, jax.Array]
# (params, batch_stats, seen, batch) -> batch_stats
PreciseStep = Callable[[Any, Any, float, Batch], Any]


def make_precise_step(model: nn.Module) -> PreciseStep:
    """`step(params, batch_stats, seen, batch) -> batch_stats`, to be jitted by the caller.

    The step merges a batch into statistics of `seen` input elements, weighted by size; with `seen`
    0 it replaces them. It raises ValueError for a model without trainable batch norms.
    """

    def step(params: Any, batch_stats: Any, seen: float, batch: Batch):
        # Dropped residual branches change the statistics, so each batch draws its own masks.
        number = jnp.int32(jnp.round(seen / batch["clip"].size))
        _, updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            batch["clip"],
            batch.get("boxes"),
            train=True,
            rngs={"dropout": jax.random.fold_in(jax.random.key(0), number)},
            mutable=["batch_stats", "batch_moments"],
        )
        if "batch_moments" not in updated:
            raise ValueError(
                "the model has no trainable batch norms, so it has no precise statistics: set "
                "norm.precise to False, or unset the model's frozen_norm"
            )
        return merge_moments(batch_stats, updated["batch_moments"], seen, batch)

    return step


def make_moments_step(model: nn.Module, batch_stats: Any) -> PreciseStep:
    """`step(params, moments, seen, batch) -> moments`, to be jitted by the caller.

    The step merges the mean and variance of the input of each batch norm, in evaluation mode with
    the running statistics `batch_stats`, into those of `seen` input elements.
    """

    def step(params: Any, moments: Any, seen: float, batch: Batch) -> Any:
        _, updated = model.apply(
            {"params": params, "batch_stats": batch_stats}, batch["clip"], batch.get("boxes"),
            mutable=["input_moments"],
        )
        return merge_moments(moments, updated["input_moments"], seen, batch)

    return step


def merge_moments(before: Any, new: Any, seen: float, batch: Batch) -> Any:
    """Merges the means and variances of a batch into those of `seen` input elements."""
    size = float(batch["clip"].size)
    share = size / (seen + size)

    def merge(old: Mapping, new: Mapping) -> dict[str, jax.Array]:
        apart = jnp.square(new["mean"] - old["mean"])
        mean, var = ((1 - share) * old[k] + share * new[k] for k in ("mean", "var"))
        merged = {"mean": mean, "var": var + share * (1 - share) * apart}
        return {k: v.astype(old[k].dtype) for k, v in merged.items()}

    return jax.tree.map(merge, before, new, is_leaf=is_norm_statistics)


def precise_batch_stats(
    step: PreciseStep, params: Any, batch_stats: Any, batches: Iterable[Batch]
) -> Any:
    """Batch statistics over `batches`. step: jitted; batch_stats: for the tree structure.

    Raises ValueError if there is no batch.
    """
    seen = 0
    for batch in batches:  # counted in Python: counting on the device would recompile
        batch_stats = step(params, batch_stats, float(seen), batch)
        seen += batch["clip"].size
    if not seen:
        raise ValueError("precise batch-norm statistics need at least one batch; got none")
    return batch_stats
