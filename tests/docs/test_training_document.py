"""The commands and the task of docs/training.md that no other test runs."""

import re
import subprocess

import jax
import numpy as np
import pytest

from data_pipelines.mini import datasets
from slowfast_jax.config import build_model, load_config
from slowfast_jax.data.keyframe_lists import find_keyframes
from slowfast_jax.loop.build import optimizer_of
from slowfast_jax.training.state import create_state
from slowfast_jax.training.step import make_train_step
from tests.support.paths import ROOT
from tests.support.tiny_models import training_config

TEXT = (ROOT / "docs/training.md").read_text(encoding="utf-8")


def test_leaving_videos_out(tmp_path):
    copy, prune = re.findall(r"^    (cp .*|sed .*)$", TEXT, re.MULTILINE)
    (directory,) = re.findall(r"--config\.data\.annotation_dir=(\w+)", TEXT)
    data = tmp_path / "AVA"
    datasets.write_ava(
        data, seed=0, train_videos=3, val_videos=2, seconds=4, fps=5, height=48, width=64
    )
    for name in ("train_001", "train_002", "val_000"):
        (data / f"videos/{name}.mp4").unlink()
    prune = prune.replace("-5KQ66BBWC4|1j20qq1JyX4", "train_000|val_001")
    for command in (copy, prune):
        subprocess.run(command, shell=True, check=True, cwd=tmp_path)

    config = load_config(f"{ROOT}/configs/ava.py:mini")
    config.data.update(root=str(data), generate="", annotation_dir=directory)
    for subset, video in (("train", "train_000"), ("test", "val_001")):
        found = find_keyframes(config, None, subset)
        assert {(k.video, k.time) for k in found.keyframes} == {(video, 902.0), (video, 903.0)}
    assert {video for video, _ in found.ground_truth.keyframes} == {"val_001"}


@pytest.mark.slow
def test_adding_a_task(tiny_norm, tmp_path):
    """The task of the document counts the classes of every batch that it trains on."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names = {}
    exec(code, names)
    config = training_config(tmp_path, augment={})
    model = build_model(config, group_size=config.norm.group_size)
    task, optimizer = names["BalancedSoftmax"](config), optimizer_of(config, model)
    batch = {
        "clip": np.random.default_rng(0).integers(0, 256, (4, 4, 16, 16, 3), np.uint8),
        "label": np.array([0, 1, 1, 3]),
    }
    variables = model.init(jax.random.key(0), batch["clip"])
    state = create_state(variables, optimizer, extra=task.initial_extra(model, variables))
    step = jax.jit(make_train_step(model, optimizer, task.loss))
    for _ in range(2):
        state, metrics = step(state, batch, 0.1, jax.random.key(0))
    assert state.extra["counts"].tolist() == [3, 5, 1, 3]
    assert np.isfinite(metrics["loss"]) and metrics["rarest"] == 1
