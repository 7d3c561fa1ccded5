"""Initial values of every network, by the original's rules (utils/weight_init_helper.py)."""

import math

import numpy as np
import pytest

from convert.trees import flatten
from slowfast_jax.models.resnet3d import ResNet3D
from slowfast_jax.models.slowfast import SlowFast
from slowfast_jax.models.x3d import X3D
from slowfast_jax.weights import initial_variables

SMALL = dict(num_classes=50, crop_size=32)
DEPTH = dict(depth=(1, 1, 1, 1), width=8)
NETWORKS = {
    "i3d with non-local blocks": ResNet3D(
        arch="i3d", num_frames=4, nonlocal_blocks=((), (0,), (0,), ()), **SMALL, **DEPTH
    ),
    "slow with basic blocks": ResNet3D(block="basic", num_frames=2, **SMALL, **DEPTH),
    "boxes": ResNet3D(num_frames=2, detection=True, **SMALL, **DEPTH),
    "slowfast": SlowFast(alpha=4, beta=4, num_frames=4, **SMALL, **DEPTH),
    "x3d": X3D(
        width_factor=1.0, depth_factor=0.2, head_width=64, num_frames=2, **SMALL
    ),
}
FIRST_IS_QUICK = [
    pytest.param(name, marks=[pytest.mark.slow] if n else []) for n, name in enumerate(NETWORKS)
]


def initial(model):
    """{path: initial value}, by collection."""
    values = {"params": {}, "batch_stats": {}}
    for (collection, path), leaf in flatten(initial_variables(model, 0)).items():
        values[collection][path] = np.asarray(leaf)
    return values


def is_last_of_branch(path, paths):
    """Whether a scale belongs to the last norm of a residual or non-local block."""
    block, _, norm = path.removesuffix("/scale").rpartition("/")
    last = "c_bn" if f"{block}/c/kernel" in paths else "b_bn"
    return norm == "out_bn" or (norm == last and f"{block}/b/kernel" in paths)


@pytest.mark.parametrize("name", FIRST_IS_QUICK)
def test_initial_values_follow_the_rules_of_the_original(name):
    values = initial(NETWORKS[name])
    params, seen = values["params"], {"kernel": [], "zero": 0, "one": 0}
    for path, value in params.items():
        kind = path.rpartition("/")[2]
        if path == "head/projection/kernel":
            assert value.std() == pytest.approx(0.01, rel=0.1)
        elif kind == "kernel":  # He's rule over the output fan; of grouped convolutions, too
            fan = math.prod(value.shape[:3]) * value.shape[-1]
            seen["kernel"].append((value / math.sqrt(2 / fan)).ravel())
        elif kind == "scale" and is_last_of_branch(path, params):
            np.testing.assert_array_equal(value, 0, path)
            seen["zero"] += 1
        elif kind == "scale":
            np.testing.assert_array_equal(value, 1, path)
            seen["one"] += 1
        else:
            assert kind == "bias", path
            np.testing.assert_array_equal(value, 0, path)
    kernels = np.concatenate(seen["kernel"])
    assert kernels.std() == pytest.approx(1, rel=0.02) and abs(kernels.mean()) < 0.02
    assert np.abs(kernels).max() > 3.5  # a normal distribution, not a truncated one
    assert seen["zero"] >= 4 and seen["one"] > seen["zero"]
    for path, value in values["batch_stats"].items():
        np.testing.assert_array_equal(value, 1 if path.endswith("/var") else 0, path)


@pytest.mark.parametrize("options", [{"zero_init_final_bn": False}, {"norm_splits": 2}])
@pytest.mark.parametrize("name", FIRST_IS_QUICK)
def test_scales_that_all_start_at_one(name, options):
    """Without the option, and in networks with split norms, which the original does not reach."""
    params = initial(NETWORKS[name].clone(**options))["params"]
    scales = [value for path, value in params.items() if path.endswith("/scale")]
    assert len(scales) > 8 and all((scale == 1).all() for scale in scales)
