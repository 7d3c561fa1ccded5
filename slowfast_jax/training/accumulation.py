"""Gradient accumulation: a batch processed in parts, with the gradients of the whole."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from slowfast_jax.training.sharding import over_batch

Batch = Mapping[str, jax.Array]
# (params, stats, extra, batch, key) -> (gradients, metrics, stats, extra); stats: collections of
# running statistics
Gradients = Callable[
    [Any, Any, Any, Batch, jax.Array], tuple[Any, dict[str, jax.Array], Any, Any]
]


def in_parts(
    gradients: Gradients, parts: int, *, block: int | None = None, mesh: Mesh | None = None
) -> Gradients:
    """A function that averages `gradients` over `parts` parts of the batch, one after the other.

    Apart from dropout and the running means of split batch norms, the result is that of the whole
    batch: batch-norm groups stay together, every part starts from the same running statistics, and
    parts are weighted by what their loss averages over: boxes if the batch has a "box_mask", else
    clips. `extra` is handed from one part to the next.

    Args:
      gradients: computes the gradients of a loss that is a mean.
      block: number of consecutive clips that share batch statistics; None: the whole batch, which
        then cannot be split.
      mesh: over which the batch lies. A part takes every `parts`-th block, so that each device
        holds its share of every part.

    The returned function raises ValueError if the blocks cannot be split into `parts` equal parts.
    """
    if parts == 1:
        return gradients

    def accumulated(params: Any, stats: Any, extra: Any, batch: Batch, key: jax.Array):
        split = {name: _split(rows, parts, block, mesh) for name, rows in batch.items()}

        def one(carry: Any, part: tuple[jax.Array, Batch]) -> tuple[Any, None]:
            totals, extra = carry
            index, rows = part
            slope, metrics, updated, extra = gradients(
                params, stats, extra, rows, jax.random.fold_in(key, index)
            )
            weight = _weight(rows)
            found = _scaled(slope, weight), _scaled(metrics, weight), updated, weight
            return (jax.tree.map(jnp.add, totals, found), extra), None

        first = jax.tree.map(lambda rows: rows[0], split)
        shapes = jax.eval_shape(gradients, params, stats, extra, first, key)[:3]
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        start = ((*zeros, jnp.zeros((), jnp.float32)), extra)
        ((total, metrics, updated, weight), extra), _ = jax.lax.scan(
            one, start, (jnp.arange(parts), split)
        )
        share = 1 / jnp.maximum(weight, 1)
        return _scaled(total, share), _scaled(metrics, share), _scaled(updated, 1 / parts), extra

    return accumulated


def _split(rows: jax.Array, parts: int, block: int | None, mesh: Mesh | None) -> jax.Array:
    """(N, ...) -> (parts, N / parts, ...), blocks being dealt to the parts in turn."""
    count = len(rows)
    block = count if block is None else min(block, count)
    if count % (block * parts):
        raise ValueError(
            f"a batch of {count} clips in batch-norm groups of {block} cannot be split into "
            f"{parts} equal parts (config.train.accumulate); use a divisor of {count // block}"
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
