"""Every convolutional network against what the original program computed, number by number.

The weights go through a file of the original's format, written without PyTorch, and the converter.
"""

import jax
import numpy as np
import pytest

from convert import load_variables
from convert.torch_file import write_pyth
from slowfast_jax.models import zoo
from slowfast_jax.models.cost import count, totals
from slowfast_jax.models.fold import fold_batch_norm
from slowfast_jax.models.slowfast import SlowFast
from slowfast_jax.weights import variable_shapes
from tests.slowfast_jax.models import cases, taps
from tests.slowfast_jax.models.recordings import assert_as_recorded, relative
from tests.support.compiling import FAST
from tests.support.paths import PARITY, needs_parity

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
    assert_recorded(logits, probs, recorded)


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


# The PySlowFast configuration of a PyTorchVideo hub model, by its manifest in models/.
HUB = {
    "slow_r50": "SLOW_8x8_R50",
    "slowfast_r50": "SLOWFAST_8x8_R50",
    "slowfast_r101": "c2_SLOWFAST_8x8_R101_101_101",
    "slowfast_16x8_r101_50_50": "c2_SLOWFAST_16x8_R101_50_50",
    "c2d_r50": "C2D_8x8_R50",
    "i3d_r50": "I3D_8x8_R50",
    "x3d_xs": "X3D_XS",
    "x3d_s": "X3D_XS",
    "x3d_m": "X3D_M",
    "x3d_l": "X3D_M",
    "slow_r50_detection": "AVA_SLOW_8x8_R50_SHORT",
    "slowfast_r50_detection": "AVA_SLOWFAST_32x2_R50_SHORT",
}
HUB_OVERRIDES = {
    "x3d_s": dict(num_frames=13),
    "x3d_l": dict(depth_factor=5.0, crop_size=312),
    "slow_r50_detection": dict(roi_aligned=False),
    "slowfast_r50_detection": dict(roi_aligned=False),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HUB)
def test_pytorchvideo(name, tmp_path):
    case, recorded = cases.manifest("pytorchvideo", name), cases.outputs("pytorchvideo", name)
    cfg = cases.manifest("models", HUB[name])["cfg"]
    model = cases.network(cfg).clone(average="logits", **HUB_OVERRIDES.get(name, {}))
    clip, boxes = cases.clip_and_boxes(case)
    write_pyth(tmp_path / "hub.pyth", cases.load_rule().make_weights(case))
    variables = load_variables(tmp_path / "hub.pyth", variable_shapes(model))

    logits, endpoints = jax.jit(model.apply)(variables, clip, boxes)
    if boxes is not None:
        rows = cases.rows_of(case, np.asarray(endpoints["logits"]))
        assert relative(rows[:, None, None, None], recorded["logits"]) < 1e-4
        probs = cases.rows_of(case, np.asarray(endpoints["probs"]))
        assert np.abs(probs - recorded["output"]).max() < 1e-5
        return
    assert relative(endpoints["logits"], recorded["logits"]) < 1e-4
    assert case["outputs"]["output_is"] == "logits"
    assert relative(logits, recorded["output"]) < 1e-4
    softmax = np.asarray(jax.nn.softmax(recorded["output"]))
    assert np.abs(np.asarray(endpoints["probs"]) - softmax).max() < 1e-5


# Networks that PySlowFast builds from PyTorchVideo's modules, and their zoo entries.
FACTORIZED = {
    "csn_r101": "kinetics/csn_32x2_r101", "r2plus1d_r50": "kinetics/r2plus1d_16x4_r50",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FACTORIZED)
