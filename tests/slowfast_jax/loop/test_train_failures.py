"""Failures in training raise one clear error, and earlier checkpoints stay valid."""

import math
import os
import resource
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.tasks import classification
from slowfast_jax.train import train
from slowfast_jax.training.checkpoint import latest_checkpoint, load_checkpoint
from slowfast_jax.training.losses import cross_entropy
from slowfast_jax.training.writers import Writers, read_metrics
from tests.support.paths import ROOT
from tests.support.tiny_models import training_config

pytestmark = pytest.mark.usefixtures("tiny_norm")


@pytest.fixture(scope="module")
def data(colors):
    return colors


@pytest.fixture
def broken(data, tmp_path):
    """The data with every third training video truncated."""
    folder = shutil.copytree(data, tmp_path / "data")
    for path in sorted((folder / "videos").glob("train_*"))[::3]:
        path.write_bytes(path.read_bytes()[:200])
    return folder


def test_non_finite_loss_stops_the_run(data, tmp_path):
    config = training_config(data, train__checkpoint_steps=1, schedule__warmup_epochs=2.0,
                             schedule__base_lr=1e30, schedule__warmup_start_lr=0.01)
    with pytest.raises(FloatingPointError) as caught:
        train(config, tmp_path)
    message, rows = str(caught.value), read_metrics(tmp_path)
    last = rows[-1]["step"]
    assert f"the loss of step {last + 1} is " in message and "gradient norm" in message
    assert "learning rate 1.66667e+29" in message or "learning rate 3.33333e+29" in message
    assert message.count("videos/train_") == 4 and "earlier checkpoints are intact" in message
    assert math.isfinite(rows[-1]["loss"])
    assert latest_checkpoint(tmp_path).name == str(last)
    variables, _ = load_checkpoint(latest_checkpoint(tmp_path))
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(variables["params"]))


def test_non_finite_gradient_is_never_saved(data, tmp_path, monkeypatch):
    def loss(logits, labels):
        return cross_entropy(logits, labels) + jnp.sqrt(0 * logits.sum())  # slope: 0 * inf

    monkeypatch.setitem(classification.LOSSES, "cross_entropy", loss)
    config = training_config(data, train__checkpoint_steps=1)
    with pytest.raises(FloatingPointError, match=r"loss of step 1 is \d.*gradient norm nan"):
        train(config, tmp_path)
    assert latest_checkpoint(tmp_path) is None and read_metrics(tmp_path) == []


def test_run_continues_with_some_broken_videos(broken, tmp_path, caplog):
    config = training_config(broken, train__epochs=2, train__max_broken=0.9)
    assert train(config, tmp_path / "run")["step"] == 6
    assert "skipped and replaced by another example" in caplog.text
    assert "train_00.mp4" in caplog.text


def test_run_stops_with_too_many_broken_videos(broken, tmp_path):
    config = training_config(broken, train__epochs=20)
    message = r"\d+ of 100 examples .*max_broken=0.01.*train_\d\d.mp4"
    with pytest.raises(RuntimeError, match=message):
        train(config, tmp_path / "run")


def test_run_stops_if_no_video_can_be_read(data, tmp_path):
    folder = shutil.copytree(data, tmp_path / "data")
    for path in (folder / "videos").glob("train_*"):
        path.write_bytes(b"no video")
    config = training_config(folder)
    with pytest.raises(RuntimeError, match="8 examples .* the first: .*train_.*mp4"):
        train(config, tmp_path / "run")


def test_too_few_examples_for_a_batch(data, tmp_path):
    config = training_config(data, train__batch_size=16)
    with pytest.raises(ValueError, match="12 examples do not fill one batch of 16"):
        train(config, tmp_path)


LARGE = 30_000  # classes, so that the head exceeds the file size limit


@pytest.mark.slow
def test_full_disk_is_a_one_line_error_with_status_1(data, tmp_path):
    train(training_config(data, model__num_classes=LARGE, train__epochs=1), tmp_path)
    result = subprocess.run(
        ["bash", "-c", 'ulimit -f 200 && exec "$@"', "bash",  # no file over 200 KiB
         sys.executable, "-m", "slowfast_jax.main", "--config=tests/recipes/tiny.py",
         f"--workdir={tmp_path}", f"--config.data.root={data}", f"--config.data.path_prefix={data}",
         f"--config.model.num_classes={LARGE}"],
        cwd=ROOT, env=os.environ | {"JAX_PLATFORMS": "cpu"}, capture_output=True, text=True,
    )
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: a checkpoint could not be written to {tmp_path}/checkpoints")
    assert "File too large" in line
    assert line.endswith(f"the last complete one is {tmp_path}/checkpoints/3")
    assert latest_checkpoint(tmp_path).name == "3"
    load_checkpoint(latest_checkpoint(tmp_path))


def test_error_writing_metrics_names_the_file(tmp_path):
    writers = Writers(tmp_path)
    writers.write(1, "train", {"loss": 1.0})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60, before[1]))
    try:
        with pytest.raises(OSError, match="metrics.jsonl"):
            writers.write(2, "train", {"loss": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    writers.close()
    assert read_metrics(tmp_path)[0] == {"step": 1, "split": "train", "loss": 1.0}
