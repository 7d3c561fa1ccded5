"""Worker processes load the batches of one process; what happens when one or the program dies."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from data_pipelines.loading.batches import batches, batches_in_order, most_held
from data_pipelines.loading.order import Order
from data_pipelines.video.decoding import VideoError
from tests.support.paths import ROOT

ORDER = dict(batch_size=3, seed=5)


def loader(log=None):
    """A load function whose examples hold its arguments and process id.

    With `log`, it appends a byte to that file per example; without, every fourth example is broken.
    """

    def load(index, generator):
        if log is not None:
            with open(log, "ab") as file:
                file.write(b".")
        elif index % 4 == 3:
            raise VideoError(f"{index}.mp4", "is broken")
        draw = -1.0 if generator is None else generator.random()
        clip = np.full((64, 64), index % 256, np.uint8)
        return {"clip": clip, "draw": np.float64(draw), "process": os.getpid(),
                "platform": os.environ.get("JAX_PLATFORMS", "")}

    return load


def take(count, order, **options):
    stream = batches(order, loader(), **options)
    found = [next(stream) for _ in range(count)]
    stream.close()
    return found


def test_workers_give_the_batches_of_one_process():
    alone = take(8, Order(11, **ORDER))
    for workers in (1, 2):
        shared = take(8, Order(11, **ORDER), workers=workers, threads=2)
        assert {len(set(b["process"])) for b in shared} == {workers}
        assert os.getpid() not in np.concatenate([b["process"] for b in shared])
        assert set(np.concatenate([b["platform"] for b in shared])) == {"cpu"}
        for name in ("index", "clip", "draw", "broken"):
            for ours, theirs in zip(alone, shared, strict=True):
                np.testing.assert_array_equal(ours[name], theirs[name])
    resumed = take(3, Order(11, **ORDER, first_step=5), workers=2)
    for ours, theirs in zip(alone[5:], resumed, strict=True):
        np.testing.assert_array_equal(ours["draw"], theirs["draw"])


@pytest.mark.slow
def test_workers_evaluate_in_order():
    alone, shared = (
        list(batches_in_order(6, loader(), batch_size=4, workers=workers)) for workers in (0, 2)
    )
    assert len(alone) == len(shared) == 2
    for ours, theirs in zip(alone, shared, strict=True):
        assert ours["broken"] == theirs["broken"]
        for name in ("index", "clip", "mask"):
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_errors_of_a_worker_are_raised():
    def none(index, generator):
        raise VideoError(f"{index}.mp4", "no such file")

    with pytest.raises(RuntimeError, match="8 examples in a row cannot be read.* no such file"):
        next(batches(Order(9, **ORDER), none, workers=1))


def test_a_killed_worker_ends_the_run():
    stream = batches(Order(11, **ORDER), loader(), workers=2)
    victim = int(next(stream)["process"][0])
    os.kill(victim, signal.SIGKILL)
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match="process that loads data died .*config.train.workers"):
        for _ in range(100):
            next(stream)
    assert time.monotonic() - begin < 30
    stream.close()


def die_with_lock(index, generator):
    """Kills the worker while it holds the lock with which Grain tells it to end."""
    if index == 7:
        frame = sys._current_frames()[threading.main_thread().ident]
        while frame.f_code.co_name != "_put_dataset_elements_in_buffer":
            frame = frame.f_back
        frame.f_locals["should_stop"]._cond.acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"clip": np.zeros(4)}


@pytest.mark.slow
def test_a_worker_killed_with_a_lock_ends_the_run(tmp_path):
    """Grain itself waits for the lock forever, and again when the program ends."""
    program = run_program(
        tmp_path,
        "from tests.data_pipelines.loading.test_workers import die_with_lock\n"
        "    from data_pipelines.loading import watching\n"
        "    stream.close(); watching.REPORT = 2.0\n"
        "    list(batches(Order(11, batch_size=3, seed=5), die_with_lock, workers=2))",
    )
    program.stdout.readline()
    _, errors = program.communicate(timeout=60)
    assert program.returncode == 1
    assert "a process that loads data died" in errors and "exit code -9" in errors


@pytest.mark.parametrize("workers", [0, 2])
def test_most_held_bounds_the_elements_in_memory(workers, tmp_path):
    log = tmp_path / "loaded"
    stream = batches(Order(400, batch_size=4, seed=0), loader(log), threads=2, workers=workers)
    for _ in range(3):
        next(stream)
    size = -1
    while size != (size := log.stat().st_size):  # until no more is loaded
        time.sleep(1)
    assert 0 < size - 3 * 4 <= most_held(4, threads=2, workers=workers)
    stream.close()


PROGRAM = """
import sys
from data_pipelines.loading.batches import batches
from data_pipelines.loading.order import Order
from tests.data_pipelines.loading.test_workers import loader

if __name__ == "__main__":
    stream = batches(Order(11, batch_size=3, seed=5), loader(), workers=2)
    print(*next(stream)["process"], flush=True)
    {ending}
"""


def run_program(tmp_path, ending):
    (tmp_path / "program.py").write_text(PROGRAM.format(ending=ending))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, tmp_path / "program.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=environment, text=True, start_new_session=True,
    )


def ended(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for_end(processes, seconds=15):
    end = time.monotonic() + seconds
    while not all(map(ended, processes)):
        assert time.monotonic() < end, "worker processes are still running"
        time.sleep(0.1)


def test_workers_end_with_a_killed_program(tmp_path):
    program = run_program(tmp_path, "input()")
    processes = {int(p) for p in program.stdout.readline().split()}
    program.kill()
    program.communicate()
    wait_for_end(processes)


def test_workers_keep_loading_after_sigterm(tmp_path):
    program = run_program(
        tmp_path,
        "import signal; signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "    print('ready', flush=True); sys.stdin.readline()\n"
        "    [next(stream) for _ in range(20)]; print('read on')",
    )
    processes = {int(p) for p in program.stdout.readline().split()}
    assert program.stdout.readline() == "ready\n"
    os.killpg(program.pid, signal.SIGTERM)
    time.sleep(0.5)
    print(file=program.stdin, flush=True)
    assert program.stdout.readline() == "read on\n"
    assert program.wait(60) == 0, program.stderr.read()
    wait_for_end(processes)
