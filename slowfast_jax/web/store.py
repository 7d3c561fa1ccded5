"""The files of the page: uploads and results, in one temporary folder, under names made here.

Nothing that a browser sends becomes part of a path: it knows files by a random token.
"""

import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PREFIX = "slowfast_jax_web_"  # of the name of the folder


@dataclass(frozen=True)
class Limits:
    """What the page accepts.

    Attributes:
      megabytes: size of an uploaded file.
      seconds: duration of a video.
      waiting: jobs that may wait; further ones are refused.
      stored: uploads that are kept at the same time; further ones are refused.
      minutes: how long files are kept at most, if the browser never reports that the tab was
        closed.
    """

    megabytes: float = 200.0
    seconds: float = 300.0
    waiting: int = 16
    stored: int = 32
    minutes: float = 60.0


@dataclass
class Entry:
    """A folder of files that belong together: an upload, or the results of a job.

    Attributes:
      folder: where they are.
      upload: it is an upload.
      session: the browser tab that they are for; "" as long as no tab has claimed it.
      gone: the tab was closed; what writes into the folder should stop.
      made: `time.monotonic()` at which it was made.
      names: names of the files that the browser may fetch.
    """

    folder: Path
    upload: bool
    session: str = ""
    gone: threading.Event = field(default_factory=threading.Event)
    made: float = field(default_factory=time.monotonic)
    names: set[str] = field(default_factory=set)

    @property
    def video(self) -> Path:
        """The file of an upload; its suffix says nothing, because the decoder looks inside."""
        return self.folder / "video"


class Full(Exception):
    """As many uploads as allowed are stored."""


class Store:
    """All entries by token. Threads may use it at the same time."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic):
        self.limits = limits
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._clock, self._lock = clock, threading.Lock()
        self._entries: dict[str, Entry] = {}

    def new_upload(self) -> str:
        """The token of a new entry for an upload.

        Raises:
          Full: it would be one upload too many.
        """
        with self._lock:
            if sum(entry.upload for entry in self._entries.values()) >= self.limits.stored:
                raise Full
            return self._new(upload=True)

    def new_results(self, session: str) -> str:
        """The token of a new entry for the results of a tab, in place of its earlier ones."""
        for token in self._tokens(lambda entry: entry.session == session and not entry.upload):
            self.remove(token)
        with self._lock:
            return self._new(upload=False, session=session)

    def _new(self, **facts: Any) -> str:
        token = secrets.token_hex(16)
        entry = Entry(self.folder / token, made=self._clock(), **facts)
        entry.folder.mkdir()
        self._entries[token] = entry
        return token

    def get(self, token: str) -> Entry | None:
        """The entry of a token; None for a text that is not the token of any entry."""
        with self._lock:
            return self._entries.get(token)

    def file(self, token: str, name: str) -> Path | None:
        """The file that a browser asks for; None if it is not one that it may have."""
        entry = self.get(token)
        return entry.folder / name if entry and name in entry.names else None

    def remove(self, token: str) -> None:
        """Removes an entry with its files, and tells whoever writes them."""
        with self._lock:
            entry = self._entries.pop(token, None)
        if entry:
            entry.gone.set()
            shutil.rmtree(entry.folder, ignore_errors=True)

    def leave(self, session: str) -> None:
        """Removes what belongs to a tab that was closed."""
        for token in self._tokens(lambda entry: entry.session == session):
            self.remove(token)

    def sweep(self) -> None:
        """Removes entries that are too old."""
        oldest = self._clock() - 60 * self.limits.minutes
        for token in self._tokens(lambda entry: entry.made < oldest):
            self.remove(token)

    def close(self) -> None:
        """Removes everything."""
        for token in self._tokens(lambda _: True):
            self.remove(token)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tokens(self, wanted: Callable[[Entry], bool]) -> list[str]:
        with self._lock:
            return [token for token, entry in self._entries.items() if wanted(entry)]
