"""Barriers that XLA does not fuse or reorder operations across."""

from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.xla_metadata import set_xla_metadata

from slowfast_jax.ops.backend import backend


def materialize(x: jax.Array) -> jax.Array:
    """Returns `x`, which on CPU is then computed once, however many operations read it.

    XLA:CPU fuses an operation into each of its readers, so an expensive one is computed again for
    every reader; and it removes `lax.optimization_barrier` before it fuses. A call that must not be
    inlined stays, and its argument is an array in memory. On other backends this does nothing.
    """
    if backend() != "cpu":
        return x
    with set_xla_metadata(inlineable="false"):
        return _identity(x)


def as_unit(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)`, computed as a unit: its operations do not mix with others.

    So its temporary values are freed before another unit that needs its results begins. XLA may
    otherwise put off what nothing waits for, such as the gradients of parameters, and keep
    everything in memory that these need.
    """
    if backend() != "cpu":
        return jax.lax.optimization_barrier(function(*jax.lax.optimization_barrier(arguments)))
    with set_xla_metadata(inlineable="false"):
        return jax.jit(function)(*arguments)


@jax.jit
def _identity(x: jax.Array) -> jax.Array:
    return x
