"""Networks for conversion tests: a small one of this project, and those of the reference data."""

import importlib.util
import json
from functools import cache

import jax
import numpy as np

from convert import names
from convert.layouts import from_torch
from convert.trees import unflatten
from slowfast_jax.models import zoo
from tests.support.paths import PARITY

# Cases of networks that this project does not have.
OTHER_NETWORKS = ("MVIT", "REV_", "CSN", "R2PLUS1D", "INDEX")


def manifests(folder: str, start: str = "") -> list[str]:
    """Names of the convolutional cases in a folder of the reference data; none if it is absent."""
    stems = sorted(path.stem for path in (PARITY / folder).glob(f"{start}*.json"))
    return [s for s in stems if not any(other in s.upper() for other in OTHER_NETWORKS)]


@cache
def manifest(folder: str, name: str) -> dict:
    return json.loads((PARITY / folder / f"{name}.json").read_text())


@cache
def weights_rule():
    """The reference data's module that generates the parameters of a manifest."""
    spec = importlib.util.spec_from_file_location("weights_rule", PARITY / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expected_variables(tensors: dict[str, np.ndarray]) -> dict:
    """Variables made by the name tables from PySlowFast tensors without split batch norms."""
    family = names.foreign_family(tensors)
    leaves = {}
    for name, array in tensors.items():
        if names.ignore_reason(name, "PySlowFast"):
            continue
        path = names.from_pyslowfast(name, family)
        rank = array.ndim if path.endswith("kernel") else 1
        collection = "batch_stats" if path.endswith(("/mean", "/var")) else "params"
        leaves[collection, path] = from_torch(array, (0,) * rank)
    return unflatten(leaves)


def shapes_of(variables: dict) -> dict:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), variables)


@cache
def mini_shapes(**overrides) -> dict:
    """Variable shapes of the small SlowFast network for tests and demos."""
    model = zoo.create("kinetics/mini", **overrides)
    clip = np.zeros((1, model.num_frames, model.crop_size, model.crop_size, 3), np.uint8)
    return jax.eval_shape(lambda: model.init(jax.random.key(0), clip))


def random_variables(shapes: dict, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda s: rng.standard_normal(s.shape).astype(s.dtype), shapes)


def assert_same(ours: dict, theirs: dict) -> None:
    """Asserts that two trees have the same structure, shapes, dtypes and bytes."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True
    ):
        same = (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())
        assert same, jax.tree_util.keystr(path)
