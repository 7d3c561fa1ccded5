"""One run in many processes: how they start, wait for each other, share work, and end together.

    start(place, seconds=300, watchdog=1800)     # before anything touches a device
    for i in share(len(videos)): ...             # this process's part
    parts = gather(scores)                       # those of all

In a single process each of these is at once through and costs nothing.
"""

import os
import pickle
import sys
import time
import traceback
from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax._src import distributed
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from slowfast_jax.distributed.cluster_env import Place
from slowfast_jax.distributed.rendezvous import meet
from slowfast_jax.distributed.watchdog import Watch

MEETING_SECONDS = 300.0
BARRIER_SECONDS = 3600.0
WATCHDOG_SECONDS = 1800.0  # where there is no config.train
_running: dict[str, Watch] = {}
_barriers: Counter[str] = Counter()


def start(
    place: Place, *, seconds: float = MEETING_SECONDS, watchdog: float = WATCHDOG_SECONDS
) -> None:
    """Makes this process one of `place.processes`. Call it before anything touches a device.

    Args:
      seconds: to wait for the others.
      watchdog: see Watch.

    Raises MeetingError where they do not come.
    """
    logging.info(
        "process %d of %d (%s), which meet at %s", place.process, place.processes, place.cluster,
        place.coordinator,
    )
    connections = meet(place, seconds)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # JAX's own would take SIGTERM for itself, and do nothing on Ctrl-C: see Wishes.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        place.coordinator, place.processes, place.process, initialization_timeout=round(seconds),
        cluster_detection_method="deactivate",
    )
    _running["watch"] = Watch(
        distributed.global_state.client, connections, place.process, place.processes, watchdog
    )
    logging.info(
        "process %d of %d: %d of %d devices (%s)", place.process, place.processes,
        jax.local_device_count(), jax.device_count(), jax.default_backend(),
    )


def finish() -> None:
    """Waits for the others at the end of the program, where all went well."""
    if "watch" in _running:
        _running["watch"].leave()
        barrier("the end")
        _running.pop("watch").close()
        jax.distributed.shutdown()


def fail(error: BaseException, status: int | None = None) -> None:
    """Ends this process, which cannot go on, after telling the others; a single one only returns.

    Without a status the error is shown with its traceback, as nobody will who gets it.
    """
    watch = _running.get("watch")
    if watch is None:
        return
    if status is None:
        traceback.print_exception(error)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    if isinstance(error, jax.errors.JaxRuntimeError):
        # Most often another process is gone, and who it was will be known in a moment.
        time.sleep(watch.dead_after + 5)
    watch.tell(f"{type(error).__name__}: {error}".splitlines()[0])
    os._exit(status)


def count() -> int:
    """How many processes there are. Unlike jax.process_count it touches no device."""
    return distributed.global_state.num_processes


def index() -> int:
    """Which of them this is."""
    return distributed.global_state.process_id


def first() -> bool:
    """Whether this is the process that writes what all have in common."""
    return index() == 0


def at(what: str) -> None:
    """Tells the others that this process came to `what`, where all of them come."""
    if "watch" in _running:
        _running["watch"].at(what)


def alive() -> None:
    """Tells the others that this process goes on with work of its own."""
    if "watch" in _running:
        _running["watch"].alive()


def barrier(what: str, seconds: float = BARRIER_SECONDS) -> None:
    """Until all processes are here. Raises TimeoutError, naming those that did not come."""
    if count() == 1:
        return
    at(what)
    client = distributed.global_state.client
    name = f"slowfast_jax/barrier/{what}/{_barriers[what]}"
    _barriers[what] += 1
    client.key_value_set(f"{name}/{index()}", "")
    try:
        client.wait_at_barrier(name, round(seconds * 1000))
    except jax.errors.JaxRuntimeError as error:
        if "DEADLINE_EXCEEDED" not in str(error):
            raise
        came = {int(key.rpartition("/")[2]) for key, _ in client.key_value_dir_get(f"{name}/")}
        missing = ", ".join(str(i) for i in range(count()) if i not in came)
        raise TimeoutError(
            f"process {missing} of {count()} did not come to {what} within "
            f"{seconds:g} s; see what it printed last"
        ) from error


def share(size: int) -> range:
    """This process's part of range(size): contiguous, each number in exactly one process."""
    return range(size * index() // count(), size * (index() + 1) // count())


def gather(value: Any) -> list[Any]:
    """The values of all processes, in the order of their numbers, in each of them."""
    if count() == 1:
        return [value]
    at("the gathering of results")
    text = np.frombuffer(pickle.dumps(value), np.uint8)
    sizes = multihost_utils.process_allgather(np.array(len(text)))
    padded = np.zeros(sizes.max(), np.uint8)
    padded[: len(text)] = text
    rows = multihost_utils.process_allgather(padded)
    at("what comes after")
    return [
        pickle.loads(row[:size].tobytes())  # written by this program a moment ago
        for row, size in zip(rows, sizes, strict=True)
    ]


def anyone(mine: bool) -> bool:
    """Whether any process says so; waits for all."""
    return any(gather(mine))


class Wishes:
    """Whether any process wishes to stop, told to all of them after the same step.

    The wishes of a step are summed on the devices behind it, and read when the next one is under
    way, so that nobody waits.
    """

    def __init__(self) -> None:
        self._before: jax.Array | None = None
        if count() > 1:
            mesh = Mesh(np.array(jax.devices()), ("device",))
            self._rows = NamedSharding(mesh, PartitionSpec("device"))
            self._any = jax.jit(jnp.any, out_shardings=NamedSharding(mesh, PartitionSpec()))

    def any(self, mine: bool) -> bool:
        """`mine`: whether this process wishes it. The answer is that of the call before; in a
        single process that of this one."""
        if count() == 1:
            return mine
        rows = np.full(jax.local_device_count(), mine)
        wishes = jax.make_array_from_process_local_data(self._rows, rows)
        before, self._before = self._before, self._any(wishes)
        return before is not None and bool(before)


def local_copy(tree: Any) -> Any:
    """Arrays that lie on the devices of all processes as copies on this one's, to compute with
    alone."""
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
