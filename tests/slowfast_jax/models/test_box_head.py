"""The variants of the head of boxes that MMAction2 has, against a direct computation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.models.factorized import FactorizedResNet3D
from slowfast_jax.models.heads import RoIHead, project
from slowfast_jax.models.resnet3d import ResNet3D
from slowfast_jax.ops.pool import adaptive_avg_pool
from slowfast_jax.weights import variable_shapes

BOXES = jnp.asarray([[[0.0, 0, 64, 96], [0, 0, 32, 32]], [[16, 16, 48, 64], [0, 0, 64, 96]]])
PROJECTION = partial(
    project, num_classes=3, dropout=0.0, activation="sigmoid",
    kernel_init=jax.nn.initializers.normal(1.0),
)


def maps():
    """A slow and a fast map of two clips of 64 x 96 pixels, a position for 16 pixels."""
    random = np.random.default_rng(0)
    return [jnp.asarray(random.standard_normal((2, t, 4, 6, c)), jnp.float32)
            for t, c in ((2, 5), (8, 3))]


def run(**options):
    """Endpoints and variables of a head of 2 x 2 bins."""
    head = RoIHead(PROJECTION, 2, 1 / 16, True, **options)
    (_, out), variables = head.init_with_output(jax.random.key(0), maps(), BOXES, False)
    return jax.tree.map(np.asarray, out), jax.tree.map(np.asarray, variables["params"])


def adaptive_mean(x, size):
    """PyTorch's rule: bin i has the places from floor(i n / size) to ceil((i + 1) n / size)."""
    def bins(n):
        return [slice(i * n // size, -(-(i + 1) * n // size)) for i in range(size)]

    return np.stack([
        np.stack([x[:, h, w].mean((1, 2)) for w in bins(x.shape[2])], 1) for h in bins(x.shape[1])
    ], 1)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_adaptive_mean(size):
    x = np.random.default_rng(1).standard_normal((2, 4, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(
        adaptive_avg_pool(jnp.asarray(x), size), adaptive_mean(x, size), atol=1e-6
    )


@pytest.mark.parametrize("time_pool", ["mean", "max"])
def test_pooling_over_time(time_pool):
    out, _ = run(time_pool=time_pool)
    for i, x in enumerate(maps()):
        np.testing.assert_allclose(
            out[f"time_pool{i}"], getattr(np.asarray(x), time_pool)(1), atol=1e-6
        )
    features = out["features"]
    assert features.shape == (2, 2, 8)
    for i, part in enumerate((features[..., :5], features[..., 5:])):
        np.testing.assert_array_equal(part, out[f"roi{i}"].max((2, 3)))


def test_context_is_appended_after_all_pathways_of_the_box():
    plain, _ = run(time_pool="max")
    out, variables = run(time_pool="max", context=True)
    features = out["features"]
    assert features.shape == (2, 2, 16) and variables["projection"]["kernel"].shape == (16, 3)
    np.testing.assert_array_equal(features[..., :8], plain["features"])
    whole = [adaptive_mean(np.asarray(x).max(1), 2).max((1, 2)) for x in maps()]
    for box in range(2):  # the same for all boxes of a frame
        np.testing.assert_allclose(features[:, box, 8:], np.concatenate(whole, -1), atol=1e-6)


def test_hidden_layer():
    plain, _ = run()
    out, variables = run(hidden=True)
    hidden, last = variables["hidden"], variables["projection"]
    assert hidden["kernel"].shape == (8, 8)
    expected = np.maximum(plain["features"] @ hidden["kernel"] + hidden["bias"], 0)
    np.testing.assert_allclose(out["features"], expected, atol=1e-5)
    logits = expected @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(out["logits"], logits, atol=1e-5)


def test_dropout_comes_before_the_hidden_layer():
    """It drops the inputs of the hidden layer, and nothing after it."""
    head = RoIHead(
        partial(PROJECTION, dropout=0.9), 2, 1 / 16, True, hidden=True, dropout=1.0
    )
    variables = head.init(jax.random.key(0), maps(), BOXES, False)
    _, out = head.apply(variables, maps(), BOXES, True, rngs={"dropout": jax.random.key(1)})
    np.testing.assert_array_equal(out["features"], 0)  # the bias of the hidden layer is 0
    assert not np.isnan(out["logits"]).any()


def test_an_unknown_pooling_is_an_error():
    with pytest.raises(ValueError, match="roi_time_pool is 'sum', expected one of mean, max"):
        run(time_pool="sum")


def test_a_network_passes_its_options_to_the_head():
    model = ResNet3D(
        3, depth=(1, 1, 1, 1), width=4, num_frames=2, crop_size=32, detection=True,
        roi_resolution=2, roi_context=True, roi_hidden=True,
    )
    head = variable_shapes(model)["params"]["head"]
    assert head["hidden"]["kernel"].shape == (256, 256)
    assert head["projection"]["kernel"].shape == (256, 3)


def test_csn_classifies_boxes():
    model = FactorizedResNet3D(
        4, depth=(1, 1, 1, 1), width=8, num_frames=8, crop_size=32, detection=True
    )
    assert variable_shapes(model)["params"]["head"]["projection"]["kernel"].shape == (256, 4)


def test_an_unknown_roi_align_is_an_error():
    with pytest.raises(ValueError, match="roi_variant is 'caffe', expected one of detectron2, min"):
        run(variant="caffe")
