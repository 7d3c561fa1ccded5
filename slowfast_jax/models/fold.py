"""Folds batch normalization into the convolutions before it, for inference.

In evaluation a batch norm is one multiplication and one addition per channel. The factor goes into
the output channels of the convolution's kernel, and the summand becomes its bias.
"""

from collections.abc import Mapping
from typing import Any

from slowfast_jax.models.base import VideoNetwork
from slowfast_jax.models.norm import EPSILON, SUFFIX


def fold_batch_norm(
    model: VideoNetwork, variables: Mapping[str, Any]
) -> tuple[VideoNetwork, dict[str, Any]]:
    """The same network without batch norms.

    Args:
      model: the network.
      variables: its `params` and `batch_stats`.

    Returns:
      `(model, {"params": ...})`, which give the same output in evaluation mode. A network that is
      folded already, or is not `foldable`, is returned unchanged with its variables.
    """
    if not model.foldable or model.folded:
        return model, dict(variables)
    params = _fold(variables["params"], variables.get("batch_stats", {}))
    return model.clone(folded=True), {"params": params}


def _fold(params: Mapping, stats: Mapping) -> dict:
    folded = {}
    for name, value in params.items():
        if name.endswith(SUFFIX):
            continue
        norm = params.get(name + SUFFIX)
        if norm is not None:
            moments = stats[name + SUFFIX]
            factor = norm["scale"] / (moments["var"] + EPSILON) ** 0.5
            bias = norm["bias"] + (value.get("bias", 0.0) - moments["mean"]) * factor
            folded[name] = {"kernel": value["kernel"] * factor, "bias": bias}
        elif isinstance(value, Mapping):
            folded[name] = _fold(value, stats.get(name, {}))
        else:
            folded[name] = value
    return folded
