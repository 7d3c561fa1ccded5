"""What the commands share: their name, one-line errors, the version, and Ctrl-C."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from data_pipelines import progress

PACKAGE = "slowfast_jax"


def called_as(module: str, script: str) -> str:
    """The command as the user typed it: an installed script, or `python -m module`."""
    return script if Path(sys.argv[0]).stem == script else f"python -m {module}"


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations of flags, with `--version`, whose errors take one line."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, allow_abbrev=False, **options)
        self.add_argument(
            "--version", action="version", version=f"{PACKAGE} {version()}",
            help="print the version, and exit",
        )

    def error(self, message: str) -> NoReturn:
        """Prints the error, with the flag that was probably meant, and exits with status 2."""
        unknown = message.removeprefix("unrecognized arguments: ").split()
        if unknown and message.startswith("unrecognized arguments: "):
            name = unknown[0].split("=")[0]
            close = difflib.get_close_matches(name, self._flags(), n=1)
            if close:
                message += f" (perhaps {close[0]})"
        self.exit(2, f"error: {message}; see {self.prog} --help\n")

    def _flags(self) -> list[str]:
        """All flags, those of subcommands included."""
        flags = []
        for action in self._actions:
            flags += action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                flags += [flag for parser in action.choices.values() for flag in parser._flags()]
        return flags


def version() -> str:
    """The version of the installed package; of a checkout that is not installed, "unknown"."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


def explain(error: Exception) -> str:
    """What an error says; of the system's errors, the file and the reason without its number."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def install(extra: str) -> str:
    """How to install an extra of this package, for error messages."""
    return (
        f"install the extra {extra}: pip install -e '.[{extra}]' in a checkout, or "
        f"pip install '{PACKAGE}[{extra}] @ file:///path/to/WHEEL'"
    )


def positive(text: str) -> float:
    """A number above 0, for `type=` of an argument."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number above 0")
    return number


def not_negative(text: str) -> float:
    """0 or a larger number, for `type=` of an argument."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}; expected 0 or a larger number")
    return number


def fraction(text: str) -> float:
    """A number from 0 to 1, for `type=` of an argument."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number from 0 to 1")
    return number


def run(cli: Callable[[], int], after: str) -> NoReturn:
    """Runs a command and exits with its status.

    Ctrl-C ends it at once with status 130 and one line that says how much was done. If nobody reads
    its output any more, as after `| head`, it ends without a word.

    Args:
        cli: the command.
        after: what to do after an interruption.
    """
    progress.end_on_interrupt(after)
    try:
        status = cli()
        sys.stdout.flush()
    except BrokenPipeError:
        status = stop_printing()
    sys.exit(status)


def stop_printing() -> int:
    """What to do about a BrokenPipeError: nobody reads the output any more, as after `| head`.

    Returns the exit status.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
    return 1
