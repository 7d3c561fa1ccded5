"""Reversible residual blocks, whose inputs are recomputed from their outputs for the gradient.

Reversible Vision Transformers, section 3.1 (Mangalam et al., CVPR 2022): a block with two streams
computes `y1 = x1 + f(x2)` and `y2 = x2 + g(y1)`, so that `x2 = y2 - g(y1)` and `x1 = y1 - f(x2)`.
Nothing but the last outputs is stored, whatever the number of blocks.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from slowfast_jax.ops.fusion_barrier import as_unit


class ReversibleFunctions(NamedTuple):
    """The branches of a block, functions of (parameters, stream)."""

    f: Callable[[Any, jax.Array], jax.Array]
    g: Callable[[Any, jax.Array], jax.Array]


def run_reversible(
    blocks: Sequence[ReversibleFunctions],
    params: Sequence[Any],
    factors: Sequence[jax.Array | None],
    x1: jax.Array,
    x2: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The streams after the blocks; for the gradient, their inputs are recomputed.

    Args:
      blocks: the branches of each block. They are called again in the backward pass and must then
        return the same, so they cannot draw random numbers.
      params: parameters of each block.
      factors: for each block, what both of its branches are multiplied by, the masks of stochastic
        depth; None: 1.
      x1, x2: the streams.
    """

    @jax.custom_vjp
    def run(params, factors, x1, x2):
        return forward(blocks, params, factors, x1, x2)

    def run_forward(params, factors, x1, x2):
        y = forward(blocks, params, factors, x1, x2)
        return y, (params, factors, y)

    def run_backward(saved, slopes):
        params, factors, streams = saved
        gradients = []
        for block, p, factor in reversed(list(zip(blocks, params, factors, strict=True))):
            streams, slopes, gradient = as_unit(
                partial(backward, block), p, factor, streams, slopes
            )
            gradients.append(gradient)
        return tuple(reversed(gradients)), jax.tree.map(jnp.zeros_like, factors), *slopes

    run.defvjp(run_forward, run_backward)
    return run(tuple(params), tuple(factors), x1, x2)


def backward(
    block: ReversibleFunctions,
    params: Any,
    factor: jax.Array | None,
    outputs: tuple[jax.Array, jax.Array],
    slopes: tuple[jax.Array, jax.Array],
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array], Any]:
    """The inputs of a block, their gradients, and those of its parameters.

    Args:
      block, params, factor: as one of each in `run_reversible`.
      outputs: the streams after the block.
      slopes: their gradients.
    """
    (y1, y2), (dy1, dy2) = outputs, slopes
    z, pullback = jax.vjp(lambda p, y: scaled(block.g(p, y), factor), params, y1)
    of_g, slope = pullback(dy2)
    x2, dy1 = y2 - z, dy1 + slope
    z, pullback = jax.vjp(lambda p, x: scaled(block.f(p, x), factor), params, x2)
    of_f, slope = pullback(dy1)
    return (y1 - z, x2), (dy1, dy2 + slope), jax.tree.map(jnp.add, of_f, of_g)


def forward(
    blocks: Sequence[ReversibleFunctions],
    params: Sequence[Any],
    factors: Sequence[jax.Array | None],
    x1: jax.Array,
    x2: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The streams after the blocks, with JAX's own gradient; arguments as in `run_reversible`."""
    for block, p, factor in zip(blocks, params, factors, strict=True):
        x1 = x1 + scaled(block.f(p, x2), factor)
        x2 = x2 + scaled(block.g(p, x1), factor)
    return x1, x2


def scaled(x: jax.Array, factor: jax.Array | None) -> jax.Array:
    return x if factor is None else x * factor
