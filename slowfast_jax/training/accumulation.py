"""Gradient accumulation: a batch is processed in parts, with the result of the whole batch."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from slowfast_jax.training.sharding import over_batch

Batch = Mapping[str, jax.Array]
# (params, batch_stats, batch, key) -> (gradients, batch_stats, metrics)
Gradients = Callable[[Any, Any, Batch, jax.Array], tuple[Any, Any, dict[str, jax.Array]]]


def in_parts(
    gradients: Gradients, parts: int, *, block: int | None = None, mesh: Mesh | None = None
) -> Gradients:
    """A function like `gradients` that processes a batch in `parts` parts and averages them.

    The result is that of the whole batch, except for dropout masks: batch-norm groups are kept
    together, every part starts from the same running statistics, and parts are weighted by the
    number of elements their loss averages: boxes if the batch has a "box_mask", else clips.

    Args:
      gradients: of a loss that is a mean.
      block: clips that share batch statistics; None: the whole batch.
      mesh: over which the batch is sharded. A part takes every `parts`-th block, so that each
        device processes a share of it.

    The returned function raises ValueError if the blocks cannot be split into equal parts.
    """
    if parts == 1:
        return gradients

    def accumulated(params: Any, batch_stats: Any, batch: Batch, key: jax.Array):
        split = {name: _split(rows, parts, block, mesh) for name, rows in batch.items()}

        def one(totals: Any, part: tuple[jax.Array, Batch]) -> tuple[Any, None]:
            index, rows = part
            slope, stats, metrics = gradients(
                params, batch_stats, rows, jax.random.fold_in(key, index)
            )
            weight = _weight(rows)
            found = _scaled(slope, weight), stats, _scaled(metrics, weight), weight
            return jax.tree.map(jnp.add, totals, found), None

        first = jax.tree.map(lambda rows: rows[0], split)
        shapes = jax.eval_shape(gradients, params, batch_stats, first, key)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        start = (*zeros, jnp.zeros((), jnp.float32))
        (total, stats, metrics, weight), _ = jax.lax.scan(one, start, (jnp.arange(parts), split))
        share = 1 / jnp.maximum(weight, 1)
        return _scaled(total, share), _scaled(stats, 1 / parts), _scaled(metrics, share)

    return accumulated


def _split(rows: jax.Array, parts: int, block: int | None, mesh: Mesh | None) -> jax.Array:
    """(N, ...) -> (parts, N / parts, ...): blocks go to the parts in turn."""
    count = len(rows)
    block = count if block is None else min(block, count)
    if count % (block * parts):
        raise ValueError(
            f"a batch of {count} clips in batch-norm groups of {block} cannot be split into "
            f"{parts} equal parts (config.train.accumulate); choose a divisor of {count // block}"
        )
    dealt = rows.reshape(count // (block * parts), parts, block, *rows.shape[1:])
    dealt = dealt.swapaxes(0, 1).reshape(parts, count // parts, *rows.shape[1:])
    if mesh is None:
        return dealt
    spec = over_batch(mesh, dealt.shape[1:]).spec
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, *spec))
    return jax.lax.with_sharding_constraint(dealt, sharding)


def _weight(batch: Batch) -> jax.Array:
    mask = batch.get("box_mask")
    return jnp.float32(len(batch["clip"])) if mask is None else mask.sum().astype(jnp.float32)


def _scaled(tree: Any, factor: jax.Array | float) -> Any:
    return jax.tree.map(lambda leaf: (leaf * factor).astype(leaf.dtype), tree)
