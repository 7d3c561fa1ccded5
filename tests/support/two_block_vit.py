"""A network unlike the others: two transformer blocks, a class token, no batch norm, no windows."""

import flax.linen as nn
import jax.numpy as jnp

from slowfast_jax.models import zoo
from slowfast_jax.models.base import VideoNetwork
from slowfast_jax.models.blocks import remat_table
from slowfast_jax.models.heads import check_boxes
from slowfast_jax.ops.normalize import normalize

BLOCKS = ("block0", "block1")
LAYERS = {"patches": 0, "class_token": 0, "positions": 0, "block0": 1, "block1": 2}


class Block(nn.Module):
    """Self-attention and a two-layer perceptron, each after a layer norm and with a shortcut."""

    @nn.compact
    def __call__(self, x):
        y = nn.LayerNorm(dtype=x.dtype)(x)
        x = x + nn.MultiHeadDotProductAttention(num_heads=2, dtype=x.dtype)(y)
        y = nn.LayerNorm(dtype=x.dtype)(x)
        y = nn.gelu(nn.Dense(2 * x.shape[-1], dtype=x.dtype)(y))
        return x + nn.Dense(x.shape[-1], dtype=x.dtype)(y)


class TwoBlockViT(VideoNetwork):
    """A vision transformer (https://arxiv.org/abs/2010.11929) on patches of 2 x 16 x 16."""

    num_frames: int = 4
    crop_size: int = 32
    width: int = 16

    stride = 16
    no_decay = ("class_token", "positions")

    @staticmethod
    def layer_of(path: str) -> int:
        return LAYERS.get(path.split("/")[0], 3)

    @nn.compact
    def __call__(self, clip, boxes=None, train=False):
        check_boxes(boxes, self.detection)
        wraps = remat_table(self.remat, BLOCKS)
        x = normalize(clip, self.mean, self.std, self.dtype)
        size = (2, self.stride, self.stride)
        x = nn.Conv(self.width, size, size, "VALID", dtype=self.dtype, name="patches")(x)
        x = x.reshape(len(x), -1, self.width)  # (N, patches, C)
        init = nn.initializers.normal(0.02)
        token = self.param("class_token", init, (1, 1, self.width)).astype(x.dtype)
        x = jnp.concatenate([jnp.broadcast_to(token, (len(x), 1, self.width)), x], 1)
        x = x + self.param("positions", init, (1, *x.shape[1:])).astype(x.dtype)
        out = {}
        for name in BLOCKS:
            x = out[name] = wraps[name](Block)(name=name)(x)
        x = nn.LayerNorm(dtype=x.dtype, name="norm")(x[:, 0])
        logits, head = self.classifier()(x[:, None, None, None], train=train)
        return logits, out | head


def entry(**model) -> dict:
    """An entry for the zoo."""
    return zoo.entry(
        TwoBlockViT, {"num_classes": 4} | model, "", num_frames=4, sampling_rate=2, train_crop=32,
        test_crop=32, clips=2, crops=1,
    )
