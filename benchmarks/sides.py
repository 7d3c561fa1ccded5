"""The two sides of a comparison: a PyTorch model with random weights, and ours with the same."""

import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

from benchmarks import layers, measure, torch_models
from convert.load import load_variables
from slowfast_jax.models import zoo

MODELS = [name.removeprefix("kinetics/") for name in torch_models.MODELS]


def random_clip(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A normalised clip in our layout, float32."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def torch_side(name: str, seed: int = 0) -> nn.Module:
    """The PyTorch model, with weights under which no layer vanishes and logits spread by about one.

    Batch norms have random statistics, too: with mean 0 and variance 1 a wrong fold would not show.
    """
    torch.manual_seed(seed)
    model = torch_models.create(name)
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    for block in model.modules():
        if isinstance(block, torch_models.Bottleneck):  # else the sum grows from block to block
            nn.init.uniform_(block.c_bn.weight, 0.15, 0.35)
    return model


def our_side(name: str, reference: nn.Module, **overrides) -> tuple[object, dict]:
    """Our model of that name and its variables, with the weights of `reference`."""
    model = zoo.create(name, **overrides)
    return model, to_variables(model, reference.state_dict(), name)


def to_variables(model: object, state: dict, name: str) -> dict:
    """A PySlowFast state dict as variables of our model, by way of a checkpoint file."""
    clip = jax.ShapeDtypeStruct(layers.clip_shape(name, 1, "train_crop"), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), clip)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.pyth")
        torch.save({"model_state": state}, path)
        return load_variables(path, shapes)


def torch_forms(
    reference: nn.Module, clip: np.ndarray, against: Sequence[str], freeze: bool
) -> dict[str, tuple[Callable, torch.Tensor]]:
    """{form: (model, clip)} for some of `measure.FORMS`; `freeze` compiles for inference only."""
    contiguous = torch.from_numpy(np.ascontiguousarray(np.moveaxis(clip, -1, 1)))
    forms = {}
    for form in against:
        model, x = copy.deepcopy(reference), contiguous
        if form == "channels_last":
            model = model.to(memory_format=torch.channels_last_3d)
            x = x.to(memory_format=torch.channels_last_3d)
        elif form == "compile":
            torch._inductor.config.freezing = freeze
            model = torch.compile(model)
        forms[form] = (model, x)
    return forms


def matmuls() -> dict[str, Callable[[], object]]:
    """The matrix product of `measure.jax_matmul` on both sides."""
    a = torch.randn(measure.MATMUL, measure.MATMUL)
    return {"matmul, XLA": measure.jax_matmul(), "matmul, PyTorch": lambda: a @ a}
