"""A run of two processes that fails in many ways ends in the state of an undisturbed run.

Ten times, one of the processes is killed at a random moment. Then a checkpoint is truncated, the
disk is full, and SIGTERM arrives. After each failure the same command resumes the run.
"""

import random
import re
import signal
import time

import pytest

from slowfast_jax.training.checkpoint import latest_checkpoint
from slowfast_jax.training.writers import read_metrics
from tests.slowfast_jax.loop.test_train_recovery import truncate
from tests.support.subprocesses import Run
from tests.support.tiny_models import write_colors
from tests.support.training_runs import assert_same_run

pytestmark = pytest.mark.slow

KILLS, EPOCHS, PER_EPOCH, INTERVAL = 10, 60, 3, 4
CLASSES = 30_000  # makes the head larger than the file size limit below
FULL = 200_000  # bytes; no file grows beyond this on the "full" disk
FULL_DISK = f"""
import resource
from slowfast_jax.main import cli
resource.setrlimit(resource.RLIMIT_FSIZE, ({FULL}, {FULL}))
cli()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drill")
    write_colors(folder / "data", train=24)
    return folder


def begin(folder, name, **options) -> Run:
    data, train = folder / "data", dict(
        batch_size=8, epochs=EPOCHS, eval_period=EPOCHS, checkpoint_period=0,
        checkpoint_steps=INTERVAL, log_period=1, keep_last=3, watchdog_seconds=60,
    )
    return Run(folder / name, [
        "--config=tests/recipes/tiny.py", f"--workdir={folder / name}",
        f"--config.data.root={data}", f"--config.data.path_prefix={data}",
        f"--config.model.num_classes={CLASSES}", "--config.schedule.base_lr=0.02",
        *(f"--config.train.{key}={value}" for key, value in train.items()),
    ], **options)


def steps_seen(run: Run) -> int:
    return max(map(int, re.findall(r"step (\d+)/", run.text(0))), default=0)


def begun_at(run: Run) -> int:
    match = re.search(r"resuming from .*checkpoints/(\d+),", run.text(0))
    return int(match[1]) if match else 0


def wait_for_step(run: Run, step: int) -> None:
    deadline = time.monotonic() + 300
    while steps_seen(run) < step:
        assert all(p.poll() is None for p in run.processes), run.text(0) + run.text(1)
        assert time.monotonic() < deadline, run.text(0)
        time.sleep(0.01)


def test_the_drill(folder):
    undisturbed = begin(folder, "undisturbed")
    assert undisturbed.wait() == [0, 0], undisturbed.text(0) + undisturbed.text(1)

    chance, reached = random.Random(0), 0
    for number in range(KILLS):
        run = begin(folder, "run")
        wait_for_step(run, min(reached + chance.randint(2, 12), EPOCHS * PER_EPOCH - 20))
        time.sleep(chance.uniform(0, 0.2))
        run.processes[chance.randrange(2)].kill()
        statuses = run.wait()
        assert -signal.SIGKILL in statuses and 0 not in statuses, (number, statuses)
        assert_nothing_lost(run, reached)
        reached = max(reached, steps_seen(run))

    last = latest_checkpoint(folder / "run")
    for item in ("params", "opt_state"):
        truncate(last / item)
    run = begin(folder, "run", program=("-c", FULL_DISK))
    statuses = run.wait()
    assert statuses == [1, 1], run.text(0) + run.text(1)
    assert f"{last.name} cannot be read and is now {last.name}.unreadable" in run.text(0)
    assert "File too large" in run.text(0) + run.text(1)
    assert latest_checkpoint(folder / "run") is not None

    run = begin(folder, "run")
    wait_for_step(run, reached + 3)
    run.processes[1].send_signal(signal.SIGTERM)
    assert run.wait() == [0, 0], run.text(0) + run.text(1)
    stopped = steps_seen(run)
    assert latest_checkpoint(folder / "run").name == str(stopped)

    run = begin(folder, "run")
    assert run.wait() == [0, 0], run.text(0) + run.text(1)
    assert begun_at(run) == stopped
    assert_same_run(folder / "run", folder / "undisturbed")
    losses = [row["loss"] for row in read_metrics(folder / "run") if row["split"] == "train"]
    assert len(losses) == EPOCHS * PER_EPOCH


def assert_nothing_lost(run: Run, reached: int) -> None:
    """Checks that a kill costs two save intervals at most: the last save may be incomplete."""
    assert begun_at(run) >= reached - 2 * INTERVAL, (begun_at(run), reached)
