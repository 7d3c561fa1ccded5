"""Ctrl-C and SIGTERM become a request that the loop reads between two steps."""

import signal
from contextlib import ExitStack

from absl import logging

from slowfast_jax.interrupts import answered


class StopSignals:
    """Within the context, the first SIGINT or SIGTERM sets `asked` and is acknowledged at once.

    A second one has its usual effect, and so has Ctrl-C while `at_once`.

    Attributes:
      asked: whether the run should stop.
      at_once: nothing would be lost if the run ended now. Set by the loop.
    """

    def __init__(self) -> None:
        self.asked = self.at_once = False
        self._stack = ExitStack()

    def __enter__(self) -> "StopSignals":
        self._stack.enter_context(answered((signal.SIGINT, signal.SIGTERM), self._ask))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _ask(self, number: int) -> bool:
        if self.asked or (self.at_once and number == signal.SIGINT):
            return False
        self.asked = True
        logging.warning(
            "stopping: the step is finished and saved; press Ctrl-C again to stop now"
        )
        return True