def test_factorized_networks(name, tmp_path):
    case, recorded = cases.manifest("pytorchvideo", name), cases.outputs("pytorchvideo", name)
    model = zoo.create(FACTORIZED[name])
    clip, _ = cases.clip_and_boxes(case)
    write_pyth(tmp_path / "hub.pyth", cases.load_rule().make_weights(case))
    variables = load_variables(tmp_path / "hub.pyth", variable_shapes(model))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == case["param_count"]

    _, endpoints = jax.jit(model.apply)(variables, clip)
    for tap in taps.names(recorded):
        ours = np.asarray(endpoints[taps.pytorchvideo_endpoint(tap)])
        assert taps.compare(recorded, tap, ours) < 1e-4, tap
    assert relative(endpoints["logits"], recorded["logits"]) < 1e-4
    expected = recorded["output"]
    if case["outputs"]["output_is"] == "logits":
        expected = np.asarray(jax.nn.softmax(expected))
    assert np.abs(np.asarray(endpoints["probs"]) - expected).max() < 1e-5


# Cases of other programs and the zoo entries for their files.
MMACTION2 = {
    "slowfast_r50_4x16": "mmaction2/slowfast_4x16_r50",
    "slowfast_r50_8x8": "mmaction2/slowfast_8x8_r50",
    "slowfast_r50_8x8_steplr": "mmaction2/slowfast_8x8_r50_steplr",
    "slowfast_r101-r50_4x16": "kinetics/slowfast_4x16_r101",
    "slowfast_r101_8x8": "kinetics/slowfast_8x8_r101",
    "slowfast_r152-r50_4x16": "kinetics/slowfast_4x16_r152",
    "slowfast_r152-r50_8x8": "kinetics/slowfast_8x8_r152",
    "slowonly_r50_4x16": "mmaction2/slowonly_4x16_r50",
    "slowonly_r50_8x8": "mmaction2/slowonly_8x8_r50",
    "slowonly_r101_8x8": "mmaction2/slowonly_8x8_r101",
    "slowonly_r50_nl_4x16": "mmaction2/slowonly_nl_4x16_r50",
    "ava_slowfast_r50_4x16": "mmaction2/ava_slowfast_4x16_r50",
    "ava_slowfast_r50_8x8": "mmaction2/ava_slowfast_8x8_r50",
    "ava_slowfast_r50_4x16_context": "mmaction2/ava_slowfast_4x16_r50_context",
    "ava_slowfast_r50_8x8_tmax": "mmaction2/ava_slowfast_8x8_r50_temporal_max",
    "ava_slowonly_r50_4x16": "mmaction2/ava_slowonly_4x16_r50",
    "ava_slowonly_r50_8x8": "mmaction2/ava_slowonly_8x8_r50",
    "ava_slowonly_r101_8x8": "mmaction2/ava_slowonly_8x8_r101",
}
PADDLE = {
    "SLOWFAST": "kinetics/slowfast_4x16_r50",
    "DYGRAPH_SLOWFAST": "kinetics/slowfast_4x16_r50",
    "SLOWFAST_MULTIGRID": "kinetics/slowfast_8x8_r50",
    "AVA": "paddlevideo/ava_slowfast_8x8_r50",
}
PADDLE_TINY = dict(num_classes=5, depth=18, width=2, beta=2, fusion_kernel=5, num_frames=16,
                   crop_size=64, num_block_temp_kernel=((2, 2, 2, 2),) * 2)


def run_port(folder, name, path, model):
    """Logits and probabilities of a case, with the weights of a file; rows of boxes in a row."""
    case = cases.manifest(folder, name)
    clip, boxes = cases.clip_and_boxes(case)
    variables = load_variables(path, variable_shapes(model))
    _, endpoints = compiled(name, model)(variables, clip, boxes)
    logits, probs = np.asarray(endpoints["logits"]), np.asarray(endpoints["probs"])
    if boxes is not None:
        return cases.rows_of(case, logits), cases.rows_of(case, probs)
    return logits, probs


def assert_recorded(logits, probs, recorded):
    assert relative(logits, recorded["logits"]) < 1e-4
    assert np.abs(probs - recorded["probs"]).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", MMACTION2)
