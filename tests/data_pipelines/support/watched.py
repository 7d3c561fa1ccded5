"""Reads files that may be broken in a process of its own, which may die, hang or want too much.

A module whose `read` reads a file is run by `read_all` as that process, where it calls `serve`. The
process says on its standard output which file it is at, so that the one at which it ends is known.
"""

import faulthandler
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.paths import ROOT

MEMORY = 2**30  # bytes of addresses that reading a file may take
CPU_SECONDS, WALL_SECONDS = 30, 90  # of one file; pictures of 8K take their time


class Wrong(Exception):
    """What became of a file and must not."""


def read_all(module: str, paths: Sequence[Path]) -> tuple[dict[str, str], dict[str, str]]:
    """What went wrong, and what became of the other files: path of the file -> text."""
    failures: dict[str, str] = {}
    outcomes: dict[str, str] = {}
    # Memory that threads would keep to themselves counts as addresses, 64 MB and more a thread.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    left = list(paths)
    while left:
        # Files, because a pipe that nobody empties in time would be a hang of its own.
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaints:
            run = subprocess.run(
                [sys.executable, "-m", module], input="\n".join(map(str, left)), text=True,
                cwd=ROOT, env=environment, stdout=said, stderr=complaints,
                timeout=60 + WALL_SECONDS * len(left),
            )
            said.seek(0)
            complaints.seek(0)
            lines, complaint = said.read().splitlines(), complaints.read()
        reported = [json.loads(line) for line in lines if line.startswith("{")]
        for one in reported:
            (failures if one["failed"] else outcomes)[one["path"]] = one["text"]
        if len(reported) < len(left):
            if not lines:
                raise RuntimeError(f"no file was read: {complaint[-3000:]}")
            name = str(left[len(reported)])
            failures[name] = f"the process ended with {run.returncode}: {complaint[-3000:]}"
        left = left[len(reported) + 1 :]
    return failures, outcomes


def serve(read: Callable[[Path], str]) -> None:
    """Reads the files that are named on the standard input; `read` gives what became of one."""
    faulthandler.enable()
    # Each thread of a decoder has pictures of its own: let there be as many on every machine.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    # FFmpeg asks for at most 2 GiB at once: that is seen and told, what goes beyond fails.
    most = _addresses("VmSize") + 4 * MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for path in map(Path, sys.stdin.read().splitlines()):
        print("at", path, flush=True)
        faulthandler.dump_traceback_later(WALL_SECONDS, exit=True)
        failed, text = _measured(read, path)
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps({"path": str(path), "failed": failed, "text": text}), flush=True)


def _measured(read: Callable[[Path], str], path: Path) -> tuple[bool, str]:
    """(whether it failed, what became of the file)."""
    begin, held, peak = time.process_time(), _addresses("VmSize"), _addresses("VmPeak")
    try:
        failed, text = False, read(path)
    except Wrong as wrong:
        failed, text = True, str(wrong)
    seconds, new_peak = time.process_time() - begin, _addresses("VmPeak")
    if seconds > CPU_SECONDS:
        return True, f"takes {seconds:.1f} s; {text}"
    if new_peak > peak and new_peak - held > MEMORY:
        return True, f"takes {(new_peak - held) >> 20} MiB; {text}"
    return failed, f"{seconds:.2f} s, {text}"


def _addresses(field: str) -> int:
    """A line of the process's status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field}")
