"""Settings of glibc's malloc that make CPU computation on Linux faster."""

import os
import platform
import sys
from pathlib import Path

# Use huge pages, keep freed memory for later calls, and use one arena for all threads.
SETTINGS = ":".join((
    "glibc.malloc.hugetlb=1",
    "glibc.malloc.mmap_max=0",
    f"glibc.malloc.trim_threshold={2**40}",
    "glibc.malloc.arena_max=1",
))
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_settings() -> None:
    """Restarts this program, once, with a malloc that keeps freed memory and uses huge pages.

    XLA allocates its temporaries on every call and returns them to the kernel, which provides them
    again in pages of 4 KiB, each zeroed in a page fault of its own (docs/performance.md gives the
    cost). With these settings, the process never shrinks below its peak size.

    The settings are read when a process starts, hence the restart. Call this first, in a program
    and not in a library. It does nothing where the settings would not help (not Linux with glibc
    2.35 or later, or a kernel without huge pages on request) and if GLIBC_TUNABLES is set, which
    is also how to disable it.
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