def test_mmaction2(name, tmp_path):
    case, recorded = cases.manifest("mmaction2", name), cases.outputs("mmaction2", name)
    write_pyth(tmp_path / "w.pth", cases.load_rule().make_weights(case))
    model = zoo.create(MMACTION2[name])
    logits, probs = run_port("mmaction2", name, tmp_path / "w.pth", model)
    if model.detection:
        recorded = {key: recorded[key][:, 1:] for key in ("logits", "probs")}  # without background
    else:
        logits, probs = logits[:, 0, 0, 0], probs.mean(0)
    assert_recorded(logits, probs, recorded)


@pytest.mark.slow
@pytest.mark.parametrize("name", PADDLE)
def test_paddle(name, tmp_path):
    case, recorded = cases.manifest("paddlevideo", name), cases.outputs("paddlevideo", name)
    write_pyth(tmp_path / "w.pth", cases.load_rule().make_weights(case))
    model = zoo.create(PADDLE[name])
    logits, probs = run_port("paddlevideo", name, tmp_path / "w.pth", model)
    if model.detection:  # without background; empty boxes, which we refuse, get the bias there
        wide = recorded["boxes"][:, 3] > recorded["boxes"][:, 1]
        recorded = {key: recorded[key][wide, 1:] for key in ("logits", "probs")}
        logits, probs = logits[wide], probs[wide]
        assert len(logits) == 5
    assert_recorded(logits, probs, recorded)


@pytest.mark.parametrize("name", ["TINY_SLOWFAST", "DYGRAPH_TINY_SLOWFAST"])
def test_files_that_paddle_wrote(name):
    recorded = cases.outputs("paddlevideo", name)
    path = PARITY / "paddlevideo" / f"{name.lower()}.pdparams"
    logits, probs = run_port("paddlevideo", name, path, SlowFast(**PADDLE_TINY))
    assert_recorded(logits, probs, recorded)


@pytest.mark.parametrize("name", [
    "TINY_AVA", pytest.param("TINY_AVA_W16", marks=pytest.mark.slow),
    pytest.param("AVA_SLOWFAST_32x2_R50_SHORT", marks=pytest.mark.slow),
])
def test_mindspore(name, tmp_path):
    """The weights of TINY_AVA are a file that MindSpore wrote."""
    case, recorded = cases.manifest("mindspore", name), cases.outputs("mindspore", name)
    clip = cases.clip_and_boxes(case | {"boxes": None})[0]
    mask = np.array(case["mask"], bool)
    boxes = np.array(case["boxes"], np.float32)[:, : mask.sum(1).max()]
    model = cases.network(case["cfg"] | {
        "DATA": {
            "NUM_FRAMES": clip.shape[1], "TRAIN_CROP_SIZE": 224, "MEAN": [0.45] * 3,
            "STD": [0.225] * 3,
        },
        "MULTIGRID": {"SHORT_CYCLE": False},
        "NONLOCAL": cases.manifest("models", "AVA_SLOWFAST_32x2_R50_SHORT")["cfg"]["NONLOCAL"],
    }).clone(roi_variant="mindspore")
    path = PARITY / "mindspore" / "tiny_slowfast.ckpt"
    if name != "TINY_AVA":
        path = tmp_path / "w.pyth"
        write_pyth(path, cases.load_rule().make_weights(case))
    variables = load_variables(path, variable_shapes(model))
    _, endpoints = compiled(name, model)(variables, clip, boxes)
    endpoints = {k: np.asarray(v) for k, v in endpoints.items()}
    real = mask[:, : boxes.shape[1]]
    for tap in taps.names(recorded):
        endpoint = taps.endpoint_of(tap, endpoints)
        ours = endpoints[endpoint]
        if endpoint == "features" or endpoint.startswith("head/roi"):
            ours = ours[real]
        assert taps.compare(recorded, tap, ours) < 1e-4, tap
    assert relative(endpoints["logits"][real], recorded["logits"]) < 1e-4
    assert np.abs(endpoints["probs"][real] - recorded["probs"]).max() < 1e-5

