"""Networks beyond the recorded numbers: training mode, initialisation, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.models import zoo
from slowfast_jax.models.resnet3d import ResNet3D
from slowfast_jax.models.slowfast import slow_frame_indices
from slowfast_jax.models.x3d import X3D

FAMILIES = {
    "SlowFast": dict(name="kinetics/mini"),
    "I3D with non-local blocks": dict(
        name="kinetics/i3d_nln_8x8_r50", depth=18, width=8, num_classes=4, crop_size=64,
        num_block_temp_kernel=(2, 2, 2, 2), nonlocal_blocks=((), (1,), (), ()),
    ),
    "X3D": dict(
        name="kinetics/x3d_xs", depth_factor=1.0, width_factor=1.0, head_width=32, num_classes=4,
        crop_size=64,
    ),
}


def clip_of(model, n=4):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.integers(0, 256, (n, model.num_frames, 64, 64, 3)), jnp.uint8)


@pytest.fixture(scope="module", params=FAMILIES)
def network(request):
    options = dict(FAMILIES[request.param])
    model = zoo.create(options.pop("name"), **options)
    variables = jax.jit(lambda: model.init(jax.random.key(0), clip_of(model)))()
    return model, variables


def test_a_training_step_reaches_every_parameter(network):
    model, variables = network
    model = model.clone(zero_init_final_bn=False)
    variables = jax.jit(lambda: model.init(jax.random.key(1), clip_of(model)))()

    def loss(params):
        (logits, _), new = model.apply(
            {**variables, "params": params}, clip_of(model), train=True,
            rngs={"dropout": jax.random.key(2)}, mutable=["batch_stats"],
        )
        return jnp.square(logits - jnp.arange(4)).mean(), new

    (value, new), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])
    assert np.isfinite(value)
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        # softmax over keys ignores what is added to every key: phi's bias has no effect
        if "['phi']['bias']" not in jax.tree_util.keystr(path):
            assert float(jnp.abs(grad).max()) > 0, jax.tree_util.keystr(path)
    for before, after in zip(
        jax.tree.leaves(variables["batch_stats"]), jax.tree.leaves(new["batch_stats"]),
        strict=True,
    ):
        assert not np.array_equal(before, after)


def test_initialisation_is_the_published_one(network):
    model, variables = network
    flat = {
        "/".join(p.key for p in path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables["params"])
    }
    for name, value in flat.items():
        module, leaf = name.rpartition("/")[::2]
        if name == "head/projection/kernel":
            assert value.std() == pytest.approx(0.01, rel=0.15)
        elif leaf == "kernel" and value.size > 2000:
            fan_out = np.prod(value.shape[:3]) * value.shape[-1]
            assert value.std() == pytest.approx(np.sqrt(2 / fan_out), rel=0.15), name
        elif leaf == "bias":
            assert not value.any()
        elif leaf == "scale":
            final = module.endswith(("/c_bn", "/out_bn"))
            assert (value == (0 if final else 1)).all(), name


def test_dropout_follows_its_key():
    model = zoo.create("kinetics/mini", group_size=1)
    variables = jax.jit(lambda: model.init(jax.random.key(0), clip_of(model)))()

    @jax.jit
    def logits(key):
        out, _ = model.apply(
            variables, clip_of(model), train=True, rngs={"dropout": key}, mutable=["batch_stats"]
        )
        return out[0]

    first = logits(jax.random.key(1))
    assert np.array_equal(first, logits(jax.random.key(1)))
    assert not np.array_equal(first, logits(jax.random.key(2)))


def test_frozen_norms_train_on_their_running_statistics(network):
    model, variables = network
    model = model.clone(frozen_norm=True, dropout=0.0)
    stats = jax.tree.map(lambda leaf: leaf + 0.25, variables["batch_stats"])
    variables = {**variables, "batch_stats": stats}

    def logits(variables, train):
        return model.apply(
            variables, clip_of(model, 1), train=train, mutable=["batch_stats"] if train else False
        )

    fast = {"xla_backend_optimization_level": 0}
    compiled = jax.jit(logits, static_argnums=1, compiler_options=fast)
    (trained, _), new = compiled(variables, True)
    np.testing.assert_allclose(trained, compiled(variables, False)[0], rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, new["batch_stats"], stats)


def test_x3d_classifies_boxes():
    """In a box around the clip the bins are the places of the map."""
    keywords = dict(width_factor=1.0, depth_factor=0.5, head_width=32, dropout=0.0)
    clips = X3D(5, num_frames=2, crop_size=64, **keywords)
    boxes = X3D(5, num_frames=2, detection=True, roi_resolution=2, **keywords)
    clip = clip_of(boxes, 2)
    around = jnp.array([[[0.0, 0, 64, 64], [0, 0, 32, 32], [32, 16, 60, 64]]] * 2)
    fast = {"xla_backend_optimization_level": 0}
    start = jax.jit(lambda: boxes.init(jax.random.key(0), clip, around), compiler_options=fast)
    variables = start()
    shapes = jax.eval_shape(lambda: clips.init(jax.random.key(0), clip))
    assert jax.tree.structure(shapes) == jax.tree.structure(variables)
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), shapes, variables)

    logits, out = jax.jit(
        lambda c, b: boxes.apply(variables, c, b), compiler_options=fast
    )(clip, around)
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


def test_float_input_is_taken_as_normalised(network):
    model, variables = network
    clip = clip_of(model, 1)
    apply = jax.jit(lambda c: model.apply(variables, c)[0])
    normalised = (clip.astype(jnp.float32) / 255 - 0.45) / 0.225
    np.testing.assert_allclose(apply(clip), apply(normalised), atol=1e-5)


def test_bfloat16_stays_close(network):
    model, variables = network
    exact = jax.jit(lambda c: model.apply(variables, c)[1])(clip_of(model, 1))
    half = model.clone(dtype=jnp.bfloat16)
    rough = jax.jit(lambda c: half.apply(variables, c)[1])(clip_of(model, 1))
    assert rough["features"].dtype == jnp.bfloat16
    assert rough["probs"].dtype == jnp.float32
    np.testing.assert_allclose(rough["probs"], exact["probs"], atol=0.02)


def test_slow_frames():
    assert slow_frame_indices(32, 8).tolist() == [0, 10, 20, 31]
    assert slow_frame_indices(32, 4).tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    assert slow_frame_indices(32, 8, "stride").tolist() == [0, 8, 16, 24]


def init(model, clip, boxes=None):
    return jax.eval_shape(lambda c, b: model.init(jax.random.key(0), c, b), clip, boxes)


def test_errors_say_what_was_expected():
    mini = zoo.create("kinetics/mini")
    with pytest.raises(ValueError, match=r"a clip is \(N, T, H, W, 3\), not"):
        init(mini, jnp.zeros((8, 64, 64, 3)))
    with pytest.raises(ValueError, match="uint8, or float .* not int32"):
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
