"""Folds batch normalisation into the convolutions before it, for inference.

In evaluation batch norm is one multiply and one add per channel; the multiply goes into the
kernel's output channels and the add becomes the convolution's bias.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn


def fold_batch_norm(
    model: nn.Module, variables: Mapping[str, Any], epsilon: float = 1e-5
) -> tuple[nn.Module, dict[str, Any]]:
    """The same network without batch norm.

    Args:
      model: a network of this package (keyword `folded`).
      variables: its `params` and `batch_stats`.

    Returns:
      `(model, {"params": ...})` that gives the same evaluation-mode output. A folded model is
      returned as it is.
    """
    if model.folded:
        return model, dict(variables)
    params = _fold(variables["params"], variables.get("batch_stats", {}), epsilon)
    return model.clone(folded=True), {"params": params}


def _fold(params: Mapping, stats: Mapping, epsilon: float) -> dict:
    folded = {}
    for name, value in params.items():
        if name.endswith("_bn"):
            continue
        norm = params.get(f"{name}_bn")
        if norm is not None:
            moments = stats[f"{name}_bn"]
            factor = norm["scale"] / (moments["var"] + epsilon) ** 0.5
            bias = norm["bias"] + (value.get("bias", 0.0) - moments["mean"]) * factor
            folded[name] = {"kernel": value["kernel"] * factor, "bias": bias}
        elif isinstance(value, Mapping):
            folded[name] = _fold(value, stats.get(name, {}), epsilon)
        else:
            folded[name] = value
    return folded
