"""Loading in processes of their own, for machines whose many processors one Python cannot feed.

The processes are Grain's. They use no accelerator, leave Ctrl-C and SIGTERM to the program that
started them, which may want to save first, and end with it, also where it is killed.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import connection, parent_process
from typing import Any

import grain
from absl import flags

QUEUES = 2  # between the making of an element and its use: in the process, and in this one
GRACE = 60  # seconds that a process lives on after SIGTERM


def in_processes(
    elements: grain.IterDataset, workers: int, ahead: int
) -> Iterator[dict[str, Any]]:
    """`elements` in their order, element n of them loaded by process n % workers.

    Arrays come through shared memory. What makes the elements is pickled, by value where it is
    defined in another function.

    Args:
      ahead: elements of each process that wait to be used, about; see held_by_worker.

    Raises:
      RuntimeError: a process died.
      What making an element raises.
    """
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # Grain asks for its own, which a library's user never parses
    options = grain.MultiprocessingOptions(workers, per_worker_buffer_size=_depth(ahead))
    stream = iter(elements.mp_prefetch(options, _begin))
    try:
        yield from stream
    except RuntimeError as error:
        if "terminated unexpectedly" not in str(error):
            raise
        raise RuntimeError(
            f"a process that loads data died ({error}). Exit code -9 is most often the system's "
            "answer to too little memory: load with fewer (config.train.workers), or smaller "
            "batches; a training run goes on from its last checkpoint"
        ) from error
    finally:
        stream.close()
        del stream
        gc.collect()  # its parts refer to each other and hold the last elements' shared memory


def held_by_worker(ahead: int, threads: int) -> int:
    """The most elements of one process in memory at once, where it loads in so many threads."""
    return QUEUES * (_depth(ahead) + 1) + threads


def _depth(ahead: int) -> int:
    """Elements in each queue."""
    return max(1, -(-ahead // QUEUES))


def _begin(index: int, count: int) -> None:
    """Run in each process before it loads anything."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    if "jax" in sys.modules:  # came with Grain; it opens no device before it is used
        sys.modules["jax"].config.update("jax_platforms", "cpu")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_later(number: int, frame: Any) -> None:
    timer = threading.Timer(GRACE, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _end_with_parent() -> None:
    connection.wait([parent_process().sentinel])
    os._exit(1)
