"""Programs restart once with other malloc settings, and only where these help."""

import os
import subprocess
import sys

import pytest

from slowfast_jax import malloc

PROGRAM = """
import os, sys
from slowfast_jax import malloc
malloc._help = lambda: {helps}
print("start", flush=True)
malloc.restart_with_settings()
print(os.environ.get("GLIBC_TUNABLES"), sys.argv[1:])
"""


@pytest.mark.parametrize(
    "helps, tunables, expected",
    [
        (True, None, ["start", "start", f"{malloc.SETTINGS} ['a b', '-c']"]),
        (True, "", ["start", " ['a b', '-c']"]),
        (True, "glibc.malloc.check=0", ["start", "glibc.malloc.check=0 ['a b', '-c']"]),
        (False, None, ["start", "None ['a b', '-c']"]),
    ],
)
def test_program_restarts_once(helps, tunables, expected):
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    if tunables is not None:
        environment["GLIBC_TUNABLES"] = tunables
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(helps=helps), "a b", "-c"],
        env=environment, capture_output=True, text=True, check=True,
    )
    assert run.stdout.splitlines() == expected


@pytest.mark.parametrize(
    "libc, mode, helps",
    [
        (("glibc", "2.36"), "always [madvise] never", True),
        (("glibc", "2.36"), "[always] madvise never", True),
        (("glibc", "2.36"), "always madvise [never]", False),
        (("glibc", "2.34"), "always [madvise] never", False),
        (("", ""), "always [madvise] never", False),
    ],
)
def test_conditions_for_restarting(libc, mode, helps, tmp_path, monkeypatch):
    (tmp_path / "enabled").write_text(mode)
    monkeypatch.setattr(malloc, "HUGE_PAGES", tmp_path / "enabled")
    monkeypatch.setattr(malloc.platform, "libc_ver", lambda: libc)
    assert malloc._help() == helps
