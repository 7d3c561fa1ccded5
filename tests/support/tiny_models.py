"""Networks that compile quickly, for tests of the code around them, and data to train them on."""

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from data_pipelines.mini import datasets
from slowfast_jax.config import load_config
from slowfast_jax.models import zoo
from slowfast_jax.models.blocks import ConvNorm
from tests.support.paths import ROOT

traces: list[tuple[int, ...]] = []  # shape of every batch of clips that `Tiny` was traced with


class Tiny(nn.Module):
    """A linear classifier of the mean color of a clip; with boxes, plus the mean of each box."""

    num_classes: int
    num_frames: int = 4
    crop_size: int = 32
    head_pool: str = "window"
    detection: bool = False
    activation: str = "softmax"
    average: str = "probs"
    folded: bool = False
    mean: tuple[float, ...] = (0.45, 0.45, 0.45)
    std: tuple[float, ...] = (0.225, 0.225, 0.225)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, clip, boxes=None, train=False):
        traces.append(clip.shape)
        if clip.dtype == jnp.uint8:
            clip = (clip / 255.0 - jnp.array(self.mean)) / jnp.array(self.std)
        logits = nn.Dense(self.num_classes, name="head")(clip.mean((1, 2, 3)))
        if boxes is not None:
            logits = logits[:, None] + boxes.mean(-1, keepdims=True)
        activate = nn.softmax if self.activation == "softmax" else nn.sigmoid
        return logits, {"probs": activate(logits)}


def entry(**model) -> dict:
    model = {"num_classes": 4, "detection": False, "activation": "softmax"} | model
    protocol = dict(
        num_frames=4, sampling_rate=4, train_crop=32, test_crop=32, clips=3, crops=3
    )
    return zoo.entry(Tiny, model, "", **protocol)


class TinyNorm(nn.Module):
    """Two convolutions with batch norm, and dropout: it has every kind of training state."""

    num_classes: int
    num_frames: int = 4
    crop_size: int = 16
    head_pool: str = "window"
    detection: bool = False
    activation: str = "softmax"
    average: str = "probs"
    dropout: float = 0.5
    group_size: int | None = None
    frozen_norm: bool = False
    folded: bool = False
    mean: tuple[float, ...] = (0.45, 0.45, 0.45)
    std: tuple[float, ...] = (0.225, 0.225, 0.225)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, clip, boxes=None, train=False):
        if clip.dtype == jnp.uint8:
            clip = (clip / 255.0 - jnp.array(self.mean)) / jnp.array(self.std)
        conv_norm = ConvNorm(
            train=train and not self.frozen_norm, group_size=self.group_size, folded=self.folded
        )
        x = clip.astype(self.dtype)
        x = nn.relu(conv_norm(x, "a", 8, kernel_size=(1, 3, 3), strides=(1, 2, 2)))
        x = nn.relu(conv_norm(x, "b", 8, kernel_size=(3, 1, 1)))
        x = nn.Dropout(self.dropout, deterministic=not train)(x.mean((1, 2, 3)))
        if boxes is not None:
            places = (boxes / self.crop_size).astype(self.dtype)
            x = jnp.broadcast_to(x[:, None], (*boxes.shape[:2], x.shape[-1]))
            x = jnp.concatenate([x, places], -1)
        logits = nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)
        activate = nn.softmax if self.activation == "softmax" else nn.sigmoid
        return logits, {"probs": activate(logits)}


def norm_entry(**model) -> dict:
    model = {"num_classes": 4, "detection": False, "activation": "softmax"} | model
    protocol = dict(
        num_frames=4, sampling_rate=2, train_crop=16, test_crop=16, clips=2, crops=1
    )
    return zoo.entry(TinyNorm, model, "", **protocol)


def write_colors(directory: Path, *, train: int = 12, val: int = 8) -> None:
    """Videos whose class is their color, with train.csv, val.csv and test.csv."""
    (directory / "videos").mkdir(parents=True)
    colors = np.array([[200, 60, 60], [60, 180, 60], [60, 80, 220], [190, 190, 70]])
    for split, count in (("train", train), ("val", val)):
        rows = ""
        for number in range(count):
            random, label = np.random.default_rng([train, val, number]), number % len(colors)
            frames = colors[label] + random.normal(0, 30, (10, 20, 24, 3))
            name = f"videos/{split}_{number:02d}.mp4"
            datasets.write_video(
                directory / name, np.clip(frames, 0, 255).astype(np.uint8),
                options={"preset": "ultrafast", "threads": "1"},
            )
            rows += f"{name} {label}\n"
        (directory / f"{split}.csv").write_text(rows)
    (directory / "test.csv").write_text((directory / "val.csv").read_text())


def training_config(data: Path, **fields) -> ConfigDict:
    """tests/recipes/tiny.py on the videos in `data`, with fields set, as in train__epochs=2."""
    config = load_config(f"{ROOT}/tests/recipes/tiny.py")
    config.data.root = config.data.path_prefix = str(data)
    with config.unlocked():
        config.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})
    return config
