"""Says that a program is being compiled, before the minute in which nothing else happens."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
from absl import logging


@contextmanager
def announced(
    what: str, say: Callable[[str], None] = logging.info, *, kept: bool = True
) -> Iterator[None]:
    """Says that `what` is compiled in the block, and afterwards how long it took.

    Args:
      what: what is compiled.
      say: shows a sentence; by default, it is logged.
      kept: JAX compiles it, which takes long, and keeps it for the next start if the user wants.
    """
    folder = jax.config.jax_compilation_cache_dir
    duration = " (about a minute)" if kept else ""
    if kept and folder and jax.config.jax_enable_compilation_cache:
        duration = f" (about a minute the first time; kept in {folder} for the next start)"
    say(f"compiling {what}{duration}")
    start = time.perf_counter()
    yield
    say(f"compiled {what} in {time.perf_counter() - start:.1f} s")
