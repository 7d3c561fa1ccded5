"""The backend that a program is traced for: the machine's, unless another one is named."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

# On GPUs each convolution is a single operation. Elsewhere it may be split into other operations
# with fewer multiplications, or with more of them.
PLAIN_BACKEND = "gpu"

_target: ContextVar[str | None] = ContextVar("target", default=None)


def backend() -> str:
    """Name of the backend, "cpu", "gpu" or "tpu", by which operations choose their form."""
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
