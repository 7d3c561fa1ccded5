"""Every convolutional network against what the original program computed, number by number.

The weights go through a file of the original's format, written without PyTorch, and the converter.
"""

import jax
import numpy as np
import pytest

from convert import load_variables
from convert.torch_file import write_pyth
from slowfast_jax.models.cost import count, totals
from slowfast_jax.models.fold import fold_batch_norm
from slowfast_jax.weights import variable_shapes
from tests.slowfast_jax.models import cases, recorded_cases, taps
from tests.slowfast_jax.models.recordings import (
    TOLERANCE,
    assert_as_recorded,
    assert_close,
    relative,
)
from tests.support.compiling import FAST
from tests.support.paths import needs_parity

QUICK = (  # one of each family
    "TINY_AVA_ALIGNED", "TINY_C2D_BASIC", "TINY_I3D_NL", "TINY_SLOWFAST", "TINY_SLOW_SUBBN",
    "TINY_X3D",
)
# Split batch norm keeps its affine in a separate multiply-add that the recording did not count.
UNCOUNTED_AFFINE = {"sub_batchnorm"}

pytestmark = needs_parity


CASES = [
    pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
    for name in cases.convolutional()
]


def compiled(name, model):
    """The forward pass. The small networks take longer to optimize than to run unoptimized."""
    return jax.jit(model.apply, compiler_options=FAST if "TINY" in name else None)


@pytest.mark.parametrize("name", CASES)
def test_pyslowfast(name, tmp_path):
    case, recorded = cases.manifest("models", name), cases.outputs("models", name)
    model = cases.network(case["cfg"])
    clip, boxes = cases.clip_and_boxes(case)
    shapes = variable_shapes(model)
    write_pyth(tmp_path / "case.pyth", cases.load_rule().make_weights(case))
    variables = load_variables(tmp_path / "case.pyth", shapes)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == case["param_count"]

    if any(p.get("c2_name") for p in case["params"]):
        cases.load_rule().write_c2(case, tmp_path / "case.pkl", extras=True)
        from_caffe2 = load_variables(tmp_path / "case.pkl", shapes)
        jax.tree.map(np.testing.assert_array_equal, variables, from_caffe2)

    _, endpoints = compiled(name, model)(variables, clip, boxes)
    assert_as_recorded(case, recorded, endpoints)

    folded, merged = fold_batch_norm(model, variables)
    _, endpoints = compiled(name, folded)(merged, clip, boxes)
    logits, probs = np.asarray(endpoints["logits"]), np.asarray(endpoints["probs"])
    if boxes is not None:
        logits, probs = cases.rows_of(case, logits), cases.rows_of(case, probs)
    assert relative(logits, recorded["logits"]) < 1e-4
    assert np.abs(probs - recorded["probs"]).max() < TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_costs(name):
    case = cases.manifest("models", name)
    model = cases.network(case["cfg"])
    for crop in ("test_crop", "train_crop"):
        recorded = case["stats"][crop]
        ours = totals(count(model, case["cfg"]["DATA"]["NUM_FRAMES"], recorded["crop"]))
        assert ours["params"] == case["param_count"]
        assert ours["activations"] / 1e6 == pytest.approx(recorded["mactivations"], rel=1e-6)
        gmacs = recorded["gflops"]
        if case["cfg"]["BN"]["NORM_TYPE"] in UNCOUNTED_AFFINE:
            head = case["cfg"]["MODEL"]["NUM_CLASSES"] * 4 / 1e6
            gmacs += (recorded["mactivations"] - head) / 1e3
        assert ours["macs"] / 1e9 == pytest.approx(gmacs, rel=0.01)


def run(case, name):
    """Endpoints of a case's network, compiled, with the weights of its file."""
    variables = load_variables(case.weights, variable_shapes(case.model))
    result, endpoints = compiled(name, case.model)(variables, case.clip, case.boxes)
    return np.asarray(result), {key: np.asarray(value) for key, value in endpoints.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", recorded_cases.HUB)
def test_pytorchvideo(name, tmp_path):
    case = recorded_cases.load("pytorchvideo", name, tmp_path)
    result, endpoints = run(case, name)
    assert_close(case, endpoints["probs"], endpoints["logits"])
    if case.boxes is None:
        assert relative(result, case.outputs["output"]) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", recorded_cases.FACTORIZED)
def test_factorized_networks(name, tmp_path):
    case = recorded_cases.load("pytorchvideo", name, tmp_path)
    parameters = jax.tree.leaves(variable_shapes(case.model)["params"])
    manifest = cases.manifest("pytorchvideo", name)
    assert sum(leaf.size for leaf in parameters) == manifest["param_count"]

    _, endpoints = run(case, name)
    for tap in taps.names(case.outputs):
        ours = endpoints[taps.pytorchvideo_endpoint(tap)]
        assert taps.compare(case.outputs, tap, ours) < 1e-4, tap
    assert_close(case, endpoints["probs"], endpoints["logits"])


@pytest.mark.slow
@pytest.mark.parametrize("name", recorded_cases.MMACTION2)
def test_mmaction2(name, tmp_path):
    case = recorded_cases.load("mmaction2", name, tmp_path)
    _, endpoints = run(case, name)
    assert_close(case, endpoints["probs"], endpoints["logits"])


@pytest.mark.parametrize("name", [
    *(pytest.param(name, marks=pytest.mark.slow) for name in recorded_cases.PADDLE),
    *recorded_cases.PADDLE_FILES,
])
def test_paddle(name, tmp_path):
    case = recorded_cases.load("paddlevideo", name, tmp_path)
    _, endpoints = run(case, name)
    assert_close(case, endpoints["probs"], endpoints["logits"])


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name == recorded_cases.MINDSPORE_FILE else [pytest.mark.slow])
    for name in recorded_cases.MINDSPORE
])
def test_mindspore(name, tmp_path):
    case = recorded_cases.load("mindspore", name, tmp_path)
    _, endpoints = run(case, name)
    for tap in taps.names(case.outputs):
        endpoint = taps.endpoint_of(tap, endpoints)
        ours = endpoints[endpoint]
        if endpoint == "features" or endpoint.startswith("head/roi"):
            ours = case.rows(ours)
        assert taps.compare(case.outputs, tap, ours) < 1e-4, tap
    assert_close(case, endpoints["probs"], endpoints["logits"])
