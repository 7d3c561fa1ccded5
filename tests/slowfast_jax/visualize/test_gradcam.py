"""Grad-CAM against the maps that the original computed, and on every kind of network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert import load_variables
from convert.torch_file import write_pyth
from slowfast_jax.config import ConfigError
from slowfast_jax.models.mvit import MViT
from slowfast_jax.models.reversible import RevMViT
from slowfast_jax.visualize.gradcam import (
    localization_map,
    make_grad_cam,
    stretched,
    upsampled,
)
from slowfast_jax.visualize.layers import make_layer_maps
from slowfast_jax.weights import variable_shapes
from tests.slowfast_jax.models import cases
from tests.support.paths import needs_parity
from tests.support.tiny_models import TinyNorm

# The original's own maps differ by up to 3e-6 between float32 and float64.
TOLERANCE = 2e-5
MVIT = dict(
    num_classes=3, num_frames=4, crop_size=32, depth=2, width=8, heads=1, patch_kernel=(3, 7, 7),
    patch_stride=(2, 8, 8), q_strides=((1, 1, 2, 2),), kv_strides=((0, 1, 2, 2),),
)
random = np.random.default_rng(0)


def variables_of(model):
    """Random variables, which need no compiled program."""
    return jax.tree.map(
        lambda leaf: random.normal(0, 0.2, leaf.shape).astype(np.float32), variable_shapes(model)
    )


def layer_of(target: str, pathways: int) -> str:
    """The original's name of a layer as ours: s5/pathway1_res0/branch2/c."""
    stage, block, *rest = target.split("/")
    pathway, number = block.removeprefix("pathway").split("_res")
    prefix = ("slow_", "fast_")[int(pathway)] if pathways > 1 else ""
    return "/".join([f"{prefix}res{stage[1:]}", f"block{number}", *rest[1:]])


@needs_parity
@pytest.mark.parametrize("name", [
    "slowfast_s3_s4",
    *(pytest.param(name, marks=pytest.mark.slow)
      for name in ("slow_s5", "slowfast_s5", "slowfast_conv")),
])
def test_maps_of_the_original(name, tmp_path):
    case, recorded = cases.manifest("gradcam", name), cases.outputs("gradcam", name)
    model = cases.network(case["cfg"])
    write_pyth(tmp_path / "case.pyth", cases.load_rule().make_weights(case))
    variables = load_variables(tmp_path / "case.pyth", variable_shapes(model))
    clip, _ = cases.clip_and_boxes(case)
    layers = [layer_of(target, len(case["inputs"])) for target in case["target_layers"]]
    explain = make_grad_cam(model, layers, "probs")
    top = recorded["preds_top"].argmax(-1)
    for labels, which in ((top, "top"), (np.array([3, 0]), "label30")):
        found = explain(variables, clip, labels)
        np.testing.assert_allclose(found.probs, recorded[f"preds_{which}"], atol=5e-6)
        for number, layer in enumerate(layers):
            theirs = recorded[f"map{number}_{which}"][:, 0]
            np.testing.assert_allclose(found.maps[layer], theirs, atol=TOLERANCE, rtol=0)
    if name == "slowfast_s5":
        assert tuple(layers) == tuple(f"{layer}/block1" for layer in model.last_maps())


def test_a_constant_map_becomes_zero():
    maps = jnp.stack([jnp.zeros((1, 2, 2)), jnp.full((1, 2, 2), 3.0)])
    np.testing.assert_array_equal(stretched(maps), 0)
    negative = localization_map(jnp.ones((1, 2, 2, 2, 3)), -jnp.ones((1, 2, 2, 2, 3)), (2, 4, 4))
    np.testing.assert_array_equal(negative, 0)


@pytest.mark.parametrize("model", [
    MViT(**MVIT),
    pytest.param(MViT(**MVIT, class_token=False, mean_pooling=True), marks=pytest.mark.slow),
    pytest.param(
        RevMViT(**MVIT, transitions=(1,), final_fusion="concat", mean_pooling=True),
        marks=pytest.mark.slow,
    ),
], ids=["class token", "mean", "reversible"])
def test_transformers(model):
    variables = variables_of(model)
    clip = random.normal(size=(2, 4, 32, 32, 3)).astype(np.float32)
    found = make_grad_cam(model)(variables, clip)
    np.testing.assert_array_equal(found.labels, found.probs.argmax(-1))
    (layer,) = model.last_maps()
    assert found.maps[layer].shape == (2, 4, 32, 32)
    assert 0 <= found.maps[layer].min() and 0.9 < found.maps[layer].max() <= 1
    _, endpoints = jax.jit(model.apply)(variables, clip)
    np.testing.assert_allclose(found.probs, endpoints["probs"], atol=1e-6)


