"""Processes that meet, threads here, and those that do not come."""

import socket
import threading
import time

import pytest

from slowfast_jax.distributed.cluster_env import Place
from slowfast_jax.distributed.rendezvous import MeetingError, meet
from tests.support.subprocesses import free_port


def meet_all(places, seconds=20.0, delays=None):
    """What `meet` gave or raised in each, in threads of this process."""
    outcomes: list = [None] * len(places)

    def come(number, place):
        time.sleep((delays or {}).get(number, 0))
        try:
            outcomes[number] = meet(place, seconds)
        except MeetingError as error:
            outcomes[number] = error

    threads = [threading.Thread(target=come, args=item) for item in enumerate(places)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert None not in outcomes
    return outcomes


def places(numbers, processes, address=None):
    address = address or f"127.0.0.1:{free_port()}"
    return [Place("flags", address, number, processes) for number in numbers]


def close(outcomes):
    for connections in outcomes:
        for connection in connections.values():
            connection.close()


@pytest.mark.parametrize("late", [0, 2])
def test_they_wait_for_each_other(late):
    start = time.monotonic()
    outcomes = meet_all(places(range(4), 4), delays={late: 0.7})
    assert time.monotonic() - start >= 0.7
    assert [sorted(connections) for connections in outcomes] == [[1, 2, 3], [0], [0], [0]]
    close(outcomes)


def test_the_port_is_free_afterwards_and_connections_last():
    found = places(range(2), 2)
    first, second = meet_all(found)
    # As JAX's server takes it.
    with socket.create_server(("", int(found[0].coordinator.split(":")[1]))):
        first[1].sendall(b"x")
        assert second[0].recv(1) == b"x"
        first[1].close()
        assert second[0].recv(1) == b""
    close([second])


def test_those_who_came_learn_who_did_not():
    for outcome in meet_all(places([0, 2], 4), seconds=0.5):
        message = r"processes 1, 3 of 4 did not come to 127.0.0.1:\d+ within 0.5 s"
        with pytest.raises(MeetingError, match=message):
            raise outcome


def test_process_0_does_not_come():
    (outcome,) = meet_all(places([1], 2), seconds=0.5)
    with pytest.raises(MeetingError, match=r"process 0 of 2 did not answer at 127.* within 0.5 s"):
        raise outcome


def test_two_with_one_number():
    for outcome in meet_all(places([0, 1, 1], 3)):
        with pytest.raises(MeetingError, match="two processes were started as process 1 of 3"):
            raise outcome


def test_other_numbers_of_processes():
    address = f"127.0.0.1:{free_port()}"
    for outcome in meet_all(places([0], 2, address) + places([1], 3, address)):
        with pytest.raises(MeetingError, match="process 1 was started as one of 3, and process 0"):
            raise outcome


def test_a_port_that_is_taken():
    with socket.create_server(("", 0)) as server:
        place = Place("flags", f"127.0.0.1:{server.getsockname()[1]}", 0, 2)
        with pytest.raises(MeetingError, match="process 0 cannot listen at 127.*: Address already"):
            meet(place, 5)


def test_another_program_at_the_port_disturbs_nobody():
    found = places(range(2), 2)
    host, port = found[0].coordinator.split(":")
    outcomes: list = []
    server = threading.Thread(target=lambda: outcomes.append(meet(found[0], 20)))
    server.start()
    for text in (b"GET / HTTP/1.1\r\n\r\n", b'{"slowfast_jax": 7}\n', b""):
        while True:
            try:
                stranger = socket.create_connection((host, int(port)), timeout=5)
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        with stranger:
            stranger.sendall(text)
    outcomes.append(meet(found[1], 20))
    server.join(30)
    assert len(outcomes) == 2
    close(outcomes)
