"""The backend that a program is traced for: the machine's, unless another one is named."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax

# On GPUs each convolution is a single operation. Elsewhere it may be split into other operations
# with fewer multiplications, or with more of them.
PLAIN_BACKEND = "gpu"
# For graphs that other programs run: each layer is a single operation, pools, layer norms, softmax
# and ROIAlign included, because those programs have fast forms of their own.
GRAPH_BACKEND = "graph"

_target: ContextVar[str | None] = ContextVar("target", default=None)


def backend() -> str:
    """Backend by which operations choose their form: "cpu", "gpu", "tpu" or `GRAPH_BACKEND`."""
    return _target.get() or jax.default_backend()


@contextmanager
def written_for(name: str) -> Iterator[None]:
    """Context in which functions are traced for backend `name`, whatever the machine has.

    JAX does not know about it: a jitted function that was traced before is not traced again.
    """
    token = _target.set(name)
    try:
        yield
    finally:
        _target.reset(token)


def as_one_operation(
    name: str, function: Callable[..., jax.Array], *arrays: jax.Array, **attributes: Any
) -> jax.Array:
    """`function(*arrays, **attributes)`, which is the single operation `name` in a graph.

    In a jaxpr for `GRAPH_BACKEND` it is the primitive "composite" with that name. On other backends
    it is a plain call.
    """
    if backend() != GRAPH_BACKEND:
        return function(*arrays, **attributes)
    return jax.lax.composite(function, name)(*arrays, **attributes)
