"""Reads possibly broken files in a separate process, which may crash, hang or exhaust memory.

`read_all` runs a module as that process; the module calls `serve` with a function that reads one
file. The process prints which file it is reading, so that the file at which it dies is known.
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

MEMORY = 2**30  # bytes of address space that reading one file may take
CPU_SECONDS, WALL_SECONDS = 30, 90  # per file; 8K pictures are slow


class Wrong(Exception):
    """An outcome that must not happen."""


def read_all(module: str, paths: Sequence[Path]) -> tuple[dict[str, str], dict[str, str]]:
    """Runs `module` to read the files; returns (failures, other outcomes), texts by path."""
    failures: dict[str, str] = {}
    outcomes: dict[str, str] = {}
    # Memory pools per thread would count as address space, 64 MB and more for each thread.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    left = list(paths)
    while left:
        # Files, because a full pipe would block the process.
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            run = subprocess.run(
                [sys.executable, "-m", module], input="\n".join(map(str, left)), text=True,
                cwd=ROOT, env=environment, stdout=output, stderr=errors,
                timeout=60 + WALL_SECONDS * len(left),
            )
            output.seek(0)
            errors.seek(0)
            lines, error_text = output.read().splitlines(), errors.read()
        reported = [json.loads(line) for line in lines if line.startswith("{")]
        for one in reported:
            (failures if one["failed"] else outcomes)[one["path"]] = one["text"]
        if len(reported) < len(left):
            if not lines:
                raise RuntimeError(f"no file was read: {error_text[-3000:]}")
            name = str(left[len(reported)])
            failures[name] = f"the process ended with {run.returncode}: {error_text[-3000:]}"
        left = left[len(reported) + 1 :]
    return failures, outcomes


def serve(read: Callable[[Path], str]) -> None:
    """Reads the files named on the standard input; `read` returns the outcome of one."""
    faulthandler.enable()
    # Each decoder thread holds pictures, so use the same number of threads on every machine.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    # Leaves room for FFmpeg's largest allocation, 2 GiB, so that `_measured` can report it.
    most = _addresses("VmSize") + 4 * MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for path in map(Path, sys.stdin.read().splitlines()):
        print("at", path, flush=True)
        faulthandler.dump_traceback_later(WALL_SECONDS, exit=True)
        failed, text = _measured(read, path)
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps({"path": str(path), "failed": failed, "text": text}), flush=True)


def _measured(read: Callable[[Path], str], path: Path) -> tuple[bool, str]:
    """(whether reading failed, text of the outcome)."""
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
    """A field of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field}")
