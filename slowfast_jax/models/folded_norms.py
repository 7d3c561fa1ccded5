"""Batch norms of weights that were published with their norms folded into the kernels.

Such weights give the right results, but their norms are neutral: they add a bias and leave the
scale of each channel as it is. Training normalizes by the statistics of the batch instead, which
changes every channel, and diverges. `restored` gives the norms back what folding took: running
statistics that are those of their inputs, and the scale and bias with which the network computes
the same as before.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from convert.trees import flatten, unflatten
from slowfast_jax.models.norm import EPSILON, SUFFIX

TOLERANCE = 1e-3  # of the factor by which a neutral norm multiplies


def are_folded(variables: Mapping[str, Any]) -> bool:
    """Whether the batch norms of a network were folded into its kernels.

    They were if most of them are neutral (mean 0, scale / sqrt(var + epsilon) 1 in every channel)
    and have a bias. Norms that are initialized but not trained are neutral, too, but have no bias.
    """
    leaves = flatten(variables)
    norms = [path.rpartition("/")[0] for _, path in leaves if path.endswith(f"{SUFFIX}/var")]
    folded = [
        norm for norm in norms if _is_neutral(leaves, norm) and _leaf(leaves, norm, "bias").any()
    ]
    return len(folded) > len(norms) / 2


def restored(variables: Mapping[str, Any], moments: Mapping[str, Any]) -> dict[str, Any]:
    """The variables with working batch norms in place of neutral ones.

    Args:
      variables: the network's "params" and "batch_stats".
      moments: mean and variance of the inputs of the norms, in the structure of "batch_stats".

    Returns:
      Variables of the same structure, in NumPy arrays, with which the network computes the same in
      evaluation, up to rounding, and nearly the same with the statistics of a batch.
    """
    leaves = {key: np.asarray(leaf) for key, leaf in flatten(variables).items()}
    measured = flatten({"batch_stats": moments})
    for (_, path), var in measured.items():
        norm, _, leaf = path.rpartition("/")
        if leaf != "var" or not _is_neutral(leaves, norm):
            continue
        mean = measured["batch_stats", f"{norm}/mean"]
        new = {
            ("params", "scale"): np.sqrt(var + EPSILON),
            ("params", "bias"): _leaf(leaves, norm, "bias") + mean,
            ("batch_stats", "mean"): mean,
            ("batch_stats", "var"): var,
        }
        for (collection, name), value in new.items():
            key = collection, f"{norm}/{name}"
            leaves[key] = np.asarray(value, leaves[key].dtype)
    return unflatten(leaves)


def _leaf(leaves: Mapping, norm: str, name: str) -> np.ndarray:
    collection = "params" if name in ("scale", "bias") else "batch_stats"
    return np.asarray(leaves[collection, f"{norm}/{name}"])


def _is_neutral(leaves: Mapping, norm: str) -> bool:
    scale, mean, var = (_leaf(leaves, norm, name) for name in ("scale", "mean", "var"))
    return not mean.any() and bool(np.all(np.abs(scale / np.sqrt(var + EPSILON) - 1) < TOLERANCE))
