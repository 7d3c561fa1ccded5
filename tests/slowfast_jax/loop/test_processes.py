"""A run of two real processes gives the results of one process, and both end together."""

import csv
import json
import re
import signal
import time

import numpy as np
import pytest

from data_pipelines.mini import datasets
from slowfast_jax.config import load_config
from slowfast_jax.training.checkpoint import latest_checkpoint
from slowfast_jax.training.writers import read_metrics
from tests.support.paths import ROOT
from tests.support.subprocesses import Run
from tests.support.tiny_models import write_colors

# Starting and compiling two processes is slow.
pytestmark = pytest.mark.slow

TOLERANCE = 1e-4
EPOCHS, PER_EPOCH = 12, 3
CLOCKS = {"clips_per_second", "data_wait", "memory_gb"}
# Before the fourth step, process 1 waits for data that never comes.
HANGS = """
import sys, time
from slowfast_jax import train
from slowfast_jax.main import cli
def stream(*arguments, whole=train.on_devices):
    for number, batch in enumerate(whole(*arguments)):
        if number == 3 and "--process_id=1" in sys.argv:
            time.sleep(1000)
        yield batch
train.on_devices = stream
cli()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    write_colors(folder / "data", train=24, val=7)  # 7 is not divisible by 2
    (folder / "data" / "videos" / "val_04.mp4").write_bytes(b"broken")
    return folder


def begin(folder, name, *more, **options) -> Run:
    data = folder / "data"
    return Run(folder / name, [
        "--config=tests/recipes/tiny.py", f"--workdir={folder / name}",
        f"--config.data.root={data}", f"--config.data.path_prefix={data}",
        "--config.train.batch_size=8", f"--config.train.epochs={EPOCHS}",
        "--config.train.eval_period=6",
        "--config.schedule.base_lr=0.02", "--config.train.watchdog_seconds=15", *more,
    ], **options)


@pytest.fixture(scope="module")
def one(folder):
    run = begin(folder, "one", "--save_scores", processes=1)
    assert run.wait() == [0], run.text(0)
    return folder / "one"


@pytest.fixture(scope="module")
def two(folder):
    run = begin(folder, "two", "--save_scores")
    assert run.wait() == [0, 0], run.text(0) + run.text(1)
    return run


def rows(workdir) -> list[dict]:
    return [
        {k: v for k, v in row.items() if not k.startswith(tuple(CLOCKS))}
        for row in read_metrics(workdir)
    ]


def assert_same_rows(actual, expected):
    ours, theirs = rows(actual), rows(expected)
    assert [list(row) for row in ours] == [list(row) for row in theirs]
    assert len([row for row in ours if row["split"] == "train"]) == EPOCHS * PER_EPOCH
    for row, other in zip(ours, theirs, strict=True):
        for name, value in row.items():
            if isinstance(value, float):
                np.testing.assert_allclose(value, other[name], rtol=0, atol=TOLERANCE, err_msg=name)
            else:
                assert value == other[name], name


def results(workdir) -> dict:
    found = json.loads((workdir / "results.json").read_text())
    for name in ("weights", "weights_sha256"):  # they differ by rounding
        del found["fingerprint"][name]
    del found["timing"]
    return found


def test_two_processes_train_as_one(one, two, folder):
    assert_same_rows(folder / "two", one)
    for row in read_metrics(folder / "two"):
        waits = {name for name in row if name.startswith("data_wait_of")}
        assert len(waits) == (2 if row["split"] == "train" else 0)


def test_two_processes_test_as_one(one, two, folder):
    ours, theirs = results(folder / "two"), results(one)
    assert ours["failed"] == theirs["failed"] and [f["video_id"] for f in ours["failed"]] == [4]
    assert [row["video_id"] for row in ours["videos"]] == [0, 1, 2, 3, 5, 6]
    assert ours["metrics"] == theirs["metrics"] and ours["metrics"]["num_videos"] == 6
    assert ours["fingerprint"] == theirs["fingerprint"]
    scores = [np.load(path / "scores.npz") for path in (folder / "two", one)]
    np.testing.assert_allclose(*(s["scores"] for s in scores), rtol=0, atol=TOLERANCE)
    assert list(scores[0]["paths"]) == list(scores[1]["paths"])


def test_the_first_process_alone_writes(two, folder):
    assert len(list((folder / "two" / "tensorboard").iterdir())) == 2  # of training and of the test
    # Without Gloo's lines, which may be split anywhere.
    begins = re.compile(r"\d\d:\d\d:\d\d |\w*error")
    lines = [line for line in two.text(1).splitlines() if begins.match(line)]
    assert "connecting to the other processes (flags), coordinator 127.0.0.1:" in lines[0]
    assert "process 1 of 2: 2 of 4 devices (cpu)" in lines[1]
    for line in lines[2:]:  # unreadable videos of its share of the two validations
        assert "val_04.mp4: cannot be opened" in line
    assert "process 0 of 2: 2 of 4 devices (cpu)" in two.text(0)
    assert two.text(0).count('{"views"') == 1


def test_a_problem_that_one_process_finds_ends_all(folder):
    slow = "--config.train.watchdog_seconds=120"
    run = begin(folder, "problem", slow, own={1: ["--config.data.val_list=gone.csv"]})
    zero, one = run.wait()
    assert one == 2 and zero != 0, run.text(0) + run.text(1)
    assert "gone.csv: no such list" in run.text(1) and "Traceback" not in run.text(0)
    assert not (folder / "problem/metrics.jsonl").exists()
    lists = "--config.data.val_list=gone.csv", "--config.data.test_list=gone_too.csv"
    run = begin(folder, "problems", slow, *lists)
    assert 2 in run.wait()  # the first process that ends may end the other
    assert "error: 2 problems:\n  - " in run.text(0) + run.text(1)


@pytest.fixture(scope="module")
def x3d_schedule() -> list[str]:
    """The learning rate of X3D, which the original sets per machine, with a short warm-up."""
    schedule = load_config(f"{ROOT}/configs/kinetics.py:x3d_xs").schedule
    assert schedule.reference_batch
    fields = schedule.to_dict() | {"warmup_epochs": 2.0, "reference_batch": 16}
    return [f"--config.schedule.{name}={value}" for name, value in fields.items()]


@pytest.fixture(scope="module")
def one_with_x3d_schedule(folder, x3d_schedule):
    run = begin(folder, "x3d 1", *x3d_schedule, processes=1, devices=1)
    assert run.wait() == [0], run.text(0)
    return folder / "x3d 1"


@pytest.mark.parametrize("processes", [2, 4])
def test_the_rate_follows_the_batch_and_not_the_processes(
    one_with_x3d_schedule, folder, x3d_schedule, processes
):
    """Batches have 8 clips in all runs, half of those that the rate is for."""
    name = f"x3d {processes}"
    run = begin(folder, name, *x3d_schedule, processes=processes, devices=1)
    assert run.wait() == [0] * processes, run.text(0)
    rates = [row["lr"] for row in rows(folder / name) if row["split"] == "train"]
    assert rates == [row["lr"] for row in rows(one_with_x3d_schedule) if row["split"] == "train"]
    assert 0.04 < max(rates) <= 0.05  # half of base_lr, 0.1
    assert_same_rows(folder / name, one_with_x3d_schedule)


@pytest.mark.parametrize(("number", "before", "after"), [
    (signal.SIGTERM, 2, 1), (signal.SIGINT, 1, 2), (signal.SIGINT, 2, 2),
])
def test_a_run_resumes_with_another_number_of_processes(one, folder, number, before, after):
    name = f"{number.name} {before} {after}"
    run = begin(folder, name, processes=before, devices=2)
    run.wait_for(rf"step 9/{EPOCHS * PER_EPOCH}")
    run.processes[-1].send_signal(number)
    assert run.wait() == [0] * before, run.text(0)
    last = int(latest_checkpoint(folder / name).name)
    assert 9 <= last < EPOCHS * PER_EPOCH
    assert f"stopped at step {last}; the same command resumes from there" in run.text(0)
    run = begin(folder, name, processes=after, devices=1)
    assert run.wait() == [0] * after, run.text(0)
    assert f"resuming from {folder / name / 'checkpoints' / str(last)}" in run.text(0)
    assert_same_rows(folder / name, one)


@pytest.mark.parametrize("interrupted", [(0,), (1,), (0, 1)])
def test_ctrl_c_in_a_test_ends_all(two, folder, interrupted):
    workdir, weights = folder / "interrupted", latest_checkpoint(folder / "two")
    run = begin(
        folder, f"eval {interrupted}", "--mode=eval", f"--weights={weights}",
        f"--workdir={workdir}",
    )
    run.wait_for("running on")
    for process in interrupted:
        run.processes[process].send_signal(signal.SIGINT)
    assert run.wait() == [130 if i in interrupted else 1 for i in range(2)]
    for i in range(2):
        lines = [line for line in run.text(i).splitlines() if "Gloo" not in line]
        if i in interrupted:
            left = "interrupted; the results of this test were not written; "
            assert lines[-1] == left + "the same command resumes it"
        else:
            assert f"error: process {interrupted[0]} of 2 stopped: Ctrl-C" in lines[-1]


WIDE = "--config.model.num_classes=2000"  # a head that is large enough to be split


@pytest.fixture(scope="module")
def one_wide(folder):
    run = begin(folder, "one wide", WIDE, processes=1, devices=1)
    assert run.wait() == [0], run.text(0)
    return folder / "one wide"


@pytest.mark.parametrize("mesh", [{"fsdp": 4}, {"fsdp": 2}, {"spatial": 2}])
def test_every_mesh_over_two_processes(one_wide, folder, mesh):
    """The interrupted run resumes in one process whose mesh has only a data axis."""
    (axis, size), = mesh.items()
    name = f"{axis}{size}"
    run = begin(folder, name, WIDE, f"--config.mesh.{axis}={size}")
    run.wait_for(rf"step 20/{EPOCHS * PER_EPOCH}")
    run.processes[0].send_signal(signal.SIGTERM)
    assert run.wait() == [0, 0], run.text(0) + run.text(1)
    assert 20 <= int(latest_checkpoint(folder / name).name) < EPOCHS * PER_EPOCH
    run = begin(folder, name, WIDE, processes=1, devices=2)
    assert run.wait() == [0], run.text(0)
    assert_same_rows(folder / name, one_wide)


def end_of(run: Run, statuses) -> None:
    assert run.wait() == statuses, run.text(0) + run.text(1)


@pytest.mark.parametrize("process", [0, 1])
def test_an_error_in_one_process_ends_all(folder, process):
    garbage = folder / "garbage"
    for video in folder.glob("data/videos/*"):
        (garbage / "videos").mkdir(parents=True, exist_ok=True)
        (garbage / "videos" / video.name).write_bytes(b"not a video")
    run = begin(
        folder, f"broken {process}", own={process: [f"--config.data.path_prefix={garbage}"]}
    )
    end_of(run, [1, 1])
    assert "error: 8 examples in a row cannot be read" in run.text(process)
    assert f"error: process {process} of 2 stopped: RuntimeError: 8 examp" in run.text(1 - process)
    assert "Traceback" not in run.text(0) + run.text(1)


def test_a_wrong_flag_in_one_process_ends_all(folder):
    run = begin(
        folder, "flag", "--meeting_seconds=5", own={1: ["--config.optimizer.name=sdg"]}
    )
    end_of(run, [2, 2])
    assert "error: --config.optimizer.name is sdg" in run.text(1)
    assert "waited 5 s (--meeting_seconds) for the other" in run.text(0)


@pytest.mark.parametrize("process", [0, 1])
def test_a_killed_process_ends_all(folder, process):
    run = begin(folder, f"killed {process}")
    run.wait_for(r"step 9/")
    run.processes[process].kill()
    start = time.monotonic()
    run.processes[1 - process].wait(120)
    assert time.monotonic() - start < 30
    text = run.text(1 - process)
    if process == 0:  # it was JAX's coordinator: JAX ends the other at once
        end_of(run, [-signal.SIGKILL, 1])
        assert "the leader task was preempted/died" in text
        last = text.splitlines()[-1]
        assert last.startswith("error: JAX ended process 1 of 2 for the reason above; if it names")
    else:
        end_of(run, [1, -signal.SIGKILL])
        assert "error: process 1 of 2 stopped: no sign of life for 7.5 s, last at " in text
    assert latest_checkpoint(folder / f"killed {process}")


@pytest.mark.parametrize("process", [0, 1])
def test_a_frozen_process_ends_the_others(folder, process):
    run = begin(folder, f"frozen {process}")
    run.wait_for(r"step 9/")
    run.processes[process].send_signal(signal.SIGSTOP)
    start = time.monotonic()
    assert run.processes[1 - process].wait(120) == 1
    assert time.monotonic() - start < 30
    run.processes[process].kill()
    text = run.text(1 - process)
    assert f"error: process {process} of 2 stopped: no sign of life for 7.5 s, last at " in text


def test_a_process_that_hangs_ends_all(folder):
    run = begin(folder, "hangs", program=("-c", HANGS))
    end_of(run, [1, 1])
    reason = r"process 1 of 2 made no progress for 15 s \(config.train.watchdog_seconds\): "
    reason += "at the data of step 4"
    assert re.search(reason + ", where the others wait", run.text(0))
    assert re.search(reason, run.text(1))


def test_detection_in_two_processes(tmp_path):
    datasets.write_ava(tmp_path / "data", seed=0, train_videos=2, val_videos=3, seconds=5)
    for name, processes in (("one", 1), ("two", 2)):
        run = Run(tmp_path / name, [
            "--config=tests/recipes/boxes.py", f"--workdir={tmp_path / name}",
            f"--config.data.root={tmp_path / 'data'}", "--save_scores",
        ], processes=processes)
        assert run.wait() == [0] * processes, run.text(0)
    losses, maps = [], []
    for name in ("one", "two"):
        found = read_metrics(tmp_path / name)
        losses.append([row["loss"] for row in found if row["split"] == "train"])
        maps.append([row["map"] for row in found if row["split"] == "val"])
    np.testing.assert_allclose(*losses, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(*maps, rtol=0, atol=1e-6)
    ours, theirs = results(tmp_path / "two"), results(tmp_path / "one")
    assert ours["metrics"]["num_keyframes"] == theirs["metrics"]["num_keyframes"] > 2
    assert ours["metrics"]["map"] == pytest.approx(theirs["metrics"]["map"], abs=1e-6)
    tables = [list(csv.reader((tmp_path / name / "detections.csv").open()))
              for name in ("one", "two")]
    assert [row[:7] for row in tables[0]] == [row[:7] for row in tables[1]]
    np.testing.assert_allclose(
        *([float(row[7]) for row in table] for table in tables), rtol=0, atol=TOLERANCE
    )
