"""Vision transformers against what the original program computed, number by number."""

import jax
import numpy as np
import pytest

from convert import load_variables
from convert.torch_file import pyslowfast_tensors, write_pyth
from slowfast_jax.models import zoo
from slowfast_jax.models.cost import count, totals
from slowfast_jax.weights import variable_shapes
from tests.slowfast_jax.models import cases, taps
from tests.support.compiling import FAST
from tests.support.paths import needs_parity

pytestmark = needs_parity

CASES = [
    pytest.param(name, marks=[] if name.startswith("TINY_") else [pytest.mark.slow])
    for name in cases.transformers()
]


def relative(ours, recorded):
    return float(np.abs(np.asarray(ours) - recorded).max() / recorded.std())


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
    endpoints = {k: np.asarray(v) for k, v in endpoints.items()}
    if boxes is not None:
        for key in list(endpoints):
            if key in ("logits", "probs", "features") or key.startswith(("head/roi",)):
                endpoints[key] = cases.rows_of(case, endpoints[key])
    assert relative(endpoints["logits"], recorded["logits"]) < 1e-4
    assert np.abs(endpoints["probs"] - recorded["probs"]).max() < 1e-5
    for tap in taps.names(recorded):
        ours = endpoints[taps.endpoint_of(tap, endpoints)]
        assert taps.compare(recorded, tap, ours) < 1e-4, tap


    written = pyslowfast_tensors(variables)
    expected = cases.load_rule().make_weights(case)
    assert written.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(written[key], array, key)


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


HUB = {
    "mvit_base_16": ("imagenet/mvit_b_16_conv_pytorchvideo", {"num_classes": 400}),
    "mvit_base_16x4": ("kinetics/mvit_b_16x4_conv", {}),
    "mvit_base_32x3": ("kinetics/mvit_b_32x3_conv", {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HUB)
def test_pytorchvideo(name, tmp_path):
    case, recorded = cases.manifest("pytorchvideo", name), cases.outputs("pytorchvideo", name)
    entry, options = HUB[name]
    model = zoo.create(entry, **options)
    clip, _ = cases.clip_and_boxes(case)
    tensors = cases.load_rule().make_weights(case)
    tensors |= {second: tensors[first] for second, first in case["aliases"].items()}
    write_pyth(tmp_path / "hub.pyth", tensors)
    variables = load_variables(tmp_path / "hub.pyth", variable_shapes(model))

    _, endpoints = jax.jit(model.apply)(variables, clip)
    assert relative(endpoints["logits"], recorded["logits"]) < 1e-4
    assert case["outputs"]["output_is"] == "logits"
    softmax = np.asarray(jax.nn.softmax(recorded["output"]))
    assert np.abs(np.asarray(endpoints["probs"]) - softmax).max() < 1e-5
