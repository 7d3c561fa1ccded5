"""Vision transformers against what the original program computed, number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert import load_variables
from convert.exports import pyslowfast_tensors
from convert.torch_file import write_pyth
from slowfast_jax.models import zoo
from slowfast_jax.models.cost import count, totals
from slowfast_jax.models.mvit import MViT
from slowfast_jax.ops.backend import PLAIN_BACKEND, written_for
from slowfast_jax.ops.transformer.interpolate import resize_linear
from slowfast_jax.training.optim import without_decay
from slowfast_jax.weights import initial_variables, variable_shapes
from tests.slowfast_jax.models import cases, recorded_cases
from tests.slowfast_jax.models.recordings import assert_as_recorded, assert_close
from tests.support.compiling import FAST
from tests.support.paths import needs_parity

QUICK = ("TINY_MVIT", "TINY_MVITV2_INTERP", "TINY_REV_VIT")
CASES = [
    pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
    for name in cases.transformers()
]


@needs_parity
@pytest.mark.parametrize("name", CASES)
def test_pyslowfast(name, tmp_path):
    case, recorded = cases.manifest("models", name), cases.outputs("models", name)
    model = cases.network(case["cfg"])
    clip, boxes = cases.clip_and_boxes(case)
    write_pyth(tmp_path / "case.pyth", cases.load_rule().make_weights(case))
    variables = load_variables(tmp_path / "case.pyth", variable_shapes(model))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == case["param_count"]

    apply = jax.jit(model.apply, compiler_options=FAST if "TINY" in name else None)
    _, endpoints = apply(variables, clip, boxes)
    assert_as_recorded(case, recorded, endpoints)

    written = pyslowfast_tensors(variables)
    expected = cases.load_rule().make_weights(case)
    assert written.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(written[key], array, key)


@needs_parity
@pytest.mark.parametrize("name", CASES)
def test_costs(name):
    case = cases.manifest("models", name)
    recorded = case["stats"]["train_crop"]
    model = cases.network(case["cfg"])
    ours = totals(count(model, case["cfg"]["DATA"]["NUM_FRAMES"], recorded["crop"]))
    assert ours["params"] == case["param_count"]
    assert ours["macs"] / 1e9 == pytest.approx(recorded["gflops"], rel=0.01)
    assert ours["activations"] / 1e6 == pytest.approx(recorded["mactivations"], rel=0.01)


# Cases and the zoo entries of the same networks.
ZOO = {
    "ImageNet_MVIT_B_16_CONV": "imagenet/mvit_b_16_conv",
    "ImageNet_MVITv2_B": "imagenet/mvitv2_b",
    "ImageNet_MVITv2_S": "imagenet/mvitv2_s",
    "ImageNet_REV_MVIT_B_16_CONV": "imagenet/rev_mvit_b_16_conv",
    "ImageNet_REV_VIT_B": "imagenet/rev_vit_b",
    "REV_MVIT_B_16x4_CONV": "kinetics/rev_mvit_b_16x4_conv",
    "MVIT_B_16x4_CONV": "kinetics/mvit_b_16x4_conv",
    "MVITv2_L_40x3_test": "kinetics/mvitv2_l_40x3",
    "MVITv2_S_16x4": "kinetics/mvitv2_s_16x4",
    "SSv2_MVITv2_B_32x3": "ssv2/mvitv2_b_32x3",
}


@needs_parity
@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_has_the_networks_of_the_cases(name):
    cfg = cases.manifest("models", name)["cfg"]
    ours, theirs = zoo.create(ZOO[name]), cases.network(cfg)
    unused = {"roi_scale": 1 / 32}
    if ours.adaptive_kv_stride != theirs.adaptive_kv_stride:  # the same strides, written out
        unused |= dict(
            adaptive_kv_stride=ours.adaptive_kv_stride, kv_strides=ours.kv_strides
        )
        assert ours.poolings() == theirs.poolings()
    assert ours == theirs.clone(**unused)
    protocol, data = zoo.find(ZOO[name])["protocol"], cfg["DATA"]
    assert protocol["sampling_rate"] == data["SAMPLING_RATE"]
    assert protocol["test_crop"] == data["TEST_CROP_SIZE"]
    assert protocol["offset_sampling"] == data["USE_OFFSET_SAMPLING"]


@needs_parity
@pytest.mark.slow
@pytest.mark.parametrize("name", recorded_cases.HUB_TRANSFORMERS)
def test_pytorchvideo(name, tmp_path):
    case = recorded_cases.load("pytorchvideo", name, tmp_path)
    variables = load_variables(case.weights, variable_shapes(case.model))
    _, endpoints = jax.jit(case.model.apply)(variables, case.clip)
    assert_close(case, np.asarray(endpoints["probs"]), np.asarray(endpoints["logits"]))


TINY = dict(
    num_classes=3, num_frames=4, crop_size=32, depth=2, width=16, dim_mul=((1, 2.0),),
    head_mul=((1, 2.0),), q_strides=((0, 1, 1, 1), (1, 1, 2, 2)), pool_kernel=(3, 3, 3),
    rel_pos_space=True, rel_pos_time=True,
)


@pytest.mark.slow
@pytest.mark.parametrize("abs_pos", ["separate", "joint", "sincos"])
def test_clips_of_another_size_have_interpolated_positions(abs_pos):
    """As a network of that size whose tables were interpolated beforehand."""
    small = MViT(abs_pos=abs_pos, **TINY)
    large = MViT(abs_pos=abs_pos, **(TINY | dict(num_frames=6, crop_size=48)))
    params = initial_variables(small, 0)["params"]
    shapes = variable_shapes(large)["params"]
    resized = jax.tree_util.tree_map_with_path(_resized, params, shapes)
    clip = np.random.default_rng(0).standard_normal((1, 6, 48, 48, 3)).astype(np.float32)
    with written_for(PLAIN_BACKEND):
        found, expected = jax.jit(lambda a, b: (
            small.apply({"params": a}, clip)[1]["features"],
            large.apply({"params": b}, clip)[1]["features"],
        ), compiler_options=FAST)(params, resized)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert small.smallest_clip() == (1, 1) and small.stride == 8


def _resized(path, table, like):
    name = path[-1].key
    if table.shape == like.shape:
        return table
    if name.startswith("rel_pos"):
        return resize_linear(table, like.shape[0])
    if name == "pos_embed_temporal":
        return resize_linear(table, like.shape[1], 1)
    t, s = (1, 1) if name == "pos_embed_spatial" else (2, 3)
    grid, new = (t, 8, 8), (s, 12, 12)
    first, patches = (table[:, :1], table[:, 1:]) if name == "pos_embed" else ((), table)
    patches = patches.reshape(1, *grid, -1)
    for axis, size in enumerate(new, 1):
        patches = resize_linear(patches, size, axis)
    patches = patches.reshape(1, -1, table.shape[-1])
    return jnp.concatenate([first, patches], 1) if name == "pos_embed" else patches


def test_what_has_no_weight_decay():
    separate = dict(TINY, abs_pos="separate")
    assert MViT(**separate).no_decay == ()
    assert MViT(**TINY, abs_pos="sincos").no_decay == ("pos_embed",)
    model = MViT(**separate, decay_positions=False)
    params = variable_shapes(model)["params"]
    kept = jax.tree_util.tree_leaves_with_path(without_decay(params, model.no_decay))
    names = {path[-1].key for path, without in kept if without}
    assert names == {
        "cls_token", "pos_embed_spatial", "pos_embed_temporal", "pos_embed_class", "rel_pos_h",
        "rel_pos_w", "rel_pos_t",
    }


def test_errors():
    with pytest.raises(ValueError, match="pool_mode is 'sum', expected one of conv, conv_unshared"):
        variable_shapes(MViT(**TINY, pool_mode="sum"))
    with pytest.raises(ValueError, match="'conv_unshared', which needs pool_first=True"):
        variable_shapes(MViT(**TINY, pool_mode="conv_unshared"))
    with pytest.raises(ValueError, match="abs_pos is 'fixed', expected one of none, separate"):
        variable_shapes(MViT(**TINY, abs_pos="fixed"))
    with pytest.raises(ValueError, match="remat has block2; expected one of block0, block1"):
        variable_shapes(MViT(**TINY, remat=("block2",)))
