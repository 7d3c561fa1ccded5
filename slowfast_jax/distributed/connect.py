"""Connects this process to the others of the run through `jax.distributed`."""

import ctypes
import difflib
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import jax
from absl import logging

from slowfast_jax.distributed.cluster_env import TPU_VM, ClusterError, Place

HEARTBEAT_SECONDS = 25  # JAX ends the run this long after the last heartbeat of a process
SLACK_SECONDS = 60  # added to JAX's own timeouts, which end the process with a stack trace


_handlers: list[Any] = []  # kept, because C calls them
PLATFORMS = {"cpu": "jax", "cuda": "jax[cuda13]", "gpu": "jax[cuda13]", "tpu": "jax[tpu]"}


class DeviceError(OSError):
    """The accelerator that was asked for is not there."""


def connect(place: Place, seconds: float, folder: Path | None = None) -> None:
    """Makes this process one of the run; ends it with status 2 if the others do not come.

    Args:
      seconds: how long to wait for the other processes.
      folder: shared by all processes. They note there that they have started, so that the message
        about missing ones can name them.

    Raises:
      ClusterError: JAX cannot determine the rank of this process, the port is taken, or the
        processes were started with different values of --num_processes.
      DeviceError: see `require_devices`.
    """
    if place.process == 0:
        _check_port(place)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # JAX's preemption service would take over SIGTERM and ignore Ctrl-C.
    jax.config.update("jax_enable_preemption_service", False)
    # JAX ends a process that waits in vain with a stack trace, so this timer must fire first.
    if folder is not None and place.process is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _note_of(folder, place.process).write_text(place.coordinator, encoding="utf-8")
    late = threading.Timer(seconds, _give_up, (place, seconds, folder))
    late.daemon = True
    late.start()
    try:
        jax.distributed.initialize(
            place.coordinator, place.processes, place.process,
            # A process takes all devices that it sees. By itself, JAX would take one in SLURM.
            local_device_ids=None if os.environ.get("JAX_LOCAL_DEVICE_IDS") else [],
            initialization_timeout=round(seconds) + SLACK_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        if place.cluster != TPU_VM:
            raise ClusterError(
                f"the processes started by {place.cluster} cannot be connected: {error}. Pass "
                "--coordinator, --num_processes and --process_id"
            ) from error
        logging.warning("no other workers of this TPU were found (%s): running alone", error)
    finally:
        late.cancel()
    require_devices()
    if os.name == "posix":
        _explain_abort()
    if place.processes not in (None, jax.process_count()):
        raise ClusterError(
            f"process {place.process} was started as one of {place.processes}, but the run has "
            f"{jax.process_count()} processes: start all of them with the same number"
        )


def _explain_abort() -> None:
    """Adds a line of our own to the paragraph with which JAX aborts when process 0 is gone.

    JAX calls abort() in a thread of its own, so the handler is one of C.
    """
    process, processes = jax.process_index(), jax.process_count()
    text = (
        f"error: JAX ended process {process} of {processes} for the reason above; if it names the "
        "leader, process 0 is gone. All checkpoints that were completed are intact: run the same "
        "command again to resume from the last one\n"
    ).encode()

    def end(number: int) -> None:
        os.write(2, text)
        os._exit(1)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(end)
    _handlers.append(handler)
    ctypes.CDLL(None).signal(ctypes.c_int(signal.SIGABRT), handler)


def require_devices() -> None:
    """Initializes JAX's backend. Raises DeviceError if JAX_PLATFORMS asks for a missing one."""
    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:  # JAX asserts that some platform is left
        asked = os.environ.get("JAX_PLATFORMS", "")
        reason = next(iter(str(error).splitlines()), "no such device was found")
        reason = reason.partition(" (set JAX_PLATFORMS")[0]
        raise DeviceError(f"{_asked_for(asked)}: {reason}. {_advice(asked)}") from error


def _asked_for(platforms: str) -> str:
    if platforms:
        return f"JAX_PLATFORMS={platforms} asks for a device that JAX cannot use"
    return "JAX cannot use any device"


def _advice(platforms: str) -> str:
    first = platforms.split(",")[0]
    package = PLATFORMS.get(first)
    if package is None and first:
        close = difflib.get_close_matches(first, PLATFORMS, 1)
        meant = f"Did you mean {close[0]}? " if close else ""
        return f"{meant}JAX knows {', '.join(PLATFORMS)}; unset the variable to use what is there"
    return (
        f"Check the driver and that JAX is installed for it (pip install '{package or 'jax'}'), or "
        "set JAX_PLATFORMS=cpu"
    )


def _check_port(place: Place) -> None:
    """ClusterError if the coordinator's port is taken, which crashes JAX 0.10 (SIGSEGV)."""
    port = int(place.coordinator.rpartition(":")[2])
    ipv6 = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    try:
        socket.create_server(("", port), family=family, dualstack_ipv6=ipv6).close()
    except OSError as error:
        raise ClusterError(
            f"process 0 cannot listen at {place.coordinator}: {os.strerror(error.errno)}. Choose a "
            "port that no other program uses"
        ) from error


def _give_up(place: Place, seconds: float, folder: Path | None) -> None:
    who, where = "this process", "the coordinator"
    advice = "check that all were started, each with its own rank, and that they can reach"
    if place.processes:
        who = f"process {place.process} of {place.processes}"
        where = f"the coordinator (process 0) at {place.coordinator}"
    if place.processes and folder is not None:
        missing = _not_started(place, seconds, folder)
        advice = "all were started: check that they can reach"
        if missing:
            names = ", ".join(map(str, missing))
            many = "processes" if len(missing) > 1 else "process"
            advice = (
                f"{many} {names} did not start (or with another --coordinator or --workdir); "
                "all must be started, and reach"
            )
    text = (
        f"error: {who} waited {seconds:g} s (--meeting_seconds) for the other processes to "
        f"connect: {advice} {where}\n"
    )
    os.write(2, text.encode())
    os._exit(2)


def _note_of(folder: Path, process: int) -> Path:
    return folder / f"started_{process}"


def _not_started(place: Place, seconds: float, folder: Path) -> list[int]:
    """The ranks that left no note in time; notes of earlier runs are older than our own."""
    now = _note_of(folder, place.process).stat().st_mtime
    missing = []
    for process in range(place.processes):
        note = _note_of(folder, process)
        try:
            here = note.stat().st_mtime > now - seconds and note.read_text() == place.coordinator
        except OSError:
            here = False
        if not here:
            missing.append(process)
    return missing
