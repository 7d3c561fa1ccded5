"""Our side of a comparison with PyTorch: random clips, and our model with PyTorch's weights."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import layers, torch_models
from convert.load import load_variables
from convert.torch_file import write_pyth
from slowfast_jax.models import zoo

MODELS = [name.removeprefix("kinetics/") for name in torch_models.MODELS]


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
