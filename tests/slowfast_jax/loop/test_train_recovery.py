"""Unreadable checkpoints, errors between checkpoints, and optional outputs of a run."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from data_pipelines.loading import batches
from data_pipelines.loading.batches import Examples
from slowfast_jax.config import ConfigError, training_plan
from slowfast_jax.loop.build import check_batches
from slowfast_jax.train import train
from slowfast_jax.training.checkpoint import latest_checkpoint, load_checkpoint
from slowfast_jax.training.sharding import make_mesh
from tests.support.tiny_models import training_config
from tests.support.training_runs import assert_same_run

pytestmark = pytest.mark.usefixtures("tiny_norm")
EPOCHS = 3  # of three steps


@pytest.fixture(scope="module")
def config_of(colors):
    def make(**fields):
        return training_config(
            colors, train__epochs=EPOCHS, train__checkpoint_steps=2, train__keep_last=9,
            train__eval_period=EPOCHS, norm__precise=False, **fields,
        )

    return make


@pytest.fixture(scope="module")
def whole(config_of, tmp_path_factory):
    """An uninterrupted run, with checkpoints after steps 2, 3, 4, 6, 8 and 9."""
    folder = tmp_path_factory.mktemp("whole")
    train(config_of(), folder)
    return folder


def truncate(folder: Path) -> None:
    """Cuts the largest files of an Orbax item in half: several, because Orbax stores some twice."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    most = max(path.stat().st_size for path in files)
    for path in files:
        if path.stat().st_size == most:
            path.write_bytes(path.read_bytes()[: most // 2])


@pytest.mark.parametrize("item", ["params", "opt_state", "metadata"])
def test_unreadable_checkpoint_falls_back_to_the_previous_one(
    config_of, whole, tmp_path, caplog, item
):
    workdir = shutil.copytree(whole, tmp_path / "run")
    for step in (9, 8):
        shutil.rmtree(workdir / "checkpoints" / str(step))
    truncate(workdir / "checkpoints" / "6" / item)
    train(config_of(), workdir)
    assert "6 cannot be read and is now 6.unreadable" in caplog.text
    assert (workdir / "checkpoints" / "6.unreadable").is_dir()
    assert_same_run(workdir, whole)


def test_run_without_a_readable_checkpoint_does_not_restart(config_of, whole, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(whole / "checkpoints" / "4", workdir / "checkpoints" / "4")
    truncate(workdir / "checkpoints" / "4" / "params")
    with pytest.raises(OSError, match="none of the checkpoints in .*run/checkpoints can be read"):
        train(config_of(), workdir)
    assert (workdir / "checkpoints" / "4.unreadable" / "params").is_dir()


def test_error_in_loading_loses_no_step(config_of, whole, tmp_path, monkeypatch, caplog):
    """Step 5 is done and loading step 6 fails; the last save was after step 4."""
    stack = batches.stack

    def fails_late(elements, clips=1):
        fails_late.calls += 1
        if fails_late.calls > 5:
            raise RuntimeError("the cable was pulled")
        return stack(elements, clips)

    fails_late.calls = 0
    with monkeypatch.context() as patch:
        patch.setattr(batches, "stack", fails_late)
        with pytest.raises(RuntimeError, match="the cable was pulled"):
            train(config_of(), tmp_path)
    assert latest_checkpoint(tmp_path).name == "5"
    caplog.set_level("INFO", "absl")
    train(config_of(), tmp_path)
    assert_same_run(tmp_path, whole)
    assert "the rest of epoch 2 of 3 took 0:00:" in caplog.text
    assert any(text.startswith("epoch 3 of 3 took 0:00:") for text in caplog.messages)


def test_divergence_is_recorded(colors, tmp_path):
    config = training_config(colors, schedule__warmup_epochs=2.0, schedule__base_lr=1e30,
                             schedule__warmup_start_lr=0.01)
    with pytest.raises(FloatingPointError) as caught:
        train(config, tmp_path)
    record = json.loads((tmp_path / "diverged.json").read_text())
    assert f"the loss of step {record['step']} is" in str(caught.value)
    assert len(record["examples"]) == 4 and all("train_" in name for name in record["examples"])
    assert record["lr"] > 1e29 and not np.isfinite(float(record["loss"] + record["grad_norm"]))


def test_summary_period_writes_histograms_and_images(colors, tmp_path, monkeypatch):
    added = []
    board = "slowfast_jax.training.writers.SummaryWriter"
    monkeypatch.setattr(f"{board}.add_histogram", lambda *a: added.append((a[1], a[3], a[2].shape)))
    monkeypatch.setattr(
        f"{board}.add_image", lambda *a, dataformats: added.append((a[1], a[3], a[2].shape))
    )
    train(training_config(colors, train__epochs=4, train__summary_period=2), tmp_path)
    assert ("params/a/kernel", 6, (1, 3, 3, 3, 8)) in added
    assert ("clips", 12, (4 * 16, 4 * 16, 3)) in added  # 4 clips of 4 frames
    assert {step for _, step, _ in added} == {6, 12}


@pytest.mark.parametrize("field, value, message", [
    ("profile_steps", "5", "config.profile_steps is '5', expected FIRST:END"),
    ("train__accumulate", 3,
     "config.train.accumulate is 3, but a batch of 4 clips cannot be split into 3 parts"),
    ("train__average", 1.0, r"config.train.average is 1.0, expected 0 \(none\) or below 1"),
    ("mesh__fsdp", 3, "config.mesh: fsdp 3 x spatial 1 makes 3, which does not fit 1 devices"),
])
def test_invalid_fields_are_refused(colors, tmp_path, field, value, message):
    with pytest.raises(ConfigError, match=message):
        train(training_config(colors, **{field: value}), tmp_path)


@pytest.mark.parametrize("sizes, message", [
    ((3, 1, 1), "a batch of 4 clips cannot be split over 3 devices"),
    ((1, 1, 3), "config.mesh.spatial is 3, expected a divisor of the crop size, 16"),
])
def test_batches_indivisible_by_the_mesh_are_refused(colors, sizes, message):
    class Device:
        process_index = 0

    config = training_config(colors)
    mesh = make_mesh(*sizes, devices=[Device() for _ in range(3)])
    examples = Examples(12, load=None, name=None)
    with pytest.raises(ConfigError, match=message):
        check_batches(config, training_plan(config), examples, mesh)


@pytest.mark.slow
def test_saved_params_are_the_moving_average(colors, tmp_path):
    averaged, plain = tmp_path / "averaged", tmp_path / "plain"
    train(training_config(colors, train__epochs=2, train__average=0.5), averaged)
    train(training_config(colors, train__epochs=2), plain)
    found, expected = (load_checkpoint(latest_checkpoint(f))[0] for f in (averaged, plain))
    assert (latest_checkpoint(averaged) / "average").is_dir()
    apart = jax.tree.map(lambda a, b: np.abs(a - b).max(), found["params"], expected["params"])
    assert min(jax.tree.leaves(apart)) > 0
    longer = training_config(colors, train__epochs=4, train__average=0.5)
    assert train(longer, averaged)["step"] == 12  # resumes
    with pytest.raises(ConfigError, match="config.train.average was unset and is set"):
        train(longer, plain)
