"""The processes of a run find each other, or learn who is missing.

JAX's own start ends a process that waits in vain with a stack trace that names nobody; so they meet
here first. Process 0 listens at the coordinator's address, which JAX takes over afterwards; each of
the others says who it is and waits for the word to go on. The connections stay: a process that is
killed closes them.
"""

import contextlib
import json
import socket
import time

from slowfast_jax.distributed.cluster_env import Place

RETRY = 0.2  # seconds between attempts to reach process 0
PATIENCE = 5.0  # seconds for a line of text that a connected process has ready
LONGEST_LINE = 4096


class MeetingError(OSError):
    """The processes did not come together."""


def meet(place: Place, seconds: float) -> dict[int, socket.socket]:
    """Returns when all processes are there: in process 0 the connections to the others, by their
    numbers, in the others that to process 0.

    Raises MeetingError, in those that are there, after `seconds`, with the numbers of the missing
    ones; and at once where one was started twice or with another number of processes.
    """
    if place.process == 0:
        return _welcome(place, seconds)
    return {0: _come(place, seconds)}


def _welcome(place: Place, seconds: float) -> dict[int, socket.socket]:
    port = int(place.coordinator.rpartition(":")[2])
    try:
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        server = socket.create_server(
            ("", port), family=family, backlog=place.processes,
            dualstack_ipv6=family == socket.AF_INET6,
        )
    except OSError as error:
        raise MeetingError(
            f"process 0 cannot listen at {place.coordinator}: {error.strerror}. It must be an "
            "address of this machine and a port that no other program uses; give another one"
        ) from error
    deadline = time.monotonic() + seconds
    came: dict[int, socket.socket] = {}
    problem = ""
    with server:
        while len(came) < place.processes - 1 and not problem:
            left = deadline - time.monotonic()
            if left <= 0:
                missing = [i for i in range(1, place.processes) if i not in came]
                problem = _missing(missing, place, seconds)
                break
            server.settimeout(left)
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            hello = _hello(connection)
            if hello is None:  # of another program
                connection.close()
                continue
            process, processes = hello
            if processes != place.processes:
                problem = (
                    f"process {process} was started as one of {processes}, and process 0 as one "
                    f"of {place.processes}: start all with the same number of processes"
                )
                _say(connection, problem)
            elif process in came or process == 0:
                problem = (
                    f"two processes were started as process {process} of {place.processes}: give "
                    "each a number of its own"
                )
                _say(connection, problem)
            else:
                came[process] = connection
        for connection in came.values():
            _say(connection, problem)
    if problem:
        raise MeetingError(problem)
    return came


def _come(place: Place, seconds: float) -> socket.socket:
    host, _, port = place.coordinator.rpartition(":")
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection = socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE)
            break
        except OSError as error:
            if time.monotonic() + RETRY > deadline:
                raise MeetingError(
                    f"process 0 of {place.processes} did not answer at {place.coordinator} within "
                    f"{seconds:g} s ({error}): is it started, and can this machine reach that "
                    "address and port?"
                ) from error
            time.sleep(RETRY)
    hello = {"slowfast_jax": [place.process, place.processes]}
    try:
        connection.sendall(json.dumps(hello).encode() + b"\n")
        # Process 0 has begun to wait later than this one, at the worst just now.
        answer = _line(connection, seconds + PATIENCE)
    except OSError as error:
        raise MeetingError(
            f"process 0 of {place.processes} at {place.coordinator} was there and is gone "
            f"({error}); its own output tells why"
        ) from error
    if answer is None:
        raise MeetingError(
            f"process 0 of {place.processes} at {place.coordinator} ended while the processes met; "
            "its own output tells why"
        )
    if answer:
        raise MeetingError(answer)
    return connection


def _missing(missing: list[int], place: Place, seconds: float) -> str:
    named = ", ".join(map(str, missing[:16])) + (", ..." if len(missing) > 16 else "")
    return (
        f"process{'es' if len(missing) > 1 else ''} {named} of {place.processes} did not come to "
        f"{place.coordinator} within {seconds:g} s: see what they printed, and that they can reach "
        "that address and port"
    )


def _hello(connection: socket.socket) -> tuple[int, int] | None:
    try:
        process, processes = json.loads(_line(connection, PATIENCE) or "")["slowfast_jax"]
        return int(process), int(processes)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _say(connection: socket.socket, text: str) -> None:
    with contextlib.suppress(OSError):  # it is gone, and will be missed later
        connection.sendall(text.encode() + b"\n")


def _line(connection: socket.socket, seconds: float) -> str | None:
    """A line of text without its end, None where the other side closed before it."""
    connection.settimeout(seconds)
    text = b""
    while not text.endswith(b"\n") and len(text) < LONGEST_LINE:
        more = connection.recv(LONGEST_LINE)
        if not more:
            return None
        text += more
    return text.decode(errors="replace").strip()
