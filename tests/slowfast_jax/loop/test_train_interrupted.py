"""A run that is stopped by a signal or killed resumes and ends with identical results."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from slowfast_jax.models import zoo
from slowfast_jax.train import train
from slowfast_jax.training.checkpoint import latest_checkpoint, load_checkpoint
from slowfast_jax.training.writers import read_metrics
from tests.support.paths import ROOT
from tests.support.tiny_models import norm_entry, training_config, write_colors
from tests.support.training_runs import assert_same_run

STEPS_PER_EPOCH = 3


def fields(epochs):
    """Settings that save so often that some kills are likely to hit a save."""
    return {"train.epochs": epochs, "train.checkpoint_steps": 4, "train.checkpoint_period": 0,
            "train.eval_period": epochs // 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "colors"
    write_colors(folder)
    return folder


def whole(data, workdir, epochs):
    """Trains without interruption, in this process."""
    settings = {name.replace(".", "__"): value for name, value in fields(epochs).items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.ZOO, "test/tiny_norm", norm_entry())
        train(training_config(data, **settings), workdir)
    return workdir


@pytest.fixture(scope="module")
def short(data, tmp_path_factory):
    """The folder of an uninterrupted run of 12 epochs."""
    return whole(data, tmp_path_factory.mktemp("whole"), 12)


def start(data, workdir, epochs, program=("-m", "slowfast_jax.main")) -> subprocess.Popen:
    workdir.mkdir(exist_ok=True)
    settings = [f"--config.{name}={value}" for name, value in fields(epochs).items()]
    with (workdir / "log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, *program, "--config=tests/recipes/tiny.py",
             f"--workdir={workdir}", f"--config.data.root={data}",
             f"--config.data.path_prefix={data}", *settings],
            cwd=ROOT, env=os.environ | {"JAX_PLATFORMS": "cpu"}, stdout=log, stderr=log,
        )


def wait_for(process, workdir, text) -> None:
    deadline = time.monotonic() + 600
    while text not in (workdir / "log").read_text():
        assert process.poll() is None and time.monotonic() < deadline, (workdir / "log").read_text()
        time.sleep(0.003)


def wait_for_step(process, workdir, step) -> None:
    """Waits until this process (not an earlier one) has taken the step, or has ended."""
    deadline = time.monotonic() + 600
    while process.poll() is None:
        taken = re.findall(r"step (\d+)/", (workdir / "log").read_text())
        if taken and int(taken[-1]) >= step:
            return
        assert time.monotonic() < deadline
        time.sleep(0.003)


@pytest.mark.slow
def test_run_killed_ten_times_equals_uninterrupted_run(data, tmp_path):
    """The kills come at random steps, and at random moments within them."""
    epochs, times, workdir = 40, 10, tmp_path / "run"
    random, during_saves = np.random.default_rng(times), 0
    process, begun = start(data, workdir, epochs), 0
    for _ in range(times):
        target = begun + int(random.integers(4, epochs * STEPS_PER_EPOCH // times))
        wait_for_step(process, workdir, target)
        time.sleep(random.uniform(0, 0.03))
        assert process.poll() is None, "the run ended before it was killed"
        process.kill()
        process.wait()
        last = latest_checkpoint(workdir)
        during_saves += any(not path.name.isdecimal() for path in last.parent.iterdir())
        load_checkpoint(last)
        begun = int(last.name)
        process = start(data, workdir, epochs)
        wait_for_step(process, workdir, begun + 1)
        assert f"resuming from {last}," in (workdir / "log").read_text()
    assert process.wait() == 0, (workdir / "log").read_text()
    assert during_saves, "no kill happened during a save: save more often"
    assert_same_run(workdir, whole(data, tmp_path / "whole", epochs))


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT]
)
def test_run_saves_on_signal_and_resumes(data, short, tmp_path, number):
    process = start(data, tmp_path, 12)
    wait_for_step(process, tmp_path, 9)
    process.send_signal(number)
    assert process.wait() == 0, (tmp_path / "log").read_text()
    log = (tmp_path / "log").read_text()
    last = int(latest_checkpoint(tmp_path).name)
    assert f"stopped at step {last}; the same command resumes from there" in log
    stopping = "stopping as soon as this step is finished and saved; press Ctrl-C again to stop now"
    assert stopping in log and stopping in (tmp_path / "log.txt").read_text()
    assert 9 <= last == read_metrics(tmp_path)[-1]["step"] < 12 * STEPS_PER_EPOCH
    assert "Traceback" not in log and not (tmp_path / "results.json").exists()
    if number == signal.SIGINT:
        return  # the rest is the same for both signals
    process = start(data, tmp_path, 12)
    wait_for(process, tmp_path, "compiling the training step")
    process.send_signal(signal.SIGINT)  # nothing is lost: it ends at once
    assert process.wait() == 130
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[-1] == f"interrupted; step {last} is saved; the same command resumes from there"
    process = start(data, tmp_path, 12)
    assert process.wait() == 0 and (tmp_path / "results.json").exists()
    assert_same_run(tmp_path, short)
    assert (tmp_path / "log.txt").read_text().count("$ ") == 3  # one for each start


SLOW_VALIDATION = """
import time
from slowfast_jax.main import cli
from slowfast_jax.tasks.classification import Classification
validate = Classification.validate
def slowly(*arguments):
    time.sleep(5)
    return validate(*arguments)
Classification.validate = slowly
cli()
"""


@pytest.mark.slow
def test_ctrl_c_during_validation_ends_at_once_and_loses_nothing(data, short, tmp_path):
    process = start(data, tmp_path, 12, ("-c", SLOW_VALIDATION))
    wait_for(process, tmp_path, "validating after epoch 6")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    lines = (tmp_path / "log").read_text().splitlines()
    assert re.match(r"interrupted; step \d+ is saved; the same command resumes", lines[-1])
    assert latest_checkpoint(tmp_path).name == "18"  # also if it was not complete at the signal
    assert start(data, tmp_path, 12).wait() == 0
    assert_same_run(tmp_path, short)
