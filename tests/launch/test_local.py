"""launch/local.py, run with short-lived processes."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from launch import local
from tests.support.paths import ROOT
from tests.support.tiny_models import write_colors

COMMAND = [sys.executable, str(ROOT / "launch" / "local.py")]


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--processes", "2"], "pass the program's arguments after --"),
    (["--processes", "0", "--", "--config=x"], "--processes must be 1 or more"),
])
def test_invalid_arguments(arguments, message):
    result = run(*arguments)
    assert result.returncode == 2 and message in result.stderr


def test_lines_start_with_the_rank_and_the_first_status_is_returned():
    """The processes fail because --mode=summary runs in a single process."""
    result = run("--processes", "2", "--", "--config=kinetics/x3d_xs", "--mode=summary")
    assert result.returncode == 2, result.stdout
    for number in (0, 1):
        assert re.search(
            rf"^\[{number}\] error: --mode=summary runs in a single process, but flags started "
            rf"several", result.stdout, re.M,
        )
    assert re.search(r"^local: process \d ended with status 2", result.stdout, re.M)


def test_a_single_process_runs_the_program():
    result = run("--processes", "1", "--", "--config=kinetics/mini", "--mode=summary")
    assert result.returncode == 0 and "[0] kinetics/mini" in result.stdout


def processes_of(*codes):
    return [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for code in codes
    ]


def test_the_others_are_killed_after_the_grace_period(capsys):
    running = processes_of("import sys; sys.exit(3)", "import time; time.sleep(100)")
    start = time.monotonic()
    assert local.wait(running, grace=0.5) == 3
    assert time.monotonic() - start < 20
    assert running[1].returncode == -signal.SIGKILL
    assert "process 0 ended with status 3; the others have 0.5 s" in capsys.readouterr().out


def test_a_killed_process_is_reported(capsys):
    running = processes_of("import time; time.sleep(100)")
    running[0].kill()
    assert local.wait(running, grace=0.5) == 128 + signal.SIGKILL
    assert "process 0 was killed by SIGKILL" in capsys.readouterr().out


@pytest.mark.slow
def test_sigterm_reaches_all_processes(tmp_path):
    write_colors(tmp_path / "data")
    data = tmp_path / "data"
    process = subprocess.Popen(
        [*COMMAND, "--processes", "2", "--devices", "1", "--", "--config=tests/recipes/tiny.py",
         f"--workdir={tmp_path / 'run'}", f"--config.data.root={data}",
         f"--config.data.path_prefix={data}", "--config.train.epochs=2000"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ,
    )
    text = ""
    for line in process.stdout:
        text += line
        if "step 9/" in line:
            process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, text
    assert re.search(r"^\[0\] .*stopped at step \d+; the same command resumes", text, re.M)
