"""Progress of work shared by several processes, and of training."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from absl import logging
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from data_pipelines import progress
from slowfast_jax import distributed

Item = TypeVar("Item")


def track(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yields `items`, telling the watchdog at each one that this process is alive.

    The first process also shows the progress of its own part on stderr, as
    `data_pipelines.progress.track` does.

    Args:
      items: the items of this process.
      total: the number of items expected.
      what: name of the work, shown before the count.
    """
    items = _alive(items)
    return _below_log(progress.track(items, total, what)) if distributed.first() else items


def _below_log(items: Iterable[Item]) -> Iterator[Item]:
    """Lets log lines appear above the bar that `items` show on a terminal."""
    before = None
    try:
        for item in items:
            if before is None and sys.stderr.isatty():
                before = _log_to(sys.stderr)  # now a stream that prints above the bar
            yield item
    finally:
        if before is not None:
            _log_to(before)


def _alive(items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        distributed.alive()
        yield item


class StepLine:
    """A line at the bottom of a terminal: step, epoch, loss, speed and remaining time.

    Log lines appear above it. Elsewhere than on a terminal, and in processes other than the first,
    it shows nothing.

    Attributes:
      active: whether it shows anything.
    """

    def __init__(self, total: int):
        self._console = Console(stderr=True, soft_wrap=True)
        self.active = progress.can_redraw(self._console) and distributed.first()
        self._total, self._shown = total, None

    def show(self, step: int, epoch: float, loss: float, speed: float, remaining: str) -> None:
        """Shows a completed step. speed: in clips per second."""
        if not self.active:
            return
        text = f"epoch {epoch:.2f}  loss {loss:.4g}  {speed:.3g} clips/s  {remaining} to go"
        if self._shown is None:
            columns = (
                TextColumn("step"), MofNCompleteColumn(), BarColumn(),
                TextColumn("{task.description}"),
            )
            self._shown = Progress(
                *columns, console=self._console, transient=True,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._task = self._shown.add_task(text, total=self._total, completed=step)
            self._shown.start()
            self._stream = _log_to(sys.stderr)  # now a stream that prints above the line
        self._shown.update(self._task, completed=step, description=text)

    def close(self) -> None:
        """Removes the line; `show` starts it again."""
        if self._shown is not None:
            self._shown.stop()
            _log_to(self._stream)
            self._shown = None

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Within the block, the terminal is free for other work's progress."""
        self.close()
        yield


def _log_to(stream):
    """Makes the log write to a stream; returns the one before."""
    handler = logging.get_absl_handler().python_handler
    before, handler.stream = handler.stream, stream
    return before
