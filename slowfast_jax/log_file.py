"""The log of a run: RUN/log.txt has the lines that the terminal shows, with their times."""

import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = "log.txt"
_logs: "list[_LogFile]" = []


@contextmanager
def log_file(folder: str | Path) -> Iterator[None]:
    """Within the block, log lines are also appended to `folder`/log.txt.

    The folder and the file are created at the first line. Every run begins with its command line.
    A file that cannot be written, as on a full disk, does not disturb the program.
    """
    handler = _LogFile(Path(folder))
    _logs.append(handler)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        _logs.remove(handler)
        handler.close()


def note(text: str, level: int = logging.INFO) -> None:
    """Adds what the terminal shows in another form. Does nothing if the file has no line yet."""
    if _logs and _logs[-1].stream is not None:
        _logs[-1].handle(logging.LogRecord("", level, "", 0, text, None, None))


class _LogFile(logging.FileHandler):
    def __init__(self, folder: Path):
        super().__init__(folder / NAME, encoding="utf-8", delay=True)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.stream is None:
                Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
                self.stream = self._open()
                self.stream.write(f"\n$ {shlex.join(sys.argv)}\n")
        except OSError:
            return
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignores errors of writing."""

    def close(self) -> None:
        with suppress(OSError):
            super().close()
