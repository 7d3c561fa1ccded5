"""Says that a program is being compiled, before the minute in which nothing else happens."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax
from absl import logging


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Logs that `what` is compiled in the block, and afterwards how long it took."""
    folder = jax.config.jax_compilation_cache_dir
    kept = "about a minute"
    if folder and jax.config.jax_enable_compilation_cache:
        kept = f"about a minute the first time; kept in {folder} for the next start"
    logging.info("compiling %s (%s)", what, kept)
    start = time.perf_counter()
    yield
    logging.info("compiled %s in %.1f s", what, time.perf_counter() - start)
