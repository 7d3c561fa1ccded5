"""A barrier that XLA does not fuse across on CPU."""

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


@jax.jit
def _identity(x: jax.Array) -> jax.Array:
    return x
