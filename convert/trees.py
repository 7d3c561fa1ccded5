"""Flattens variable trees {"params": {...}, "batch_stats": {...}} to flat dicts, and back."""

from collections.abc import Mapping

import numpy as np


def flatten(variables: Mapping) -> dict[tuple[str, str], object]:
    """Flattens nested mappings to {(collection, "stem/conv/kernel"): leaf}, in the tree's order."""
    leaves = {}

    def walk(collection, node, path):
        for name, value in node.items():
            if isinstance(value, Mapping):
                walk(collection, value, f"{path}{name}/")
            else:
                leaves[collection, path + name] = value

    for collection, tree in variables.items():
        walk(collection, tree, "")
    return leaves


def not_finite(variables: Mapping) -> list[str]:
    """Paths of the leaves that have values which are NaN or infinite."""
    return [path for (_, path), leaf in flatten(variables).items() if not np.isfinite(leaf).all()]


def unflatten(leaves: Mapping[tuple[str, str], object]) -> dict:
    """Rebuilds the tree that `flatten` flattened, as plain dicts."""
    variables = {}
    for (collection, path), leaf in leaves.items():
        node = variables.setdefault(collection, {})
        *parents, name = path.split("/")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return variables
