"""The service as a process: its commands, and that SIGTERM loses no accepted request."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from slowfast_jax.serve.__main__ import cli
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow


def post(port, content):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", content, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def video(colors):
    return next(colors.glob("**/*.mp4")).read_bytes()


@pytest.fixture
def service(tmp_path):
    """(port, process) of a ready service of kinetics/mini; its temporary folder is tmp_path."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "slowfast_jax.serve", "kinetics/mini", "--weights", "random",
         "--port", str(port), "--batch-sizes", "1,30", "--queue", "4"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None and time.monotonic() < deadline
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)
            break
        except OSError:
            time.sleep(0.1)
    yield port, process
    process.kill()
    process.wait()


def test_sigterm_answers_what_was_accepted_and_leaves_no_file(service, video, tmp_path):
    port, process = service
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(post, port, video) for _ in range(4)]
        metrics = f"http://127.0.0.1:{port}/metrics"
        while b"slowfast_active_requests 4.0" not in urllib.request.urlopen(metrics).read():
            if all(answer.done() for answer in answers):
                answers = [pool.submit(post, port, video) for _ in range(4)]
        process.send_signal(signal.SIGTERM)
        assert [answer.result() for answer in answers] == [200] * 4
    assert process.wait(30) in (0, -signal.SIGTERM)
    assert "Traceback" not in process.stderr.read()
    assert not list(tmp_path.iterdir())


def test_more_requests_than_it_accepts_are_refused_and_none_fails(service, video):
    port, _ = service
    statuses, lock = [], threading.Lock()

    def ask():
        for _ in range(10):
            status = post(port, video)
            with lock:
                statuses.append(status)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 80 and set(statuses) <= {200, 503} and statuses.count(200) >= 10


def test_wrong_arguments_are_one_sentence(capsys):
    assert cli(["kinetics/mini"]) == 2
    error = capsys.readouterr().err
    assert "--weights is required" in error and error.count("\n") == 1
