"""How many processor cores this process may use."""

import os


def available_cores() -> int:
    """The number of cores that the operating system lets this process run on, 1 at least.

    Programs such as taskset and batch systems restrict it to fewer than the machine has.
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
