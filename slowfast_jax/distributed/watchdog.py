"""Reports where each process was when a multi-process run stopped, and ends a stuck run.

A process that waits in a collective for one that hangs waits forever. JAX sees that a process is
gone (its heartbeats), but not that it is stuck, where it was, or why it ended. So a thread in each
process writes its state to a file in a shared folder and reads those of the others.
"""

import contextlib
import faulthandler
import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

SILENT_AFTER = 10.0  # seconds without a sign of life after which a process counts as gone
LAST_WORDS = 10.0  # seconds that process 0 stays for the others to read why it ends
STATE_BYTES = 2048  # files keep their size, so they can be rewritten on a full disk
START = {"place": 0, "moves": 0, "at": "the start", "signs": 0, "stopped": ""}


class Seen(NamedTuple):
    """Last known state of a process.

    lives: when its last sign of life was seen. moves: when it was last seen to make progress. Both
    are times of the observer's clock.
    """

    state: Mapping[str, Any]
    lives: float
    moves: float


class Watchdog:
    """Publishes the state of this process (`at`, `alive`, `stop`) and watches the others.

    Args:
      folder: an existing folder that all processes share; this creates its file there. Call
        `start` only after all processes have done so: older files are those of an earlier run.
      process, processes: rank of this process and number of processes.
      seconds: the run ends after this long without progress; 0: never.
    """

    def __init__(self, folder: Path, process: int, processes: int, seconds: float):
        self._files = [folder / f"{i}.json" for i in range(processes)]
        self._process, self._processes, self._seconds = process, processes, seconds
        self._silent_after = min(SILENT_AFTER, seconds / 2) if seconds else SILENT_AFTER
        self._interval = min(1.0, seconds / 10) if seconds else 1.0
        self._state = dict(START)
        now = time.monotonic()
        self._seen = {i: Seen(START, now, now) for i in range(processes)}
        self._closed, self._ending = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._files[process].write_bytes(self._encoded())

    def start(self) -> None:
        self._thread.start()

    def at(self, what: str) -> None:
        """This process reached a point that all processes reach, in the same order."""
        state = self._state
        self._state = state | {"place": state["place"] + 1, "moves": state["moves"] + 1, "at": what}

    def alive(self) -> None:
        """This process made progress in work that the others do not share."""
        self._state = self._state | {"moves": self._state["moves"] + 1}

    def close(self) -> None:
        """Stops watching, after a run that succeeded: from now on other processes may end."""
        self._closed.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def stop(self, reason: str) -> None:
        """Publishes why this process is about to end, so that the others can report it."""
        with self._ending:  # never released: the thread must not end the process as well
            self._publish_end(f"process {self._process} of {self._processes} stopped: {reason}")

    def end_if_another_did(self) -> None:
        """After a failed collective: ends this process if another one is gone, and names it.

        Returns after some seconds if all others still give signs of life.
        """
        deadline = time.monotonic() + 2 * self._silent_after
        while time.monotonic() < deadline:
            silent = _silent(self._seen, time.monotonic(), self._silent_after)
            if silent:
                self._end(_no_sign(self._seen, silent, self._silent_after))
            time.sleep(self._interval)  # meanwhile the thread may find out why another one ended

    def _run(self) -> None:
        while not self._closed.wait(self._interval):
            if self._seconds:  # in case the file system of these files hangs, and this thread too
                faulthandler.dump_traceback_later(self._seconds, exit=True, file=2)
            self._state = self._state | {"signs": self._state["signs"] + 1}
            with contextlib.suppress(OSError):  # the others see no progress until it works again
                self._write()
            self._look(time.monotonic())
            stopped = [one.state["stopped"] for one in self._seen.values()]
            if any(stopped):
                self._end(next(filter(None, stopped)))
            reason = blame(self._seen, time.monotonic(), self._seconds, self._silent_after)
            if self._seconds and reason:
                self._end(reason)

    def _look(self, now: float) -> None:
        for i, file in enumerate(self._files):
            try:
                state = self._state if i == self._process else json.loads(file.read_bytes())
            except (OSError, ValueError):  # perhaps being written
                continue
            old, lives, moves = self._seen[i]
            moved = (state["place"], state["moves"]) != (old["place"], old["moves"])
            self._seen[i] = Seen(
                state, now if state["signs"] != old["signs"] else lives, now if moved else moves
            )

    def _end(self, reason: str) -> None:
        """Ends this process, whose main thread may wait forever."""
        if not self._ending.acquire(blocking=False):
            threading.Event().wait()  # it is being ended already
        text = (
            f"error: {reason}; so process {self._process} stops as well. All checkpoints that were "
            "completed are intact: run the same command again to resume from the last one\n"
        )
        os.write(2, text.encode())
        self._publish_end(reason)
        os._exit(1)

    def _publish_end(self, reason: str) -> None:
        self._state = self._state | {"stopped": reason[:500]}
        with contextlib.suppress(OSError):
            self._write()
        # JAX ends the other processes, without a reason, as soon as process 0 is gone.
        deadline = time.monotonic() + LAST_WORDS
        while self._process == 0 and time.monotonic() < deadline:
            now = time.monotonic()
            self._look(now)
            gone = {i for i, one in self._seen.items() if one.state["stopped"]}
            if len(gone | set(_silent(self._seen, now, self._silent_after))) == self._processes:
                return
            time.sleep(self._interval / 4)

    def _write(self) -> None:
        with self._files[self._process].open("r+b") as file:
            file.write(self._encoded())

    def _encoded(self) -> bytes:
        return json.dumps(self._state).encode().ljust(STATE_BYTES)


def blame(seen: Mapping[int, Seen], now: float, seconds: float, silent_after: float) -> str:
    """A message that names the processes that hold up the run; "" if the run makes progress.

    Processes at a later point wait for those at the earliest one. These may take as long as they
    need while at least one of them makes progress.
    """
    count = len(seen)
    first = min(one.state["place"] for one in seen.values())
    behind = [i for i, one in seen.items() if one.state["place"] == first]
    if any(now - seen[i].moves <= seconds for i in behind):
        return ""
    silent = [i for i in _silent(seen, now, silent_after) if i in behind]
    if silent:
        return _no_sign(seen, silent, silent_after)
    where = f"for {seconds:g} s (config.train.watchdog_seconds): at {seen[behind[0]].state['at']}"
    if len(behind) == count:
        return f"none of the {count} processes made progress {where}"
    return f"{_names(behind)} of {count} made no progress {where}, where the others wait"


def _silent(seen: Mapping[int, Seen], now: float, silent_after: float) -> list[int]:
    return [i for i, one in seen.items() if now - one.lives > silent_after]


def _no_sign(seen: Mapping[int, Seen], silent: list[int], silent_after: float) -> str:
    return (
        f"{_names(silent)} of {len(seen)} stopped: no sign of life for {silent_after:g} s, last at "
        f"{seen[silent[0]].state['at']}"
    )


def _names(processes: list[int]) -> str:
    return ("processes " if len(processes) > 1 else "process ") + ", ".join(map(str, processes))
