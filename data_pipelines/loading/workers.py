"""Worker processes that load data, for machines with more processors than one Python process uses.

The processes are Grain's. They use no accelerator. They ignore Ctrl-C and delay SIGTERM, so that
the main program can save first, and they end with the main program even if it is killed.
"""

import gc
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from functools import partial
from multiprocessing import connection, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grain
from absl import flags

from data_pipelines.loading.watching import DEATH, watched

QUEUES = 2  # between worker and consumer: one in the worker, one in this process
GRACE = 60  # seconds from SIGTERM to the end of a worker


def in_processes(
    elements: grain.IterDataset, workers: int, ahead: int
) -> Iterator[dict[str, Any]]:
    """Yields `elements` in order; worker n % workers loads element n.

    Arrays arrive through shared memory. The functions that load are pickled, nested ones by value.

    Args:
      ahead: about how many loaded elements of each worker may wait; see held_by_worker.

    Raises:
      RuntimeError: a worker died.
      Any exception of loading an element.
    """
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # Grain reads absl flags, which a library user never parses
    options = grain.MultiprocessingOptions(workers, per_worker_buffer_size=_depth(ahead))
    with TemporaryDirectory(prefix="slowfast_jax_workers_") as folder:
        stream = iter(elements.mp_prefetch(options, partial(_begin, folder)))
        try:
            yield from watched(stream, Path(folder), workers)
        except RuntimeError as error:
            if DEATH not in str(error):
                raise
            raise RuntimeError(
                f"a process that loads data died ({error}). Exit code -9 usually means that the "
                "system ran out of memory: use fewer workers (config.train.workers) or smaller "
                "batches; training resumes from its last checkpoint"
            ) from error
        finally:
            del stream
            gc.collect()  # reference cycles hold the shared memory of the last elements


def held_by_worker(ahead: int, threads: int) -> int:
    """The largest number of elements of one worker with `threads` threads in memory at once."""
    return QUEUES * (_depth(ahead) + 1) + threads


def _depth(ahead: int) -> int:
    """Size of each queue, for about `ahead` waiting elements of a worker."""
    return max(1, -(-ahead // QUEUES))


def _begin(folder: str, index: int, count: int) -> None:
    """Initializes a worker before it loads anything; leaves a file with its process id as name."""
    Path(folder, str(os.getpid())).touch()
    os.environ["JAX_PLATFORMS"] = "cpu"
    if "jax" in sys.modules:  # imported by Grain; it opens no device until used
        sys.modules["jax"].config.update("jax_platforms", "cpu")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()


def _end_later(number: int, frame: Any) -> None:
    timer = threading.Timer(GRACE, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _end_with_parent(folder: str) -> None:
    connection.wait([parent_process().sentinel])
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
