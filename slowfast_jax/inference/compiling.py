"""Says that a program is being compiled, before the minute in which nothing else happens."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
from absl import logging


@contextmanager
def announced(what: str, say: Callable[[str], None] = logging.info) -> Iterator[None]:
    """Says that `what` is compiled in the block, and afterwards how long it took.

    Args:
      what: what is compiled.
      say: shows a sentence; by default, it is logged.
    """
    folder = jax.config.jax_compilation_cache_dir
    kept = "about a minute"
    if folder and jax.config.jax_enable_compilation_cache:
        kept = f"about a minute the first time; kept in {folder} for the next start"
    say(f"compiling {what} ({kept})")
    start = time.perf_counter()
    yield
    say(f"compiled {what} in {time.perf_counter() - start:.1f} s")
