"""Memory in large pages for programs that compute on a Linux CPU."""

import os
import platform
import sys
from pathlib import Path

TUNABLE = "glibc.malloc.hugetlb=1"
MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Restarts this program, once, with glibc's malloc asking the kernel for huge pages.

    XLA takes the memory of its temporaries anew on every call, and the kernel hands it out in
    pages of 4 KiB, each with a fault of its own: up to half of the time of a training step. The
    setting is read when a process starts, hence the restart; call this first thing, in a program
    and not in a library. Nothing happens where it would not help: not Linux with glibc 2.35 or
    later, a kernel whose huge pages are not on request (`madvise`), or GLIBC_TUNABLES set already,
    which is also the way to switch this off.
    """
    if "GLIBC_TUNABLES" in os.environ or not _helps():
        return
    sys.stdout.flush()
    command = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, command, os.environ | {"GLIBC_TUNABLES": TUNABLE})


def _helps() -> bool:
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(map(int, version.split(".")[:2])) < (2, 35):
        return False
    return MODE.is_file() and "[madvise]" in MODE.read_text()
