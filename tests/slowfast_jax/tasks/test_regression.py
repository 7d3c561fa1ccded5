"""A regression task defined in one file trains a network defined in another.

Nothing else changes: the network becomes an entry of the zoo, and the task one of TASKS.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.loading.batches import Examples
from slowfast_jax import tasks
from slowfast_jax.models import zoo
from slowfast_jax.recognizer import load
from slowfast_jax.tasks.base import Task
from slowfast_jax.train import train
from slowfast_jax.training.checkpoint import latest_checkpoint
from slowfast_jax.training.losses import LOSSES
from slowfast_jax.training.writers import read_metrics
from tests.support import two_block_vit
from tests.support.tiny_models import training_config

CLIPS = 192


class Regression(Task):
    """Predicts the brightness (0..1) of each of two halves of a clip."""

    headline = "minus_error"

    def training_examples(self, found):
        clips, targets = data(0)

        def load(index, generator, shape=None):
            return {"clip": clips[index], "label": targets[index]}

        return Examples(CLIPS, load, lambda index: f"clip {index}"), []

    def objective(self, logits, endpoints, batch):
        loss = LOSSES["mse"](logits, batch["label"])
        return loss, {"absolute_error": jnp.abs(logits - batch["label"]).mean()}

    def validate(self, predictor, variables, extra, found):
        clips, targets = data(1)
        error = np.abs(np.asarray(predictor(variables, clips)) - targets).mean()
        return {"minus_error": -float(error), "num_videos": len(clips)}


def data(seed):
    """(clips, brightness of the left and the right half of each)."""
    rng = np.random.default_rng(seed)
    targets = rng.uniform(0, 1, (CLIPS, 2)).astype(np.float32)
    halves = np.repeat(targets, 16, axis=1)[:, None, None, :, None]  # (N, 1, 1, W, 1)
    noise = rng.normal(0, 10, (CLIPS, 4, 32, 32, 3))
    return np.clip(255 * halves + noise, 0, 255).astype(np.uint8), targets


@pytest.fixture
def config(monkeypatch, tmp_path):
    entry = two_block_vit.entry(num_classes=2, activation="none", dropout=0.0)
    monkeypatch.setitem(zoo.ZOO, "test/two_block_vit", entry)
    monkeypatch.setitem(tasks.TASKS, "regression", Regression)
    return training_config(
        tmp_path, variant="test/two_block_vit", task="regression", augment={}, norm__precise=False,
        optimizer__name="adamw", optimizer__nesterov=False, optimizer__layer_decay=0.9,
        schedule__base_lr=0.01, train__epochs=8, train__eval_period=4, train__batch_size=8,
        model__remat=("block0",),
    )


@pytest.mark.slow
def test_training_and_prediction(config, tmp_path):
    results = train(config, tmp_path / "run")
    rows = [row for row in read_metrics(tmp_path / "run") if row["split"] == "train"]
    assert rows[-1]["absolute_error"] < 0.5 * rows[0]["absolute_error"]
    assert results["minus_error"] > -0.2  # the mean of the targets alone: -0.25
    recognizer = load("test/two_block_vit", latest_checkpoint(tmp_path / "run"))
    clips, targets = data(2)
    predicted = np.asarray(recognizer(clips))
    assert predicted.shape == (CLIPS, 2) and np.abs(predicted - targets).mean() < 0.2


@pytest.mark.slow
def test_accumulation_in_bfloat16(config, tmp_path):
    config.train.accumulate, config.train.epochs, config.train.eval_period = 2, 1, 0
    with config.unlocked():
        config.model.dtype = "bfloat16"
    train(config, tmp_path / "run")
    losses = [row["loss"] for row in read_metrics(tmp_path / "run") if row["split"] == "train"]
    assert len(losses) == CLIPS // 8 and np.isfinite(losses).all()
