"""Batch-norm statistics for evaluation, exact over many batches with the weights held.

The running statistics follow weights that keep changing. These are the mean and the population
variance of everything the batch norms saw in some batches, as fvcore's `update_bn_stats` computes
them for PySlowFast's `BN.USE_PRECISE_STATS`; each batch is normalised by its own statistics, as in
training.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

Batch = Mapping[str, jax.Array]
# (params, batch_stats, seen, batch) -> batch_stats
PreciseStep = Callable[[Any, Any, float, Batch], Any]


def make_precise_step(model: nn.Module) -> PreciseStep:
    """`step(params, batch_stats, seen, batch) -> batch_stats`, to be jitted by the caller.

    The batch goes into the statistics of `seen` elements before it; with `seen` 0 it replaces
    them. Batches count by their size.

    The step raises ValueError for a model whose batch norms are frozen or that has none.
    """

    def step(params: Any, batch_stats: Any, seen: float, batch: Batch):
        # Whose masks matter where residual branches are dropped: other ones for each batch.
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
                "precise batch-norm statistics of a model without batch norms that train: set "
                "norm.precise to False, or the model's frozen_norm"
            )
        size = float(batch["clip"].size)
        share = size / (seen + size)

        def merge(old: Mapping, new: Mapping) -> dict[str, jax.Array]:
            apart = jnp.square(new["mean"] - old["mean"])
            mean, var = ((1 - share) * old[k] + share * new[k] for k in ("mean", "var"))
            merged = {"mean": mean, "var": var + share * (1 - share) * apart}
            return {k: v.astype(old[k].dtype) for k, v in merged.items()}

        moments = updated["batch_moments"]
        return jax.tree.map(merge, batch_stats, moments, is_leaf=_is_norm)

    return step


def precise_batch_stats(
    step: PreciseStep, params: Any, batch_stats: Any, batches: Iterable[Batch]
) -> Any:
    """The batch statistics over `batches`; `batch_stats` gives the form. `step`: jitted.

    Raises ValueError where there is no batch.
    """
    seen = 0
    for batch in batches:  # counted here: an array from the device would be compiled for anew
        batch_stats = step(params, batch_stats, float(seen), batch)
        seen += batch["clip"].size
    if not seen:
        raise ValueError("precise batch-norm statistics need at least one batch; got none")
    return batch_stats


def _is_norm(node: Any) -> bool:
    return isinstance(node, Mapping) and set(node) == {"mean", "var"}
