"""Ctrl-C is answered with one line at once, whatever the main thread does."""

import signal
import subprocess
import sys
import time

import pytest

from tests.support.paths import ROOT

COMMAND = """
import sys, hashlib, threading, time
from slowfast_jax import interrupts
interrupts.DEAF = interrupts.CLEARING = float(sys.argv[2])
def computes():  # one call that does not return to Python's interpreter
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 500_000_000)
def waits():
    print("ready", flush=True)
    threading.Event().wait()
class Drops:
    def __del__(self):
        waits()
def drops():
    Drops()
    time.sleep(60)
def ends_slowly():
    try:
        waits()
    finally:
        print("ending", flush=True)
        time.sleep(20)
try:
    with interrupts.command(lambda: "; nothing was written", lambda: print("last", flush=True)):
        globals()[sys.argv[1]]()
except KeyboardInterrupt:
    sys.exit(interrupts.STATUS)
"""


def begin(*arguments):
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("work", "seconds", "presses", "printed"), [
    ("waits", 20, 1, ""),
    ("drops", 20, 1, ""),  # Python ignores exceptions of destructors
    ("computes", 0.2, 1, "last\n"),  # ended from outside
    ("computes", 20, 2, "last\n"),
    ("ends_slowly", 0.2, 1, "ending\nlast\n"),
    ("ends_slowly", 20, 2, "ending\nlast\n"),
])
def test_ctrl_c_ends_a_command(work, seconds, presses, printed):
    process = begin("-c", COMMAND, work, str(seconds))
    time.sleep(1)  # until it computes
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "interrupted; nothing was written\n"
    assert time.monotonic() - start < 10  # although the main thread does not return
    for _ in range(presses - 1):
        if work == "ends_slowly":
            assert process.stdout.readline() == "ending\n"
            printed = "last\n"
        process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert (out, process.returncode) == (printed, 130)
    assert "Traceback" not in errors and "interrupted" not in errors
    assert time.monotonic() - start < 30


def test_ctrl_c_while_a_command_is_imported_is_one_line():
    code = "from slowfast_jax import interrupts; interrupts.end_at_once(); import time\n"
    code += "print('ready', flush=True)\ntime.sleep(60)"
    process = begin("-c", code)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "interrupted\n")
    assert process.returncode == 130
