"""The log: its lines on the terminal, and in RUN/log.txt."""

import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from absl import flags
from absl import logging as absl_logging

NAME = "log.txt"
_logs: "list[_LogFile]" = []


def show_log(level: int) -> None:
    """Shows log lines from a level of absl's on, without absl's prefix of files and processes."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # otherwise absl says in the log that they are not
    absl_logging.get_absl_handler().setFormatter(_Plain("%(asctime)s %(message)s", "%H:%M:%S"))
    absl_logging.use_absl_handler()
    absl_logging.set_verbosity(level)


class _Plain(logging.Formatter):
    """Says of warnings and errors that they are."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        kind = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return f"{record.asctime} {kind}{record.message}"


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
