"""What the command says about wrong arguments; the page that it serves is tested elsewhere."""

import glob
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest

from slowfast_jax.web.__main__ import cli
from slowfast_jax.web.store import PREFIX
from tests.support.paths import ROOT

UPLOAD = "POST /upload HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 9000000\r\n\r\n"


@pytest.fixture
def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def test_without_the_extra(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("slowfast_jax.web.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert cli([]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the page needs further packages; install the extra web: pip ")
    assert error.count("\n") == 1


@pytest.mark.slow  # Gradio takes seconds to import
@pytest.mark.parametrize(("arguments", "message"), [
    (["--weights", "a.pyth"], "--config is required: a.pyth is no folder, and only folders store"),
    (["--config", "kinetics/x3d_xs"], "1 --config and 0 --weights; expected one --weights for"),
    (["--config", "kinetics/x3d_xz", "--weights", "random"], "did you mean kinetics/x3d_xs"),
    (["--config", "kinetics/mini", "--weights", "random", "--samples", "nothing"],
     "--samples nothing: no such folder"),
])
def test_wrong_arguments(monkeypatch, capsys, tmp_path, free_port, arguments, message):
    pytest.importorskip("gradio")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cli([*arguments, "--port", free_port]) == 2
    error = capsys.readouterr().err.removeprefix("loading the networks\n")
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not glob.glob(os.path.join(tmp_path, f"{PREFIX}*"))


@pytest.mark.slow
def test_nothing_is_left_when_the_terminal_is_closed(tmp_path, free_port):
    pytest.importorskip("gradio")
    process = subprocess.Popen(
        [sys.executable, "-m", "slowfast_jax.web", "--config", "kinetics/mini", "--weights",
         "random", "--port", free_port],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    while "the page is on" not in (line := process.stderr.readline()):
        assert line, "it ended"
    with socket.create_connection(("127.0.0.1", int(free_port))) as upload:  # has no end
        upload.sendall(UPLOAD.format(port=free_port).encode() + bytes(500_000))
        while not list(tmp_path.glob("*/*/video")):
            time.sleep(0.05)
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 0
    assert process.stderr.read() == "ended; the files of the page are removed\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_port_that_is_in_use(capsys):
    pytest.importorskip("gradio")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        port = one.getsockname()[1]
        assert cli(["--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "message"), [
    (["--max-mb", "0"], "expected a number above 0"), (["--queue", "0"], "whole number from 1"),
    (["--port", "0"], "expected a number from 1 to 65535"), (["--share"], "unrecognized arguments"),
])
def test_wrong_values(capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        cli(arguments)
    assert ended.value.code == 2 and message in capsys.readouterr().err
