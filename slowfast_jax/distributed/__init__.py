"""One run in many processes: how they connect, wait for each other, share work and end together.

    start(find_place(), folder=Path(workdir) / "processes")   # before anything touches a device
    for i in share(len(videos)): ...                           # this process's part
    parts = gather(scores)                                     # those of all processes

In a single process each of these returns at once.
"""

import os
import pickle
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from slowfast_jax.distributed.cluster_env import Place
from slowfast_jax.distributed.connect import connect
from slowfast_jax.distributed.watchdog import Watchdog

LONGEST_REASON = 400  # characters of an error that the other processes repeat
MEETING_SECONDS = 300.0
WATCHDOG_SECONDS = 1800.0  # unless config.train says otherwise
_running: dict[str, tuple[Watchdog, Path]] = {}


def start(
    place: Place, *, seconds: float = MEETING_SECONDS, watchdog: float = WATCHDOG_SECONDS,
    folder: str | Path | None = None,
) -> None:
    """Makes this process one of a run. Call it before anything touches a device.

    Args:
      seconds: how long to wait for the other processes; then the program ends with status 2.
      watchdog: the run ends after this many seconds without progress; 0: never.
      folder: shared by all processes, for the watchdog's files. Without it there is no watchdog:
        only JAX's heartbeats notice a dead process, and nothing notices a stuck one.

    Raises:
      ClusterError, DeviceError: see `connect`.
    """
    coordinator = place.coordinator or "to be detected by JAX"
    logging.info("connecting to the other processes (%s), coordinator %s", place.cluster,
                 coordinator)
    connect(place, seconds, None if folder is None else Path(folder))
    if count() > 1 and folder is not None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        watch = Watchdog(folder, index(), count(), watchdog)
        multihost_utils.sync_global_devices("watchdog")
        watch.start()
        _running["watch"] = watch, folder
    logging.info(
        "process %d of %d: %d of %d devices (%s)", index(), count(), jax.local_device_count(),
        jax.device_count(), jax.default_backend(),
    )


def finish() -> None:
    """Waits for the other processes at the end of a program that succeeded."""
    barrier("the end")
    watch, folder = _running.pop("watch", (None, None))
    if watch is not None:
        watch.close()
    last = first()
    jax.distributed.shutdown()  # all processes wait here, so nobody uses the folder any more
    if folder is not None and last:
        shutil.rmtree(folder, ignore_errors=True)


def fail(error: BaseException, status: int | None = None) -> None:
    """Ends this process after an error; the other processes end too, and report the reason.

    In a single-process run it does nothing.

    Args:
      status: exit status if the error was printed already; None prints its traceback.
    """
    if not jax.distributed.is_initialized():
        return
    if status is None:
        traceback.print_exception(error)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    watch, _ = _running.get("watch", (None, None))
    if watch is not None:
        # A failed collective mostly means that another process is gone.
        if isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error):
            watch.end_if_another_did()
        reason = "Ctrl-C" if isinstance(error, KeyboardInterrupt) else type(error).__name__
        text = ": ".join(filter(None, (reason, str(error))))
        watch.stop(" ".join(text.split())[:LONGEST_REASON])
    os._exit(status)


def count() -> int:
    """Number of processes. In a single process it touches no device, unlike jax.process_count."""
    return jax.process_count() if jax.distributed.is_initialized() else 1


def index() -> int:
    """Rank of this process, starting at 0."""
    return jax.process_index() if jax.distributed.is_initialized() else 0


def first() -> bool:
    """Whether this process has rank 0, which writes the results of all."""
    return index() == 0


def at(what: str) -> None:
    """Reports to the watchdog that this process reached `what`, a point that all reach in order."""
    if "watch" in _running:
        _running["watch"][0].at(what)


def alive() -> None:
    """Reports to the watchdog that this process makes progress in work of its own."""
    if "watch" in _running:
        _running["watch"][0].alive()


def barrier(what: str) -> None:
    """Waits until all processes are here; the watchdog names those that do not come."""
    if count() == 1:
        return
    at(what)
    multihost_utils.sync_global_devices(what)


def share(size: int) -> range:
    """This process's contiguous part of range(size); each number belongs to one process."""
    return range(size * index() // count(), size * (index() + 1) // count())


def gather(value: Any) -> list[Any]:
    """The values of all processes, ordered by rank, in each process. They may differ in size."""
    if count() == 1:
        return [value]
    at("the gathering of results")
    text = np.frombuffer(pickle.dumps(value), np.uint8)
    sizes = multihost_utils.process_allgather(np.array(len(text)))
    padded = np.zeros(sizes.max(), np.uint8)
    padded[: len(text)] = text
    rows = multihost_utils.process_allgather(padded)
    at("the work after the gathering")
    return [
        pickle.loads(row[:size].tobytes())  # safe: this program wrote it a moment ago
        for row, size in zip(rows, sizes, strict=True)
    ]


def anyone(mine: bool) -> bool:
    """Whether `mine` is true in any process; waits for all of them."""
    return any(gather(mine))


class StopVote:
    """Whether any process asked to stop, agreed on by all after the same step.

    The votes are combined on the devices after each step and read one step later, so that no step
    waits for them.
    """

    def __init__(self) -> None:
        self._before: jax.Array | None = None
        if count() > 1:
            mesh = Mesh(np.array(jax.devices()), ("device",))
            self._rows = NamedSharding(mesh, PartitionSpec("device"))
            self._any = jax.jit(jnp.any, out_shardings=NamedSharding(mesh, PartitionSpec()))

    def any(self, mine: bool) -> bool:
        """Casts this process's vote; returns the result of the previous call's votes.

        A single process gets the result of this call. mine: whether this process asks to stop.
        """
        if count() == 1:
            return mine
        rows = np.full(jax.local_device_count(), mine)
        votes = jax.make_array_from_process_local_data(self._rows, rows)
        before, self._before = self._before, self._any(votes)
        return before is not None and bool(before)


def local_copy(tree: Any) -> Any:
    """Copies arrays that are spread over all processes to this process's devices.

    With the copies, the process can compute without the others.
    """
    if count() == 1:
        return tree
    everywhere = NamedSharding(Mesh(np.array(jax.devices()), ("device",)), PartitionSpec())
    here = NamedSharding(Mesh(np.array(jax.local_devices()), ("device",)), PartitionSpec())
    whole = jax.jit(lambda x: x, out_shardings=everywhere)(tree)
    return jax.tree.map(
        lambda array: jax.make_array_from_single_device_arrays(
            array.shape, here, [shard.data for shard in array.addressable_shards]
        ),
        whole,
    )
