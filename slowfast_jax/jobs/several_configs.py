"""Runs the command for several configs, one after the other, each in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from slowfast_jax.command_line import take_flag
from slowfast_jax.config import ConfigError, load_config


def run_in_turn(specs: Sequence[str], argv: Sequence[str]) -> int:
    """Runs this command for one config after the other, until one fails; returns the exit status.

    Raises:
      ConfigError: before the first run, if a config does not exist, or if two have the same name,
        so that their results would share a folder.
    """
    names = [load_config(spec).name for spec in specs]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"--config: two of {', '.join(names)} have the same name, so their results "
            "would share a folder; run them one at a time, each with its own --workdir"
        )
    workdirs, arguments = take_flag("workdir", argv[1:])
    for spec, name in zip(specs, names, strict=True):
        workdir = [f"--workdir={os.path.join(workdirs[-1], name)}"] if workdirs else []
        command = [sys.executable, "-m", "slowfast_jax.main", f"--config={spec}"]
        status, stopped = _run_alone([*command, *arguments, *workdir])
        if status or stopped:
            return status
    return 0


def _run_alone(command: Sequence[str]) -> tuple[int, bool]:
    """Runs a command, to which Ctrl-C and SIGTERM are left: (exit status, one of these came)."""
    came, process = [], subprocess.Popen(command)

    def pass_on(number: int, frame: object) -> None:
        came.append(number)
        if number == signal.SIGTERM:  # the terminal sends Ctrl-C to both processes
            process.send_signal(number)

    before = {n: signal.signal(n, pass_on) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        return process.wait(), bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
