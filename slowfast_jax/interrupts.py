"""Ctrl-C and SIGTERM are answered at once, even while the main thread compiles a network.

    with interrupts.command(lambda: "; no results were written"):
        ...                                        # Ctrl-C prints this and raises KeyboardInterrupt

Python runs a signal's handler between two instructions of the main thread, which one call of the
compiler can delay by minutes. So a thread waits for signals too: Python's handler in C writes them
to a socket as they arrive.
"""

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

STATUS = 130  # exit status of a command that Ctrl-C ended, by the convention of shells
DEAF = 3.0  # seconds that the main thread gets to notice the signal
CLEARING = 30.0  # seconds that it then gets to end
AGAIN = 0.1  # seconds until an exception that was dropped is raised again

_own_process = False  # this process is a command, which may end it
_raising = threading.Event()  # the next signal that the main thread notices interrupts it
_noticed = threading.Event()  # the main thread was interrupted
_dropped = threading.Event()  # and Python dropped the exception


class Answer(NamedTuple):
    """What happens when one of the signals `numbers` arrives.

    give(number) runs in a thread of its own; it returns whether the signal was meant for it.
    """

    numbers: Sequence[int]
    give: Callable[[int], bool]


_answers: list[Answer] = []  # the last one that wants a signal gets it
_listener: "list[_Listener]" = []


def end_at_once() -> None:
    """Makes Ctrl-C end the process with one line, for the time in which a command is imported."""
    global _own_process
    _own_process = True
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)


def leave() -> int:
    """Ends a command that was interrupted; within another program, returns the exit status.

    Call it while the KeyboardInterrupt is handled, after everything is cleaned up. The process ends
    without destroying what the interrupted work holds: the compiler's threads may still use it.
    """
    if _own_process:
        for child in multiprocessing.active_children():
            child.kill()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(STATUS)
    return STATUS


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted\n")
    os._exit(STATUS)


@contextmanager
def answered(numbers: Sequence[int], give: Callable[[int], bool]) -> Iterator[None]:
    """Within the block, `give(number)` is called in a thread as soon as a signal arrives.

    If it returns False, the enclosing `answered` or `command` is asked instead. A signal that all
    of them refuse has its usual effect: Ctrl-C raises KeyboardInterrupt, and others end the
    process. Python handles signals in the main thread only; in other threads this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    answer = Answer(numbers, give)
    if not _answers:
        _listener.append(_Listener())
    _answers.append(answer)
    before = {number: signal.signal(number, _notice) for number in numbers}
    try:
        yield
    finally:
        _answers.remove(answer)
        for number, handler in before.items():
            signal.signal(number, handler)
        if not _answers:
            _listener.pop().close()


@contextmanager
def command(
    outcome: Callable[[], str], last_act: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Within the block, Ctrl-C prints one line at once and raises KeyboardInterrupt.

    If the main thread does not notice the exception (it is compiling) or needs long to end, the
    process ends with status 130. A second Ctrl-C ends it immediately. The exception is raised again
    if Python drops it, as it does in a destructor or a callback of the garbage collector.

    Args:
      outcome: what follows "interrupted" in that line, such as "; no results were written".
      last_act: called before the process is ended from outside the main thread.
    """
    interrupted, left = False, threading.Event()
    hook = sys.unraisablehook

    def dropped(unraisable: Any) -> None:
        if interrupted and unraisable.exc_type is KeyboardInterrupt:
            _dropped.set()
        else:
            hook(unraisable)

    def end() -> None:
        _show_cursor()
        last_act()
        os._exit(STATUS)

    def give(number: int) -> bool:
        nonlocal interrupted
        if interrupted:
            end()
        interrupted = True
        print(f"interrupted{outcome()}", file=sys.stderr, flush=True)
        _interrupt_main_thread()
        threading.Thread(target=wait_and_end, daemon=True).start()
        return True

    def wait_and_end() -> None:
        if _noticed.wait(DEAF):
            for _ in range(round(CLEARING / AGAIN)):
                if left.wait(AGAIN):
                    return
                if _dropped.is_set():
                    _dropped.clear()
                    _interrupt_main_thread()
        if not left.is_set():
            end()

    _noticed.clear()
    _dropped.clear()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in background jobs of a script
        yield
        return
    try:
        sys.unraisablehook = dropped
        with answered((signal.SIGINT,), give):
            yield
    finally:
        left.set()
        sys.unraisablehook = hook


def _notice(number: int, frame: FrameType | None) -> None:
    if _raising.is_set():
        _raising.clear()
        _noticed.set()
        raise KeyboardInterrupt


def _interrupt_main_thread() -> None:
    _raising.set()
    _listener[-1].ignored += 1
    # A signal, not _thread.interrupt_main, because it also ends a wait for a lock.
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def _show_cursor() -> None:
    """Shows the cursor, which a progress bar hides."""
    from rich.console import Console  # not above: commands import this module first

    Console(stderr=True).show_cursor()


class _Listener:
    """A thread that asks the answers about each signal."""

    def __init__(self) -> None:
        self.ignored = 0  # signals that this program sent to itself
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._thread.start()

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        self._writer.close()
        self._thread.join()
        self._reader.close()

    def _listen(self) -> None:
        while number := self._reader.recv(1):
            if self.ignored:
                self.ignored -= 1
            elif not any(number[0] in a.numbers and a.give(number[0]) for a in _answers[::-1]):
                if number[0] != signal.SIGINT:
                    os._exit(128 + number[0])
                _interrupt_main_thread()
