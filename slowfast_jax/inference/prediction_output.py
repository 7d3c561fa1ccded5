"""Writes predictions as they come: tables on the screen, and records in a JSON file."""

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

LINES = (".jsonl", ".ndjson")  # suffixes of files with one record per line
Record = dict[str, Any]


class JsonFile:
    """A file of records that is complete after each one, whatever ends the program then.

    A file whose name ends with .jsonl or .ndjson gets a line per record, any other a JSON array.
    The file is created, and an earlier one replaced, by the first record or by `close`.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.count = 0
        self._lines = self.path.suffix.lower() in LINES
        self._file = -1
        self._end = 0  # where the next record goes; behind it is only the end of the array

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends a record."""
        text = json.dumps(record) + "\n"
        self._open()
        if self._lines:
            self._put(text)
        else:
            self._put(("[\n" if self.count == 0 else ",\n") + text.rstrip("\n"), "\n]\n")
        self.count += 1

    def close(self) -> None:
        """Ends the file; without any record, it is an empty list."""
        self._open()
        if self.count == 0:
            self._put("" if self._lines else "[]\n")
        os.close(self._file)

    def _open(self) -> None:
        if self._file < 0:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)

    def _put(self, text: str, end: str = "") -> None:
        # One call, so that no interruption leaves half a record.
        os.pwrite(self._file, (text + end).encode(), self._end)
        self._end += len(text.encode())


class Results:
    """What the command has predicted so far: counted and written as it comes.

    Attributes:
      total: the number of videos.
      done: the number of videos that were predicted.
      failed: the number of videos of which at least a part could not be predicted.
      current: the record of a video of which only a part is predicted.
    """

    def __init__(self, total: int, path: str | None):
        self.total, self.done, self.failed = total, 0, 0
        self.current: Record | None = None
        self._json = JsonFile(path) if path else None

    def add(self, record: Record, *, reported: bool = False) -> None:
        """Takes the complete record of a video; prints its errors unless they were `reported`."""
        errors = []
        for part in (record, *record.get("keyframes", ())):
            if "error" in part:
                when = f" at {part['time']:g} s" if "time" in part else ""
                errors.append(f"{record['video']}{when}: {part['error']}")
        self.failed += bool(errors)
        if errors and not reported:
            print("\n".join(errors), file=sys.stderr, flush=True)
        if self._json:
            self._json.write(record)
        self.done += "error" not in record
        self.current = None

    def outcome(self) -> str:
        """What the line says that answers Ctrl-C."""
        if not self.done and not self.current:
            return "; nothing was predicted yet"
        kept = f"are in {self._json.path}" if self._json else "were predicted"
        part = f", and the beginning of {self.current['video']}" if self.current else ""
        return f": {self.done} of {self.total} videos {kept}{part}"

    def interrupt(self) -> None:
        """Keeps the part of a video that is predicted."""
        record, self.current = self.current, None
        if record and self._json:
            self._json.write(record | {"error": "interrupted"})

    def close(self) -> None:
        """Ends the JSON file, and prints how many videos failed; why was printed before."""
        if self._json:
            self._json.close()
        if self.failed:
            print(f"{self.failed} of {self.total} videos failed", file=sys.stderr)


def why_not_writable(path: str | os.PathLike, *, folder: bool = False) -> str:
    """Why a file, or with `folder` the files of a folder, cannot be written; "" if they can."""
    path = Path(path)
    place = path.absolute() if folder else path.absolute().parent
    if not folder:
        if path.is_dir():
            return "is a folder; expected a file"
        if not place.is_dir():
            return f"there is no folder {place}"
        if path.exists() and not path.is_file():
            return "is not a regular file"
        if path.exists() and not os.access(path, os.W_OK):
            return "may not be written"
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        return f"{place} is a file; expected a folder"
    try:
        with tempfile.TemporaryFile(dir=place):
            return ""
    except OSError as error:
        return f"{place} cannot be written ({error.strerror})"


def files_for(folder: str | os.PathLike, videos: Iterable[str]) -> dict[str, Path]:
    """The .mp4 file in a folder to draw each video into.

    Videos of one name keep the folders that tell them apart.
    """
    stems = [Path(video).stem for video in videos]
    if len(set(stems)) == len(stems):
        return {video: Path(folder, f"{Path(video).stem}.mp4") for video in videos}
    base = os.path.commonpath([os.path.dirname(os.path.abspath(video)) for video in videos])
    return {
        video: Path(folder, f"{os.path.relpath(video, base)}.mp4") for video in videos
    }


def show(record: Record, console: Console) -> None:
    """Prints a heading and a table for a video; nothing if it failed (see `Results.add`)."""
    if "error" in record and not record.get("keyframes"):
        return
    show_heading(record["video"], console)
    if "keyframes" in record:
        console.print(_table_of_persons(record["keyframes"]))
        return
    table = Table("score", "label", box=SIMPLE, show_edge=False)
    for prediction in record["predictions"]:
        table.add_row(f"{prediction['score']:.4f}", escape(prediction["label"]))
    console.print(table)


def show_heading(video: str, console: Console) -> None:
    """Prints the name of a video."""
    console.print(f"[bold]{escape(video)}[/bold]", soft_wrap=True)


def show_window(window: Record, console: Console) -> None:
    """Prints the line of a window: its time, and the best label with its score."""
    best = window["predictions"][0]
    times = f"{window['start']:8.2f} - {window['end']:8.2f} s"
    console.print(
        f"{times}  {best['score']:.4f}  {escape(best['label'])}", soft_wrap=True, highlight=False
    )


def _table_of_persons(keyframes: list[Record]) -> Table:
    """A row for each person, with the labels whose score is at least 0.5, or else the best one."""
    table = Table("seconds", "box", "labels", box=SIMPLE, show_edge=False)
    for keyframe in keyframes:
        time = f"{keyframe['time']:g}"
        if "error" in keyframe:
            table.add_row(time, "", "[red]failed[/red]")
        for person in keyframe.get("persons", ()):
            first, *others = person["predictions"]
            shown = [first, *(other for other in others if other["score"] >= 0.5)]
            labels = ", ".join(f"{escape(p['label'])} {p['score']:.2f}" for p in shown)
            table.add_row(time, " ".join(f"{edge:.2f}" for edge in person["box"]), labels)
    return table
