"""Ctrl-C and SIGTERM become a request that the loop reads between two steps."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from absl import logging

from slowfast_jax.interrupts import answered


class StopSignals:
    """Within the context, the first SIGINT or SIGTERM sets `asked` and is acknowledged at once.

    A second one has its usual effect, and so has Ctrl-C within `end_at_once`.

    Attributes:
      asked: whether the run should stop.
    """

    def __init__(self) -> None:
        self.asked = self._at_once = False
        self._stack = ExitStack()

    def __enter__(self) -> "StopSignals":
        self._stack.enter_context(answered((signal.SIGINT, signal.SIGTERM), self._ask))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def end_at_once(self, really: bool) -> Iterator[None]:
        """Wraps work in which nothing is lost if the run ends; does nothing if not `really`."""
        self._at_once = really
        try:
            yield
        finally:
            self._at_once = False

    def _ask(self, number: int) -> bool:
        if self.asked or (self._at_once and number == signal.SIGINT):
            return False
        self.asked = True
        logging.warning(
            "stopping as soon as this step is finished and saved; press Ctrl-C again to stop now"
        )
        return True
