"""What every network must do, checked on a small one of each family. Add a family here."""

import jax
import numpy as np
import pytest

from slowfast_jax.models import zoo
from slowfast_jax.models.mvit import VisionTransformer
from slowfast_jax.weights import variable_shapes
from tests.support.network_checks import Probe, check_gradients, check_outputs

SMALL = dict(depth=(1, 1, 1, 1), num_classes=4, crop_size=32, num_frames=4, width=8, group_size=2)
NONLOCAL = ((), (0,), (), ())
TRANSFORMER = dict(
    num_classes=4, num_frames=4, crop_size=32, depth=2, width=16, drop_path=0.0,
    dim_mul=((1, 2.0),), head_mul=((1, 2.0),),
)
# Softmax over the keys cancels what is added to all keys. The class token has no position, and no
# other token's query of the last block has an effect.
NO_EFFECT = {
    "C2D, softmax": ("phi/bias",),
    "MViT": ("norm_k/bias", "block1/attn/pool_q/kernel"),
    "MViTv2": (
        "norm_k/bias", "block1/attn/pool_q/kernel", "block1/attn/rel_pos_h",
        "block1/attn/rel_pos_w", "block1/attn/rel_pos_t",
    ),
    "MViTv2, images": ("norm_k/bias",),
    "MViTv2, boxes": ("norm_k/bias",),
    "Rev-MViT": ("norm_k/bias",),
}
FAMILIES = {
    "Slow, non-local": dict(SMALL, name="kinetics/slow_nln_8x8_r50", nonlocal_blocks=NONLOCAL),
    "C2D, softmax": dict(SMALL, name="kinetics/c2d_nln_8x8_r50", nonlocal_blocks=NONLOCAL),
    "I3D, basic blocks": dict(SMALL, name="kinetics/i3d_8x8_r50", block="basic"),
    "SlowFast": dict(SMALL, name="kinetics/slowfast_8x8_r50", num_frames=8, beta=4),
    "X3D": dict(
        name="kinetics/x3d_xs", num_classes=4, crop_size=32, width_factor=1.0, depth_factor=0.2,
        head_width=16, group_size=2,
    ),
    "CSN": dict(SMALL, name="kinetics/csn_32x2_r101", num_frames=8),
    "R(2+1)D": dict(SMALL, name="kinetics/r2plus1d_16x4_r50"),
    "Slow, boxes": dict(SMALL, name="ava/slow_8x8_r50"),
    "MViT": dict(TRANSFORMER, name="kinetics/mvit_b_16x4_conv", q_strides=((1, 1, 2, 2),)),
    "MViTv2": dict(
        TRANSFORMER, name="kinetics/mvitv2_s_16x4", q_strides=((0, 1, 1, 1), (1, 1, 2, 2)),
    ),
    "MViTv2, images": dict(
        TRANSFORMER, name="imagenet/mvitv2_s", num_frames=1,
        q_strides=((0, 1, 1, 1), (1, 1, 2, 2)),
    ),
    "MViTv2, boxes": dict(
        TRANSFORMER, name="kinetics/mvitv2_s_16x4", detection=True, activation="sigmoid",
        q_strides=((0, 1, 1, 1), (1, 1, 2, 2)),
    ),
    "Rev-MViT": dict(
        TRANSFORMER, name="kinetics/rev_mvit_b_16x4_conv", depth=3, transitions=(1,),
        q_strides=((1, 1, 2, 2),), stage_fusion="ln+concat_linear_2",
    ),
}


QUICK = ("MViTv2",)


@pytest.fixture(scope="module", params=[
    pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in FAMILIES
])
def family(request):
    options = dict(FAMILIES[request.param])
    return request.param, Probe(zoo.create(options.pop("name"), **options))


def test_outputs(family):
    check_outputs(family[1])


def test_gradients(family):
    name, probe = family
    check_gradients(probe, NO_EFFECT.get(name, ()))


def test_initialization_is_the_published_one(family):
    _, probe = family
    if isinstance(probe.model, VisionTransformer):
        check_transformer(probe)
        return
    for path, leaf in jax.tree_util.tree_leaves_with_path(probe.variables["params"]):
        name, value = jax.tree_util.keystr(path, simple=True, separator="/"), np.asarray(leaf)
        module, leaf = name.rpartition("/")[::2]
        if name == "head/projection/kernel":
            assert value.std() == pytest.approx(0.01, rel=0.3)
        elif leaf == "kernel" and value.size > 1000:
            fan_out = np.prod(value.shape[:3]) * value.shape[-1]
            assert value.std() == pytest.approx(np.sqrt(2 / fan_out), rel=0.15), name
        elif leaf == "bias":
            assert not value.any()
        elif leaf == "scale":
            last = "b_bn" if getattr(probe.model, "block", "") == "basic" else "c_bn"
            final = module.endswith((f"/{last}", "/out_bn"))
            assert (value == (0 if final else 1)).all(), name


def check_transformer(probe):
    """Weights, tables and tokens have standard deviation 0.02, biases are 0.02, scales 1."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(probe.variables["params"]):
        name, value = jax.tree_util.keystr(path, simple=True, separator="/"), np.asarray(leaf)
        kind = name.rpartition("/")[2]
        if name == "patch_embed/bias":  # uniform, PyTorch's default
            limit = probe.variables["params"]["patch_embed"]["kernel"][..., 0].size ** -0.5
            assert limit / 2 < np.abs(value).max() <= limit
        elif kind in ("bias", "scale"):
            assert (value == np.float32(0.02 if kind == "bias" else 1)).all(), name
        elif value.size > 400:
            assert value.std() == pytest.approx(0.02, rel=0.15), name
            assert abs(value.mean()) < 0.005


def test_parts_layers_and_norms(family):
    """The network's declarations fit its parameters."""
    _, probe = family
    model, shapes = probe.model, variable_shapes(probe.model)
    if hasattr(model, "dtypes"):
        assert set(model.parts) == set(shapes["params"])
    paths = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(shapes["params"])
    ]
    layers = model.depth + 2 if isinstance(model, VisionTransformer) else 6
    assert {model.layer_of(path) for path in paths} == set(range(layers))
    norms = {path.rpartition("/")[0] for path in paths if model.is_norm(path)}
    statistics = {
        jax.tree_util.keystr(path[:-1], simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(shapes.get("batch_stats", {}))
    }
    assert norms == statistics
