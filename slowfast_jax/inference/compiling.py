"""Says that a program is being compiled, before the minute in which nothing else happens."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import jax
from absl import logging

SAVED = "/jax/compilation_cache/compile_time_saved_sec"  # an event of JAX


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
    start, before = time.perf_counter(), _saved_seconds()[0]
    yield
    seconds = time.perf_counter() - start
    # Small programs beside `what` may be in the cache although it is not; they save little.
    if _saved_seconds()[0] - before > seconds / 2:
        say(f"read {what} from the cache in {seconds:.1f} s")
    else:
        say(f"compiled {what} in {seconds:.1f} s")


@cache
def _saved_seconds() -> list[float]:
    """The one item is how long everything took to compile that JAX read from its cache, less the
    time of reading it."""
    saved = [0.0]

    def add(event: str, seconds: float, **_: object) -> None:
        if event == SAVED:
            saved[0] += seconds

    jax.monitoring.register_event_duration_secs_listener(add)
    return saved
