"""One side of a comparison in its own process, driven from the process that measures.

In one process, two libraries would share malloc and the device, and would affect each other.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection

Handlers = Mapping[str, Callable[..., object]]


class SideProcess:
    """A new process that calls functions on request; a context manager that ends the process.

    Args:
      name: of the side, for error messages.
      make_handlers: runs first in the new process, with `arguments`; returns the functions that can
        be called, by name. It and its arguments must be picklable.
      environment: variables to set for the process; an empty value removes the variable.
    """

    def __init__(
        self, name: str, make_handlers: Callable[..., Handlers], *arguments: object,
        environment: Mapping[str, str] | None = None,
    ):
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, make_handlers, arguments), daemon=True
        )
        with _environment(environment or {}):
            self._process.start()
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._process.terminate()
        self._process.join()

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self, function: str, *arguments: object) -> object:
        """Calls one of the handlers in the process and returns its result.

        Raises:
          RuntimeError: the process has ended, for example by an exception in the handler.
        """
        try:
            self._pipe.send((function, arguments))
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            raise RuntimeError(
                f"the process of {self.name} ended; see its output above for the reason"
            ) from None


def _serve(pipe: Connection, make_handlers: Callable[..., Handlers], arguments: tuple) -> None:
    """Runs in the process: answers calls until the other end of the pipe is closed."""
    handlers = make_handlers(*arguments)
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(handlers[function](*arguments))


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables within the context, or removes those whose value is empty."""
    before = {name: os.environ.pop(name, None) for name in variables}
    os.environ.update({name: value for name, value in variables.items() if value})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
