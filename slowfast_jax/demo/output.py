"""What the demo prints, and its records and tables."""

import csv
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TextIO

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from data_pipelines.progress import SECONDS_BETWEEN_LINES, can_redraw
from slowfast_jax.demo.choice import Choice
from slowfast_jax.demo.sources.frames import Info
from slowfast_jax.demo.stages.actions import STRIDE, PersonScores
from slowfast_jax.demo.stages.persons import PeopleAt
from slowfast_jax.demo.timing import Timing
from slowfast_jax.inference.prediction_output import Record, show_window
from slowfast_jax.inference.timeline import WindowScores

WINDOWS = ("video", "start", "end", "action", "score")
PERSONS = ("video", "time", "x1", "y1", "x2", "y2", "action", "person", "score")


class CsvFile:
    """A table that is complete after each row. That of people has the columns of
    data_pipelines/sources/box_tables.py.

    The first call of `write` creates the file, or replaces an earlier one: a camera that cannot be
    opened must not cost the table of the day before.
    """

    def __init__(self, path: str, columns: Sequence[str]):
        self._path, self._columns = path, columns
        self._file: TextIO | None = None

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Appends rows; OSError names the file, which the system does not."""
        try:
            if self._file is None:
                self._file = open(self._path, "w", encoding="utf-8", newline="")
                rows = [self._columns, *rows]
            csv.writer(self._file, lineterminator="\n").writerows(rows)
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from error

    def close(self) -> None:
        """Closes the file."""
        with suppress(OSError):  # `write` has told of it
            if self._file:
                self._file.close()


class Sink:
    """Takes what is found in one source: prints it, and adds it to its record and to the table.

    Attributes:
      record: {"video", "windows": [{"start", "end", "predictions"}, ...]}, or, for networks that
        take boxes, {"video", "keyframes": [{"time", "persons": [{"person", "box", "predictions"},
        ...]}, ...]}. With a detector, other networks have both, the persons without predictions.
    """

    def __init__(
        self, name: str, choice: Choice, takes_boxes: bool, table: CsvFile | None,
        console: Console,
    ):
        self._name, self._choice, self._table, self._console = name, choice, table, console
        self._takes_boxes = takes_boxes
        self._labels = 0  # that were shown
        self._seen: dict[int, list[float]] = {}  # person -> first and last second
        self._done: dict[int, Counter[str]] = {}  # person -> how often an action was seen
        self.record: Record = {"video": name}
        if not takes_boxes:
            self.record["windows"] = []

    def add(self, event: WindowScores | PersonScores | PeopleAt) -> None:
        """Takes the scores of a window or of people, or boxes of people."""
        if isinstance(event, WindowScores):
            self._add_window(event)
        elif isinstance(event, PersonScores):
            self._add_persons(event.moment, event.scores)
        elif not self._takes_boxes:
            keyframes = self.record.get("keyframes")
            if not keyframes or event.time >= keyframes[-1]["time"] + STRIDE - 1e-6:
                self._add_persons(event, None)

    def _add_window(self, event: WindowScores) -> None:
        window: Record = {"start": round(event.start, 3), "end": round(event.end, 3)}
        window["predictions"] = self._predictions(event.scores)
        self.record["windows"].append(window)
        if window["predictions"]:
            show_window(window, self._console)
        if self._table:
            self._table.write([
                (self._name, window["start"], window["end"], found["label"],
                 f"{found['score']:.4f}") for found in window["predictions"]
            ])

    def _add_persons(self, moment: PeopleAt, scores: np.ndarray | None) -> None:
        persons, rows = [], []
        for index, (box, number) in enumerate(zip(moment.boxes, moment.ids, strict=True)):
            corners = [round(float(edge), 4) for edge in box]
            person: Record = {"person": int(number), "box": corners}
            labels = []
            if scores is not None:
                labels = person["predictions"] = self._predictions(scores[index])
            persons.append(person)
            place = (self._name, f"{moment.time:.3f}", *corners)
            rows += [
                (*place, found["label"], int(number) or "", f"{found['score']:.4f}")
                for found in labels
            ] or [(*place, "", int(number) or "", "")]
            span = self._seen.setdefault(int(number), [moment.time, moment.time])
            span[1] = moment.time
            self._done.setdefault(int(number), Counter()).update(
                found["label"] for found in labels
            )
        keyframes = self.record.setdefault("keyframes", [])
        keyframes.append({"time": round(moment.time, 3), "persons": persons})
        if self._table and scores is not None:
            self._table.write(rows)

    def _predictions(self, scores: np.ndarray) -> list[Record]:
        """The labels that are shown; the list may be empty."""
        names, shown = self._choice.names, self._choice.of(scores)
        self._labels += len(shown)
        return [
            {"label": names[index], "index": index, "score": score} for index, score in shown
        ]

    def show_end(self) -> None:
        """Prints a table of the people, when they were seen and what they did most often; and, if
        no label was shown at all, why. The table in the file exists from then on, if it has no rows
        either."""
        if self._table:
            self._table.write([])
        if "keyframes" in self.record:
            self._show_persons()
        if not self._labels and (self._seen or not self._takes_boxes):
            self._console.print(
                "no label reaches its threshold (see --threshold, --rare-threshold and --classes)",
                highlight=False, soft_wrap=True,
            )

    def _show_persons(self) -> None:
        # Networks that classify clips say nothing about a single person.
        actions = ["actions"] if any(self._done.values()) else []
        table = Table("person", "seconds", *actions, box=SIMPLE, show_edge=False)
        for number, (first, last) in sorted(self._seen.items()):
            row = [f"#{number}" if number else "", f"{first:.1f} - {last:.1f}"]
            if actions:
                done = self._done[number].most_common(3)
                row.append(", ".join(escape(name) for name, _ in done))
            table.add_row(*row)
        self._console.print(table if self._seen else "nobody was found", highlight=False)


class ProgressLine:
    """Shows how far a video is: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self, name: str):
        self._name, self._last = name, time.monotonic()
        self._console = Console(stderr=True, soft_wrap=True)
        self._bar: Progress | None = None

    def __enter__(self) -> "ProgressLine":
        if can_redraw(self._console):
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
                TimeRemainingColumn(), console=self._console, transient=True,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._task = self._bar.add_task(escape(self._name), total=None)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, seconds: float, duration: float, state: str = "") -> None:
        """Shows that `seconds` of `duration` (0: unknown) are done, and a state."""
        if self._bar:
            text = escape(f"{self._name} {state}".strip())
            self._bar.update(
                self._task, completed=seconds, total=duration or None, description=text
            )
        elif time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            whole = f" of {duration:.0f}" if duration else ""
            print(f"{self._name}: {seconds:.0f}{whole} s {state}".rstrip(), file=sys.stderr,
                  flush=True)


def speed(timing: Timing, info: Info, last: float) -> str:
    """Two lines: how fast a source was annotated, end to end and by part.

    Args:
      last: second of the source at which its last frame is.
    """
    elapsed, frames = timing.elapsed(), timing.frames
    length = last + 1 / info.fps
    first = (
        f"{frames} frames of {info.width}x{info.height} in {elapsed:.1f} s: "
        f"{frames / elapsed:.1f} per second"
    )
    if info.duration:
        first += f", {length / elapsed:.1f} times as fast as they play"
    parts = ", ".join(
        f"{name} {1000 * spent / max(frames, 1):.1f}" for name, spent in timing.by_part().items()
    )
    return f"{first}\nmilliseconds per frame (parts run at the same time): {parts}"


def live_state(frames: int, seconds: float, latencies: Sequence[float], dropped: int) -> str:
    """How a live source keeps up, in one line."""
    rate = frames / seconds if seconds else 0.0
    mean = sum(latencies) / max(len(latencies), 1)
    return (
        f"{rate:.1f} frames per second, latency {1000 * mean:.0f} ms on average and "
        f"{1000 * max(latencies, default=0.0):.0f} at most, {dropped} late frames dropped"
    )
