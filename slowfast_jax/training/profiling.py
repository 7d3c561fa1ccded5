"""Profiler trace of a range of steps, for TensorBoard or https://ui.perfetto.dev."""

import re
from collections.abc import Callable
from pathlib import Path

import jax
from absl import logging


def parse_steps(text: str) -> range:
    """ "10:15" -> steps 10 to 14, counted from 0; "" -> none. ValueError for anything else."""
    if not text:
        return range(0)
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise ValueError(
            f"profile_steps is {text!r}, expected FIRST:END, such as 10:15 for steps 10 to 14, "
            "counted from 0"
        )
    return range(int(match[1]), int(match[2]))


class Profile:
    """Traces `steps` into `folder`. Call `before` before each step and `close` at the end."""

    def __init__(self, steps: range, folder: Path):
        self._steps, self._folder, self._running = steps, folder, False

    def before(self, step: int, finish: Callable[[], None]) -> None:
        """finish: waits for running computations, so that the trace contains whole steps."""
        if step in self._steps and not self._running:
            finish()
            jax.profiler.start_trace(str(self._folder))
            self._running = True
        elif step >= self._steps.stop:
            self.close(finish)

    def close(self, finish: Callable[[], None] = lambda: None) -> None:
        if self._running:
            finish()
            jax.profiler.stop_trace()
            self._running = False
            first, last = self._steps[0], self._steps[-1]
            steps = f"step {first}" if first == last else f"steps {first} to {last}"
            logging.info("the profile of %s is in %s", steps, self._folder)
