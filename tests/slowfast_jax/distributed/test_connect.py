"""Failed starts are reported in one line."""

import os
import socket
import subprocess
import sys
import time

import jax
import pytest

from slowfast_jax.distributed.cluster_env import ClusterError, Place
from slowfast_jax.distributed.connect import DeviceError, connect, require_devices
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


def test_processes_that_did_not_start_are_named(tmp_path):
    """Notes of an earlier run, and of one with another coordinator, do not count."""
    notes, port = tmp_path / "run/processes", free_port()
    notes.mkdir(parents=True)
    for process, coordinator in ((1, f"127.0.0.1:{port}"), (2, f"127.0.0.1:{port}"), (3, "b:1")):
        (notes / f"started_{process}").write_text(coordinator)
    os.utime(notes / "started_1", (1e9, 1e9))
    (notes / "started_2").touch()
    later = time.time() + 60  # not older than that of the process which is about to start
    os.utime(notes / "started_2", (later, later))
    result = start(
        f"--coordinator=127.0.0.1:{port}", "--process_id=0", "--num_processes=4",
        "--meeting_seconds=2", f"--workdir={tmp_path / 'run'}",
    )
    assert result.returncode == 2
    assert "connect: processes 1, 3 did not start (or with another" in result.stderr


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
    assert "error: JAX_PLATFORMS=tpu asks for a device that JAX cannot use: " in result.stderr
    assert "Traceback" not in result.stderr


MODES = ("train", "eval", "report", "summary", "bench_data", "compile")

@pytest.mark.parametrize(("platform", "message"), [
    ("cuda", "(pip install 'jax[cuda13]'), or set JAX_PLATFORMS=cpu"),
    ("tpu", "(pip install 'jax[tpu]'), or set JAX_PLATFORMS=cpu"),
    ("gpuu", "Did you mean gpu? JAX knows cpu, cuda, gpu, tpu"),
    ("cpuu", "Did you mean cpu?"),
    ("quantum", "JAX knows cpu, cuda, gpu, tpu"),
])
def test_the_line_about_a_missing_platform(platform, message, monkeypatch):
    def devices():
        if platform == "cuda":
            raise AssertionError  # as JAX without the plugin
        raise RuntimeError(f"Backend {platform!r} is unknown (set JAX_PLATFORMS='' to choose one)")

    monkeypatch.setenv("JAX_PLATFORMS", platform)
    monkeypatch.setattr(jax, "devices", devices)
    with pytest.raises(DeviceError) as caught:
        require_devices()
    text = str(caught.value)
    assert text.startswith(f"JAX_PLATFORMS={platform} asks for a device that JAX cannot use: ")
    assert message in text and "\n" not in text and "set JAX_PLATFORMS=''" not in text


@pytest.mark.parametrize(
    "mode", [pytest.param(m, marks=[] if m == "train" else [pytest.mark.slow]) for m in MODES]
)
def test_every_mode_refuses_a_missing_platform(mode, tmp_path):
    result = start(
        f"--mode={mode}", f"--workdir={tmp_path / 'run'}", "--config.target=cpu:1",
        JAX_PLATFORMS="gpuu",
    )
    assert result.returncode == 2
    assert result.stderr.count("error: JAX_PLATFORMS=gpuu asks for a device") == 1
    assert "Traceback" not in result.stderr and not (tmp_path / "run").exists()
