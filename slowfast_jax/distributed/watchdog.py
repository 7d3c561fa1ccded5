"""Each process tells the others how far it is, and ends where one of them went no further.

A process that waits in a collective for one that is gone waits for ever. A thread in each process
writes its state to JAX's key-value store, which process 0 keeps, and reads those of the others;
another one waits for the end of the connections between process 0 and the others.
"""

import contextlib
import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

FOLDER = "slowfast_jax/"
DEAD_AFTER = 30.0  # seconds without a sign of life; the thread that gives it waits for nothing
LAST_WORDS = 10.0  # seconds that process 0 stays for the others to read why it ends


class Seen(NamedTuple):
    """What another process last told. since: when its signs changed (lives) or it went on (moves),
    by the clock of the one who looks."""

    state: Mapping[str, Any]
    lives: float
    moves: float


class Watch:
    """`at` and `alive` say where this process is; `failed` that it ends.

    Args:
      client: of jax.distributed: key_value_set, key_value_dir_get.
      connections: of `meet`.
      seconds: how long no process may go on before all end; 0: for ever, and nobody is looked for.
    """

    def __init__(
        self, client: Any, connections: Mapping[int, socket.socket], process: int, processes: int,
        seconds: float,
    ):
        self._connections = connections
        self._client, self._process, self._processes = client, process, processes
        self._seconds = seconds
        self.dead_after = min(DEAD_AFTER, seconds)
        self._interval = min(1.0, seconds / 10) if seconds else 1.0
        self._state = {"place": 0, "moves": 0, "at": "the start"}
        self._signs, self._answered = 0, time.monotonic()
        self._seen: dict[int, Seen] = {}
        self._stop, self._leaving = threading.Event(), False
        self._ending = threading.Lock()
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._run, self._listen)
        ]
        for thread in self._threads:
            thread.start()

    def at(self, what: str) -> None:
        """This process came to a place where all of them come, in the same order."""
        state = self._state
        self._state = {"place": state["place"] + 1, "moves": state["moves"] + 1, "at": what}

    def alive(self) -> None:
        """It went on, in work of its own."""
        self._state = self._state | {"moves": self._state["moves"] + 1}

    def leave(self) -> None:
        """All went well, and from here on connections may close."""
        self._leaving = True

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for connection in self._connections.values():
            connection.close()

    def tell(self, reason: str) -> None:
        """Lets the others know that this process ends, and why."""
        with self._ending:  # for good: from here on the thread does not end this process
            self._set("over", f"process {self._process} of {self._processes} stopped: {reason}")
            self._stay_until_read()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._signs += 1
                self._set("state", json.dumps(self._state | {"signs": self._signs}))
                self._end_with_others()
                states = {i: json.loads(text) for i, text in self._get("state").items()}
                self._answered = time.monotonic()
            except Exception as error:
                if self._stop.is_set():
                    return
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                self._end_without_store(f"it does not answer ({reason})")
                return
            if self._seconds:
                self._look(states, time.monotonic())

    def _end_with_others(self) -> None:
        over = self._get("over")
        if over and self._process not in over:
            self._end(over[min(over)])

    def _listen(self) -> None:
        """Waits for a connection to end, which is what the system does for who was killed."""
        with selectors.DefaultSelector() as selector:
            for i, connection in self._connections.items():
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_READ, i)
            while not self._stop.is_set() and not self._leaving:
                for key, _ in selector.select(self._interval):
                    if self._leaving:
                        return
                    how = "it was killed, or its connection broke"
                    if self._process > 0:
                        return self._end_without_store(how)
                    with contextlib.suppress(Exception):  # perhaps it told why
                        self._end_with_others()
                    self._end(f"process {key.data} of {self._processes} stopped: {how}")
                waited = time.monotonic() - self._answered
                if self._process > 0 and self.dead_after and waited > self.dead_after:
                    self._end_without_store(f"it did not answer for {self.dead_after:g} s")

    def _look(self, states: Mapping[int, Mapping[str, Any]], now: float) -> None:
        for i in range(self._processes):
            state = states.get(i, {"place": -1, "moves": -1, "signs": -1, "at": "nowhere yet"})
            seen = self._seen.get(i)
            if seen is None:
                self._seen[i] = Seen(state, now, now)
                continue
            changed = state["signs"] != seen.state["signs"]
            moved = (state["place"], state["moves"]) != (seen.state["place"], seen.state["moves"])
            self._seen[i] = Seen(
                state, now if changed else seen.lives, now if moved else seen.moves
            )
        reason = blame(self._seen, now, self._seconds, self.dead_after)
        if reason:
            self._end(reason)

    def _end_without_store(self, how: str) -> None:
        """Where process 0 is gone. JAX ends this process, too, with a stack trace, if it is first.
        """
        self._end(f"process 0 of {self._processes} stopped: {how}", tell=False)

    def _end(self, reason: str, *, tell: bool = True) -> None:
        """Ends this process, whose main thread may wait for ever."""
        if not self._ending.acquire(blocking=False):
            return
        text = (
            f"error: {reason}; so process {self._process} stops as well. The checkpoints that were "
            "written are good: the same command goes on from the last one\n"
        )
        os.write(2, text.encode())
        if tell:
            with contextlib.suppress(Exception):  # where nobody is left to read it
                self._set("over", reason)
                self._stay_until_read()
        os._exit(1)

    def _stay_until_read(self) -> None:
        """The store ends with process 0, and JAX in the others with the store."""
        deadline = time.monotonic() + LAST_WORDS
        while self._process == 0 and time.monotonic() < deadline:
            gone = set(self._get("over")) | self._closed()
            gone |= set(_dead(self._seen, time.monotonic(), self.dead_after))
            if len(gone) >= self._processes:
                return
            time.sleep(0.1)

    def _closed(self) -> set[int]:
        closed = set()
        for i, connection in self._connections.items():
            with contextlib.suppress(BlockingIOError):
                with contextlib.suppress(ConnectionError):
                    if connection.recv(1):
                        continue
                closed.add(i)
        return closed

    def _set(self, kind: str, value: str) -> None:
        key = f"{FOLDER}{kind}/{self._process}"
        self._client.key_value_set(key, value, allow_overwrite=True)

    def _get(self, kind: str) -> dict[int, str]:
        rows = self._client.key_value_dir_get(f"{FOLDER}{kind}/")
        return {int(key.rpartition("/")[2]): value for key, value in rows}


def blame(seen: Mapping[int, Seen], now: float, seconds: float, dead_after: float) -> str:
    """Who is to blame that the run does not go on, "" where it does.

    Those at a later place wait for those at the first one, who may take their time as long as one
    of them moves.
    """
    count = len(seen)
    dead = _dead(seen, now, dead_after)
    if dead:
        return (
            f"{_names(dead)} of {count} stopped: no sign of life for {dead_after:g} s, last at "
            f"{seen[dead[0]].state['at']}"
        )
    first = min(one.state["place"] for one in seen.values())
    behind = [i for i, one in seen.items() if one.state["place"] == first]
    if any(now - seen[i].moves <= seconds for i in behind):
        return ""
    where = f"for {seconds:g} s (config.train.watchdog_seconds): at {seen[behind[0]].state['at']}"
    if len(behind) == count:
        return f"none of the {count} processes went on {where}"
    return f"{_names(behind)} of {count} did not go on {where}, where the others wait"


def _dead(seen: Mapping[int, Seen], now: float, dead_after: float) -> list[int]:
    return [i for i, one in seen.items() if dead_after and now - one.lives > dead_after]


def _names(processes: list[int]) -> str:
    return ("processes " if len(processes) > 1 else "process ") + ", ".join(map(str, processes))
