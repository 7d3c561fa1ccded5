"""Tests of single networks: boxes, slow frames, depth, dropout and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.models import zoo
from slowfast_jax.models.blocks import blocks_per_stage
from slowfast_jax.models.resnet3d import ResNet3D
from slowfast_jax.models.slowfast import SlowFast, slow_frame_indices
from slowfast_jax.models.x3d import X3D
from slowfast_jax.weights import initial_variables, variable_shapes
from tests.support.compiling import FAST


def clip_of(model, n=4, side=64):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.integers(0, 256, (n, model.num_frames, side, side, 3)), jnp.uint8)


def test_dropout_follows_its_key():
    model = ResNet3D(
        4, depth=(1, 1, 1, 1), width=4, num_frames=2, crop_size=32, group_size=1, dropout=0.5
    )
    clip = clip_of(model, side=32)
    variables = initial_variables(model, 0)

    def logits(variables, key):
        out, _ = model.apply(
            variables, clip, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
        )
        return out[0]

    compiled = jax.jit(logits, compiler_options=FAST)
    first, same, other = (compiled(variables, jax.random.key(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


@pytest.mark.slow
def test_x3d_classifies_boxes():
    """The bins of a box around the clip are the positions of the map."""
    keywords = dict(width_factor=1.0, depth_factor=0.2, head_width=32, dropout=0.0)
    clips = X3D(5, num_frames=2, crop_size=64, **keywords)
    boxes = X3D(5, num_frames=2, detection=True, roi_resolution=2, **keywords)
    clip = clip_of(boxes, 2)
    around = jnp.array([[[0.0, 0, 64, 64], [0, 0, 32, 32], [32, 16, 60, 64]]] * 2)
    variables, shapes = initial_variables(boxes, 0), variable_shapes(clips)
    assert jax.tree.structure(shapes) == jax.tree.structure(variables)
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), shapes, variables)

    logits, out = jax.jit(boxes.apply, compiler_options=FAST)(variables, clip, around)
    assert logits.shape == out["probs"].shape == (2, 3, 5)
    plane = np.asarray(out["head/conv_5"]).mean(1)  # (N, 2, 2, C)
    np.testing.assert_allclose(out["head/roi"][:, 0], plane, atol=1e-5)
    pooled = out["head/roi_pool"]
    np.testing.assert_allclose(pooled[:, 0], plane.max((1, 2)), atol=1e-5)
    head = variables["params"]["head"]
    features = np.maximum(pooled @ head["lin_5"]["kernel"][0, 0, 0], 0)
    expected = features @ head["projection"]["kernel"] + head["projection"]["bias"]
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert not np.allclose(logits[:, 1], logits[:, 2])


def test_slow_frames():
    assert slow_frame_indices(32, 8).tolist() == [0, 10, 20, 31]
    assert slow_frame_indices(32, 4).tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    assert slow_frame_indices(32, 8, "stride").tolist() == [0, 8, 16, 24]


def blocks_of(model):
    """{stage: number of its blocks}."""
    params = variable_shapes(model)["params"]
    return {name: sum(key.startswith("block") for key in part) for name, part in params.items()
            if "res" in name}


def test_depth_is_a_number_or_the_blocks_of_each_stage():
    small = dict(width=4, crop_size=32, num_frames=8)
    assert blocks_per_stage(50) == (3, 4, 6, 3)
    assert list(blocks_of(ResNet3D(4, depth=(1, 2, 1, 1), **small)).values()) == [1, 2, 1, 1]
    for depth, slow, fast in (
        (18, [2, 2, 2, 2], [2, 2, 2, 2]),
        ((1, 2, 1, 1), [1, 2, 1, 1], [1, 2, 1, 1]),
        ((18, (1, 1, 2, 1)), [2, 2, 2, 2], [1, 1, 2, 1]),
    ):
        found = blocks_of(SlowFast(4, depth=depth, beta=4, **small))
        assert [found[f"slow_res{i}"] for i in range(2, 6)] == slow
        assert [found[f"fast_res{i}"] for i in range(2, 6)] == fast
    with pytest.raises(ValueError, match=r"depth is \(1, 1, 1\), expected one of 18.*four numbers"):
        variable_shapes(ResNet3D(4, depth=(1, 1, 1), **small))


def init(model, clip, boxes=None):
    return jax.eval_shape(lambda c, b: model.init(jax.random.key(0), c, b), clip, boxes)


def test_errors_say_what_was_expected():
    mini = zoo.create("kinetics/mini")
    with pytest.raises(ValueError, match=r"a clip has shape .*, expected \(N, T, H, W, 3\)"):
        init(mini, jnp.zeros((8, 64, 64, 3)))
    with pytest.raises(ValueError, match="a clip is int32, expected uint8, or float"):
        init(mini, jnp.zeros((1, 8, 64, 64, 3), jnp.int32))
    with pytest.raises(ValueError, match="3 frames has no slow frame at alpha = 4"):
        init(mini, jnp.zeros((1, 3, 64, 64, 3)))
    with pytest.raises(ValueError, match="needs a multiple of alpha = 4 frames, not 10"):
        init(mini, jnp.zeros((1, 10, 64, 64, 3)))
    with pytest.raises(ValueError, match="pooling window does not fit"):
        init(mini, jnp.zeros((1, 8, 32, 32, 3)))
    with pytest.raises(ValueError, match="takes no boxes"):
        init(mini, jnp.zeros((1, 8, 64, 64, 3)), jnp.zeros((1, 2, 4)))
    with pytest.raises(ValueError, match="pass boxes"):
        init(zoo.create("ava/slow_8x8_r50"), jnp.zeros((1, 4, 64, 64, 3)))
    with pytest.raises(ValueError, match="takes no boxes"):
        init(X3D(4), jnp.zeros((1, 4, 64, 64, 3)), jnp.zeros((1, 2, 4)))
    with pytest.raises(ValueError, match="arch is 'fast', expected one of 2d, c2d"):
        init(ResNet3D(4, arch="fast"), jnp.zeros((1, 8, 64, 64, 3)))
    with pytest.raises(ValueError, match="depth is 34, expected one of 18, 50, 101, 152"):
        init(ResNet3D(4, depth=34), jnp.zeros((1, 8, 64, 64, 3)))
