"""Which backend a program is written for: the one it runs on, unless it is compiled for another."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

_target: ContextVar[str | None] = ContextVar("target", default=None)


def backend() -> str:
    """"cpu", "gpu" or "tpu", for operations that have a form for each."""
    return _target.get() or jax.default_backend()


@contextmanager
def written_for(name: str) -> Iterator[None]:
    """What is traced within is written for this backend. JAX knows nothing of it, so a function
    that was traced before keeps its form."""
    token = _target.set(name)
    try:
        yield
    finally:
        _target.reset(token)
