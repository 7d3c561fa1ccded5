"""Runs the program in several real processes on this machine, for tests."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.paths import ROOT

DEADLINE = 300  # seconds for any wait


def free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def environment(devices: int) -> dict[str, str]:
    flags = f"--xla_force_host_platform_device_count={devices}"
    return os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}


class Run:
    """The program in `processes` processes, whose output goes to files.

    Args:
      arguments: for all processes. own: rank -> additional arguments.
      program: arguments of Python that start the program.
    """

    def __init__(
        self, folder: Path, arguments, *, processes: int = 2, devices: int = 2, own=None,
        program=("-m", "slowfast_jax.main"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.logs = [folder / f"log{i}" for i in range(processes)]
        port = free_port()
        self.processes = []
        for i, log in enumerate(self.logs):
            place = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={processes}",
                     f"--process_id={i}"]
            with log.open("w") as file:
                self.processes.append(subprocess.Popen(
                    [sys.executable, *program, *place, *arguments, *(own or {}).get(i, ())],
                    cwd=ROOT, env=environment(devices), stdout=file, stderr=file,
                ))

    def wait(self) -> list[int]:
        """Exit statuses by rank; kills processes that do not end."""
        try:
            return [process.wait(DEADLINE) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()

    def text(self, process: int) -> str:
        return self.logs[process].read_text()

    def wait_for(self, pattern: str, process: int = 0) -> re.Match:
        """Waits until a process has printed a match."""
        deadline = time.monotonic() + DEADLINE
        while True:
            match = re.search(pattern, self.text(process))
            if match:
                return match
            assert self.processes[process].poll() is None, self.text(process)
            assert time.monotonic() < deadline, self.text(process)
            time.sleep(0.01)
