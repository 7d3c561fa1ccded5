"""Small networks that compile fast, for tests of the code around them; test/tiny... in the zoo."""

from functools import partial
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from data_pipelines.video.encoding import write_video
from slowfast_jax.config import load_config
from slowfast_jax.models import zoo
from slowfast_jax.models.base import ConvNetwork, VideoNetwork
from slowfast_jax.models.blocks import Conv3D
from slowfast_jax.models.heads import ACTIVATIONS
from slowfast_jax.models.norm import BatchNorm
from slowfast_jax.ops.normalize import normalize
from tests.support.paths import ROOT

traces: list[tuple[int, ...]] = []  # shape of every batch of clips that Tiny was traced with


class Tiny(VideoNetwork):
    """Classifies the clip by its mean color; each box too, with its mean coordinate added."""

    num_frames: int = 4
    crop_size: int = 32

    @nn.compact
    def __call__(self, clip, boxes=None, train=False):
        traces.append(clip.shape)
        pixels = normalize(clip, self.mean, self.std)
        color = pixels.mean((1, 2, 3))
        logits = nn.Dense(self.num_classes, name="head")(color)
        if boxes is not None:
            logits = logits[:, None] + boxes.mean(-1, keepdims=True)
        return logits, {
            "pixels": pixels, "color": color, "probs": ACTIVATIONS[self.activation](logits)
        }


def entry(**model) -> dict:
    model = {"num_classes": 4, "detection": False, "activation": "softmax"} | model
    protocol = dict(
        num_frames=4, sampling_rate=4, train_crop=32, test_crop=32, clips=3, crops=3
    )
    return zoo.entry(Tiny, model, "", **protocol)


class TinyNorm(ConvNetwork):
    """Two convolutions with batch norms, and dropout: every kind of training state."""

    num_frames: int = 4
    crop_size: int = 16

    layer_of = None

    @nn.compact
    def __call__(self, clip, boxes=None, train=False):
        conv = partial(Conv3D, 8, use_bias=self.folded)
        norm = partial(
            BatchNorm, self.group_size, splits=self.norm_splits,
            train=train and not self.frozen_norm, folded=self.folded,
        )
        x = normalize(clip, self.mean, self.std, self.dtype)
        x = conv((1, 3, 3), (1, 2, 2), name="a")(x)
        x = first = nn.relu(norm(name="a_bn")(x))
        x = conv((3, 1, 1), name="b")(x)
        x = nn.relu(norm(name="b_bn")(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x.mean((1, 2, 3)))
        if boxes is not None:
            places = (boxes / self.crop_size).astype(self.dtype)
            x = jnp.broadcast_to(x[:, None], (*boxes.shape[:2], x.shape[-1]))
            x = jnp.concatenate([x, places], -1)
        logits = nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)
        return logits, {
            "a": first, "features": x, "probs": ACTIVATIONS[self.activation](logits)
        }


def norm_entry(**model) -> dict:
    model = {"num_classes": 4, "detection": False, "activation": "softmax"} | model
    protocol = dict(
        num_frames=4, sampling_rate=2, train_crop=16, test_crop=16, clips=2, crops=1
    )
    return zoo.entry(TinyNorm, model, "", **protocol)


def write_colors(directory: Path, *, train: int = 12, val: int = 8) -> None:
    """Writes videos whose class is their color, and the lists train.csv, val.csv and test.csv."""
    (directory / "videos").mkdir(parents=True)
    colors = np.array([[200, 60, 60], [60, 180, 60], [60, 80, 220], [190, 190, 70]])
    for split, count in (("train", train), ("val", val)):
        rows = ""
        for number in range(count):
            random, label = np.random.default_rng([train, val, number]), number % len(colors)
            frames = colors[label] + random.normal(0, 30, (10, 20, 24, 3))
            name = f"videos/{split}_{number:02d}.mp4"
            write_video(
                directory / name, np.clip(frames, 0, 255).astype(np.uint8),
                options={"preset": "ultrafast", "threads": "1"},
            )
            rows += f"{name} {label}\n"
        (directory / f"{split}.csv").write_text(rows)
    (directory / "test.csv").write_text((directory / "val.csv").read_text())


def training_config(data: Path, variant: str = "", **fields) -> ConfigDict:
    """Config of tests/recipes/tiny.py for the videos in `data`; fields such as train__epochs=2."""
    config = load_config(f"{ROOT}/tests/recipes/tiny.py:{variant}")
    config.data.root = config.data.path_prefix = str(data)
    with config.unlocked():
        config.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})
    return config
