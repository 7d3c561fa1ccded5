"""Networks traced for TPUs; SlowFast packs frames of its fast pathway there."""

import jax
import numpy as np
import pytest

from slowfast_jax.models import zoo
from slowfast_jax.ops import packing
from slowfast_jax.ops.backend import written_for
from slowfast_jax.weights import variable_shapes
from tests.support.compiling import FAST


@pytest.mark.parametrize("keywords", [
    pytest.param(
        {"block": "bottleneck", "dilations": (1, 1, 1, 2), "strides": (1, 2, 2, 1)},
        marks=pytest.mark.slow,
    ),
    pytest.param(
        {"block": "basic", "folded": True, "lateral_norm": False}, marks=pytest.mark.slow
    ),
], ids=["bottlenecks", "basic blocks without norms"])
def test_slowfast_gives_the_same_numbers(keywords, monkeypatch):
    keywords = dict(depth=(1, 2, 1, 1), num_classes=3, width=16, beta=4, dropout=0.0) | keywords
    model = zoo.create(
        "kinetics/slowfast_8x8_r50", crop_size=32, num_frames=8, group_size=2, **keywords
    )
    packed = []
    monkeypatch.setattr(
        "slowfast_jax.models.slowfast.pack",
        lambda x, layout: packed.append(layout.frames) or packing.pack(x, layout),
    )
    clip = np.random.default_rng(0).integers(0, 256, (4, 8, 32, 32, 3), np.uint8)
    variables = jax.tree.map(some_weights, variable_shapes(model))
    found = []
    for backend in ("cpu", "tpu"):
        with written_for(backend):
            # a new function for each backend, because JAX caches traces by function
            step = jax.jit(
                lambda v: model.apply(v, clip, train=True, mutable=["batch_stats"]),
                compiler_options=FAST,
            )
            found.append(step(variables))
    assert packed == [1, 1, 4]
    (_, endpoints), _ = found[0]
    assert endpoints["fast_res2"].shape == (4, 8, 8, 8, 16)
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(a).max())


def some_weights(leaf):
    rng = np.random.default_rng(leaf.size)
    if len(leaf.shape) == 1:
        return rng.uniform(0.5, 1, leaf.shape).astype(leaf.dtype)
    fan_in = np.prod(leaf.shape[:-1])
    return (rng.standard_normal(leaf.shape) / np.sqrt(fan_in)).astype(leaf.dtype)


@pytest.mark.parametrize("name", ["x3d_s", "i3d_nln_8x8_r50", "c2d_8x8_r50"])
def test_other_families_have_the_same_shapes(name):
    model = zoo.create(f"kinetics/{name}")
    clip = jax.ShapeDtypeStruct((1, model.num_frames, 224, 224, 3), np.uint8)
    shapes = []
    for backend in ("cpu", "tpu"):
        with written_for(backend):
            shapes.append(jax.eval_shape(lambda clip: model.init_with_output(
                jax.random.key(0), clip
            ), clip))
    assert jax.tree.all(jax.tree.map(lambda a, b: a.shape == b.shape, *shapes))