def test_tokens_are_maps_of_their_grid():
    model = MViT(**MVIT)
    variables = variables_of(model)
    clip = random.normal(size=(1, 4, 32, 32, 3)).astype(np.float32)
    read = make_layer_maps(model, ["block0", "block1", "block0/norm1", "features"])
    maps = read(variables, clip)
    _, endpoints = jax.jit(model.apply)(variables, clip)
    assert maps["block0/norm1"].shape[1:4] == maps["block0"].shape[1:4] == (2, 4, 4)
    for name, grid in (("block0", (2, 4, 4)), ("block1", (2, 2, 2))):
        expected = endpoints[name][:, 1:].reshape(1, *grid, -1)
        np.testing.assert_allclose(maps[name], expected, atol=1e-6)
    np.testing.assert_allclose(maps["features"][:, 0, 0, 0], endpoints["features"], atol=1e-6)


def test_a_bright_blob_is_localized():
    """A class whose evidence is brightness in the blob's channel."""
    outputs = np.zeros((1, 2, 8, 8, 3), np.float32)
    outputs[0, 0, 1:3, 5:7, 1] = 4.0
    gradients = np.zeros_like(outputs)
    gradients[..., 1] = 1.0
    found = np.asarray(localization_map(jnp.asarray(outputs), jnp.asarray(gradients), (2, 32, 32)))
    assert found[0, 0, 4:12, 20:28].min() > 0.2 and found[0, 0, 8, 24] > 0.9
    assert found[0, 1].max() == 0 and found[0, 0, 16:].max() == 0


def test_positions_of_tokens():
    maps = np.zeros((1, 2, 3, 3), np.float32)
    maps[0, 1, 1, 2] = 1.0
    overlapping = MViT(**MVIT).clone(patch_kernel=(3, 7, 7), patch_stride=(2, 4, 4))
    assert overlapping.first_center() == (0, 0, 0)
    found = np.asarray(upsampled(jnp.asarray(maps), (4, 12, 12), (0, 0, 0)))
    assert np.unravel_index(found.argmax(), found.shape) == (0, 2, 4, 8)
    np.testing.assert_allclose(found[0, 2, 4, 4:], [0, 0.25, 0.5, 0.75, 1, 1, 1, 1], atol=1e-6)
    apart = overlapping.clone(patch_kernel=(2, 4, 4), patch_padding=(0, 0, 0))
    assert apart.first_center() == (0.5, 1.5, 1.5)
    side_by_side = upsampled(jnp.asarray(maps), (4, 12, 12), apart.first_center())
    np.testing.assert_allclose(side_by_side, upsampled(maps, (4, 12, 12)), atol=1e-6)


def test_gradients_within_a_box_show_nothing_outside_of_it():
    outputs = np.zeros((1, 1, 4, 8, 3), np.float32)
    outputs[..., 1:3, 1, 1] = outputs[..., 1:3, 6, 1] = 4.0  # two persons who do the same
    gradients = np.zeros_like(outputs)
    gradients[..., :3, 1] = 1.0  # of a box around the first
    arrays = jnp.asarray(outputs), jnp.asarray(gradients)
    both = localization_map(*arrays, (1, 4, 8))
    own = localization_map(*arrays, (1, 4, 8), averaged=False)
    assert both[0, 0, 1, 1] == both[0, 0, 1, 6] > 0.9
    assert own[0, 0, 1, 1] > 0.9 and own[0, 0, :, 4:].max() == 0


def test_a_wrong_layer_is_named_with_those_that_exist():
    model = MViT(**MVIT)
    variables = variables_of(model)
    clip = np.zeros((1, 4, 32, 32, 3), np.float32)
    with pytest.raises(ConfigError, match="no layer block7 .*block0, block1, norm, patch"):
        make_grad_cam(model, ["block7"])(variables, clip)


def test_a_box_is_explained_as_if_it_were_the_only_one():
    model = TinyNorm(num_classes=4, detection=True, activation="sigmoid")
    variables = variables_of(model)
    variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    clip = random.normal(size=(1, 4, 16, 16, 3)).astype(np.float32)
    explain = make_grad_cam(model, ["b"])
    boxes = np.array([[[0, 0, 8, 8], [2, 4, 16, 16]]], np.float32)
    _, endpoints = jax.jit(model.apply)(variables, clip, boxes)
    for number in (0, 1):
        found = explain(variables, clip, None, boxes[:, number])
        np.testing.assert_allclose(found.probs, endpoints["probs"][:, number], atol=1e-6)
        assert found.labels[0] == found.probs[0].argmax()
        assert found.maps["b"].shape == (1, 4, 16, 16)
