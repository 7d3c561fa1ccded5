"""A fence against XLA's fusion on CPU."""

import jax
from jax.experimental.xla_metadata import set_xla_metadata

from slowfast_jax.ops.backend import backend


def materialize(x: jax.Array) -> jax.Array:
    """`x` itself, computed once on CPU however many operations read it.

    XLA:CPU fuses a producer into each of its readers, so that an expensive one is computed again
    for every reader, and it drops `lax.optimization_barrier` before it fuses. A call that must not
    be inlined holds: what goes into it is an array in memory. Elsewhere nothing is done.
    """
    if backend() != "cpu":
        return x
    with set_xla_metadata(inlineable="false"):
        return _identity(x)


@jax.jit
def _identity(x: jax.Array) -> jax.Array:
    return x
