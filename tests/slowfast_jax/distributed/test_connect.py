"""Failed starts are reported in one line."""

import socket
import subprocess
import sys

import pytest

from slowfast_jax.distributed.cluster_env import ClusterError, Place
from slowfast_jax.distributed.connect import connect
from tests.support.paths import ROOT
from tests.support.subprocesses import environment, free_port


def test_a_taken_port():
    with socket.create_server(("", 0)) as server:
        place = Place("flags", f"127.0.0.1:{server.getsockname()[1]}", 0, 2)
        with pytest.raises(ClusterError, match="process 0 cannot listen at 127.*: Address already"):
            connect(place, 5)


def start(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", "slowfast_jax.main", "--config=tests/recipes/tiny.py",
         "--mode=eval", *arguments],
        cwd=ROOT, env=environment(1) | variables, capture_output=True, text=True, timeout=120,
    )


@pytest.mark.parametrize("process", [0, 1])
def test_other_processes_never_connect(process):
    result = start(
        f"--coordinator=127.0.0.1:{free_port()}", f"--process_id={process}", "--num_processes=2",
        "--meeting_seconds=2",
    )
    assert result.returncode == 2
    message = f"error: process {process} of 2 waited 2 s (--meeting_seconds) for the other"
    assert result.stderr.splitlines()[-1].startswith(message)


def test_missing_hardware():
    result = start(JAX_PLATFORMS="tpu")
    assert result.returncode == 2
    assert "error: JAX cannot use a device (JAX_PLATFORMS='tpu'): " in result.stderr
    assert "Traceback" not in result.stderr
