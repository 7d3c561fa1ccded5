"""A network that compiles in no time, under the name test/tiny, for tests of what is around it."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from slowfast_jax.models import zoo

traces: list[tuple[int, ...]] = []  # shape of every clip batch the network was traced with


class Tiny(nn.Module):
    """Mean colour of the clip, or of the whole clip for each box, to classes."""

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
