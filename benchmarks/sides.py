"""Our side of a comparison with PyTorch: random clips, and our model with PyTorch's weights."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import layers
from convert.load import load_variables
from convert.torch_file import write_pyth
from slowfast_jax.models import zoo

# Models of the zoo's kinetics/ that `torch_models` has as well.
MODELS = (
    "c2d_8x8_r50", "i3d_8x8_r50", "slow_4x16_r50", "slow_8x8_r50", "slowfast_4x16_r50",
    "slowfast_8x8_r50", "x3d_xs", "x3d_s", "x3d_m", "x3d_l", "mvit_b_16x4_conv", "mvitv2_s_16x4",
)


def random_clip(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A float32 clip in our layout, with values as after normalization."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def our_side(name: str, weights: Mapping[str, np.ndarray], **overrides) -> tuple[object, dict]:
    """Our model of that name, and its variables from a PySlowFast state dict."""
    model = zoo.create(name, **overrides)
    return model, to_variables(model, weights, name)


def to_variables(model: object, state: Mapping[str, np.ndarray], name: str) -> dict:
    """Converts a PySlowFast state dict to variables of our model, through a checkpoint file."""
    clip = jax.ShapeDtypeStruct(layers.clip_shape(name, 1, "train_crop"), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), clip)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.pyth")
        write_pyth(path, state)
        return load_variables(path, shapes)


def random_side(name: str, seed: int = 0) -> tuple[object, dict]:
    """Our model of that name with random variables, made without PyTorch."""
    model = zoo.create(name)
    clip = jax.ShapeDtypeStruct(layers.clip_shape(name, 1, "train_crop"), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), clip)
    random = np.random.default_rng(seed)

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        kind = path[-1].key
        if kind in ("scale", "var"):
            return random.uniform(0.5, 1.0, leaf.shape).astype(np.float32)
        share = np.prod(leaf.shape[:-1]) if kind == "kernel" else 100
        return random.standard_normal(leaf.shape, np.float32) / np.float32(share**0.5)

    return model, jax.tree_util.tree_map_with_path(draw, shapes)
