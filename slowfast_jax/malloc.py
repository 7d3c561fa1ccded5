"""Settings of glibc's malloc for programs that compute on a Linux CPU."""

import os
import platform
import sys
from pathlib import Path

# Memory in huge pages, and what is freed is kept for the next call, by one arena for all threads.
SETTINGS = ":".join((
    "glibc.malloc.hugetlb=1",
    "glibc.malloc.mmap_max=0",
    f"glibc.malloc.trim_threshold={2**40}",
    "glibc.malloc.arena_max=1",
))
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_settings() -> None:
    """Restarts this program, once, with a malloc that keeps its memory, in huge pages.

    XLA takes the memory of its temporaries anew on every call and gives it back to the kernel,
    which hands it out again page by page of 4 KiB, each zeroed in a fault of its own (what that
    costs stands in docs/performance.md). The price is that the process stays as large as it once
    was.

    The settings are read when a process starts, hence the restart; call this first thing, in a
    program and not in a library. Nothing happens where they would not help: not Linux with glibc
    2.35 or later, a kernel without huge pages on request, or GLIBC_TUNABLES set already, which is
    also the way to switch this off.
    """
    if "GLIBC_TUNABLES" in os.environ or not _help():
        return
    sys.stdout.flush()
    command = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, command, os.environ | {"GLIBC_TUNABLES": SETTINGS})


def _help() -> bool:
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(map(int, version.split(".")[:2])) < (2, 35):
        return False
    return HUGE_PAGES.is_file() and "[never]" not in HUGE_PAGES.read_text()
