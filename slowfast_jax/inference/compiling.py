"""Says that a program is being compiled, before the minute in which nothing else happens."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import jax
from absl import logging

# Events of JAX. Compiling includes reading from the cache.
COMPILED = "/jax/core/compile/backend_compile_duration"
READ = "/jax/compilation_cache/cache_retrieval_time_sec"


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
        # Only JAX can tell whether the cache has the program, and tells it afterwards.
        duration = f" (about a minute, or seconds if {folder} has it from an earlier start)"
    say(f"compiling {what}{duration}")
    start, before = time.perf_counter(), Counter(_seconds())
    yield
    seconds = time.perf_counter() - start
    read = _seconds()[READ] - before[READ]
    compiled = _seconds()[COMPILED] - before[COMPILED] - read
    # There are small programs beside `what`, each of which may be in the cache or not.
    if read > compiled:
        say(f"read {what} from the cache in {seconds:.1f} s")
    else:
        say(f"compiled {what} in {seconds:.1f} s")


@cache
def _seconds() -> Counter[str]:
    """The sums of the events so far."""
    sums: Counter[str] = Counter()

    def add(event: str, seconds: float, **_: object) -> None:
        if event in (COMPILED, READ):
            sums[event] += seconds

    jax.monitoring.register_event_duration_secs_listener(add)
    return sums
