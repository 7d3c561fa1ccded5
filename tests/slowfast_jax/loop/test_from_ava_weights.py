"""Training on a user's own boxes starts from AVA weights of Caffe2, is stopped and resumes.

The network is a small SlowFast, and the weights are random numbers under Caffe2's names.
"""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from functools import partial

import jax
import numpy as np
import pytest

from convert import export, read_checkpoint
from data_pipelines.mini.own_boxes import write_own
from data_pipelines.sources.box_tables import find_actions
from slowfast_jax.config import build_model, load_config
from slowfast_jax.training.checkpoint import latest_checkpoint, load_checkpoint
from slowfast_jax.training.writers import read_metrics
from slowfast_jax.weights import initial_variables
from tests.support.paths import ROOT
from tests.support.training_runs import assert_same_run

pytestmark = pytest.mark.slow

RECIPE = "configs/own.py:mini"
AVA_CLASSES = 80
WAIT = 600  # seconds


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with videos, train.csv, test.csv and people.csv."""
    folder = tmp_path_factory.mktemp("own") / "data"
    write_own(folder, seed=0, train_videos=4, test_videos=1, seconds=4, fps=10, height=96, width=96)
    known = find_actions([folder / "train.csv"])
    header, *rows = (folder / "test.csv").read_text().splitlines()
    rows = [row for row in rows if row.split(",")[6] in known]
    (folder / "test.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def ava(tmp_path_factory):
    """(file, variables) of a network of AVA's classes."""
    config = load_config(RECIPE)
    config.model.num_classes = AVA_CLASSES
    model = build_model(config)
    variables = initial_variables(model, 7)
    path = tmp_path_factory.mktemp("ava") / "AVA.pkl"
    network = {each.name: getattr(model, each.name) for each in dataclasses.fields(model)}
    export("caffe2", path, variables, network)
    assert read_checkpoint(path).kind == "caffe2"
    return path, variables


def start(data, weights, workdir, **fields) -> subprocess.Popen:
    settings = {
        "data.generate": "", "data.root": data, "train.init_from.path": weights,
        "train.init_from.skip": "('head/.*',)", "train.epochs": 6, "train.batch_size": 2,
        "model.num_classes": len(find_actions([data / "train.csv"])),
    } | fields
    workdir.mkdir(exist_ok=True)
    with (workdir / "log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "slowfast_jax.main", f"--config={RECIPE}",
             f"--workdir={workdir}", *(f"--config.{k}={v}" for k, v in settings.items())],
            cwd=ROOT, env=os.environ | {"JAX_PLATFORMS": "cpu"}, stdout=log, stderr=log,
        )


def finish(process, workdir):
    assert process.wait(WAIT) == 0, (workdir / "log").read_text()
    return load_checkpoint(latest_checkpoint(workdir))[0]


def test_training_starts_at_the_weights(data, ava, tmp_path):
    path, expected = ava
    still = {"schedule.base_lr": 1e-30, "schedule.warmup_epochs": 0, "train.epochs": 1}
    begun = finish(start(data, path, tmp_path, **still), tmp_path)
    ours, theirs = begun["params"], expected["params"]
    assert ours.pop("head")["projection"]["kernel"].shape[-1] < AVA_CLASSES
    del theirs["head"]
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-20), ours, theirs)


def test_a_run_that_is_stopped_continues(data, ava, tmp_path):
    path, _ = ava
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    finish(start(data, path, whole), whole)
    steps = [row["step"] for row in read_metrics(whole) if row["split"] == "train"]

    process = start(data, path, stopped)
    deadline = time.monotonic() + WAIT
    while "epoch 1 of 6 took" not in (stopped / "log").read_text():
        assert process.poll() is None and time.monotonic() < deadline, (stopped / "log").read_text()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.wait(WAIT)
    assert latest_checkpoint(stopped) and int(latest_checkpoint(stopped).name) < steps[-1]
    path.rename(path.with_suffix(".gone"))  # the run needs the weights no more
    try:
        finish(start(data, path, stopped), stopped)
    finally:
        path.with_suffix(".gone").rename(path)
    assert_same_run(stopped, whole)
