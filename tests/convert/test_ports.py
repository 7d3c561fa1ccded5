"""Files of MMAction2, Paddle and MindSpore: names, containers and the networks they need."""

import json
import pickle

import jax
import numpy as np
import pytest

from convert import CheckpointError, read_checkpoint
from convert.exports import export_pyth, pyslowfast_tensors
from convert.load import fit, load_variables, map_to_paths
from convert.names import canonical_names, family_of, ports, scheme_of, to_pyslowfast
from convert.readers import ForeignCheckpoint
from convert.verify import compare_bytes
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.convert_command import describe_report
from slowfast_jax.models import zoo
from slowfast_jax.weights import check_origin, variable_shapes
from tests.convert.cases import manifest, manifests, random_variables, weights_rule
from tests.convert.test_names import empty, entries
from tests.convert.torch_pickles import Global, dumped, refused
from tests.support.paths import PARITY, needs_parity

PADDLE, MINDSPORE = PARITY / "paddlevideo", PARITY / "mindspore"
# (scheme, name in that scheme, PySlowFast name)
NAMES = (
    ("MMAction2", "backbone.conv1.conv.weight", "s1.pathway0_stem.conv.weight"),
    ("MMAction2", "backbone.fast_path.conv1.bn.bias", "s1.pathway1_stem.bn.bias"),
    ("MMAction2", "backbone.slow_path.conv1_lateral.conv.weight", "s1_fuse.conv_f2s.weight"),
    ("MMAction2", "backbone.slow_path.layer3_lateral.bn.weight", "s4_fuse.bn.weight"),
    ("MMAction2", "backbone.fast_path.layer2.10.conv3.bn.running_mean",
     "s3.pathway1_res10.branch2.c_bn.running_mean"),
    ("MMAction2", "backbone.layer4.0.downsample.conv.weight", "s5.pathway0_res0.branch1.weight"),
    ("MMAction2", "backbone.layer4.0.downsample.bn.bias", "s5.pathway0_res0.branch1_bn.bias"),
    ("MMAction2", "backbone.layer2.2.non_local_block.phi.0.conv.bias",
     "s3.pathway0_nonlocal2.conv_phi.bias"),
    ("MMAction2", "backbone.layer2.2.non_local_block.theta.conv.bias",
     "s3.pathway0_nonlocal2.conv_theta.bias"),
    ("MMAction2", "backbone.layer2.2.non_local_block.conv_out.conv.weight",
     "s3.pathway0_nonlocal2.conv_out.weight"),
    ("MMAction2", "backbone.layer2.2.non_local_block.conv_out.bn.bias",
     "s3.pathway0_nonlocal2.bn.bias"),
    ("MMAction2", "cls_head.fc_cls.weight", "head.projection.weight"),
    ("MMAction2", "roi_head.bbox_head.fc_cls.weight", "head.projection.weight"),
    ("MMAction2", "roi_head.bbox_head.fc_cls.0.bias", "head.hidden.bias"),
    ("MMAction2", "roi_head.bbox_head.fc_cls.2.bias", "head.projection.bias"),
    ("Paddle", "backbone.s1.pathway1_stem._bn._mean", "s1.pathway1_stem.bn.running_mean"),
    ("Paddle", "s4_fuse._conv_f2s.weight", "s4_fuse.conv_f2s.weight"),
    ("Paddle", "roi_head.bbox_head.fc_cls.bias", "head.projection.bias"),
    ("MindSpore", "net.s2.pathway0_res0.branch2.a_bn.bn2d.gamma",
     "s2.pathway0_res0.branch2.a_bn.weight"),
    ("MindSpore", "s1_fuse.bn.bn2d.moving_variance", "s1_fuse.bn.running_var"),
)


@pytest.mark.parametrize("scheme, theirs, name", NAMES)
def test_spelling(scheme, theirs, name):
    assert canonical_names([theirs], scheme) == {theirs: name}


def cases_of(folder: str, *left_out: str) -> list[tuple[str, str]]:
    return [(folder, n) for n in manifests(folder) if n not in left_out and "_names" not in n]


@needs_parity
@pytest.mark.parametrize(
    "folder, name",
    cases_of("mmaction2") + cases_of("paddlevideo") + cases_of("mindspore"),
)
def test_every_tensor_maps_to_a_path(folder, name):
    tensors = empty(entries(manifest(folder, name)))
    scheme = {"mmaction2": "MMAction2", "paddlevideo": "Paddle", "mindspore": "MindSpore"}[folder]
    assert scheme_of(tensors) == scheme
    family = "SlowFast" if any("fast" in n or "pathway1" in n for n in tensors) else "one pathway"
    given, report = map_to_paths(ForeignCheckpoint("", tensors, {}), family, set())
    assert family_of(given) == family
    assert None not in [to_pyslowfast(path, family) for path in given]
    added = [how for how in report.derived.values() if how.startswith("zero")]
    assert len(given) + len(report.ignored) == len(tensors) + len(added)
    unused = 16 if folder == "paddlevideo" and "AVA" in name else 0
    assert len(report.ignored) == unused


@needs_parity
@pytest.mark.parametrize("case, model", [
    ("slowfast_r50_4x16", "mmaction2/slowfast_4x16_r50"),
    ("slowonly_r50_nl_4x16", "mmaction2/slowonly_nl_4x16_r50"),
    ("ava_slowfast_r50_8x8", "mmaction2/ava_slowfast_8x8_r50"),
    ("ava_slowfast_r50_4x16_context", "mmaction2/ava_slowfast_4x16_r50_context"),
])
def test_mmaction2_files_fit_their_models(case, model):
    tensors = empty(entries(manifest("mmaction2", case)))
    checkpoint = ForeignCheckpoint("torch zip", tensors, {})
    check_origin("w.pth", checkpoint, load_config(model), ())
    _, report = fit(checkpoint, variable_shapes(zoo.create(model)))
    if "ava" in case:
        assert report.derived["head/projection/bias"] == "without class 0, the background"


def head_of(scheme: str, name: str, weight: np.ndarray, **more) -> np.ndarray:
    """The converted weight of a classifier."""
    known = {"head.projection.weight": (name, weight), **more}
    return ports.as_pyslowfast(known, scheme)[0]["head.projection.weight"][1]


def test_classifiers_are_stored_as_in_pyslowfast():
    rows = np.arange(12).reshape(3, 4)
    fast = {"s5.pathway1_res0.branch2.c_bn.weight": ("", np.ones(1))}
    assert head_of("MMAction2", "cls_head.fc_cls.weight", rows, **fast)[0].tolist() == [1, 2, 3, 0]
    assert head_of("MMAction2", "cls_head.fc_cls.weight", rows)[0].tolist() == [0, 1, 2, 3]
    boxes = "roi_head.bbox_head.fc_cls.weight"
    assert head_of("MMAction2", boxes, rows, **fast).tolist() == rows[1:].tolist()
    assert head_of("Paddle", "head.projection.weight", rows.T).tolist() == rows.tolist()
    assert head_of("Paddle", boxes, rows.T).tolist() == rows[1:].tolist()
    assert head_of("PySlowFast", "head.projection.weight", rows) is rows


SLOWFAST_NAMES = ("backbone.slow_path.conv1.conv.weight", "backbone.slow_path.conv1_lateral.conv.w")
HUB_BOXES = ("blocks.1.res_blocks.0.x", "detection_head.proj.weight")


@pytest.mark.parametrize("names, wrong, right, words", [
    ((*SLOWFAST_NAMES, "cls_head.fc_cls.weight"), "kinetics/slowfast_8x8_r50",
     "kinetics/slowfast_8x8_r101",
     ("MMAction2", "slow_frames='stride' (the config has 'linspace')", "lateral_norm=False",
      "head_pool='global'", "mean=(0.485", "mmaction2/slowfast_8x8_r50")),
    ((*SLOWFAST_NAMES, "roi_head.bbox_head.fc_cls.bias"), "ava/slowfast_32x2_r50_short",
     "mmaction2/ava_slowfast_8x8_r50", ("dilations=(1, 1, 1, 1)", "roi_resolution=8")),
    (("s1_fuse._bn.weight", "roi_head.bbox_head.fc_cls.bias"), "ava/slowfast_32x2_r50_short",
     "paddlevideo/ava_slowfast_8x8_r50", ("Paddle", "lateral_norm=False")),
    (HUB_BOXES, "ava/slow_8x8_r50_short", "ava/slow_8x8_r50",
     ("PyTorchVideo", "roi_aligned=False (the config has True)", "ava/slow_8x8_r50")),
    (tuple(f"model.{name}" for name in HUB_BOXES), "ava/slow_8x8_r50_short", "ava/slow_8x8_r50",
     ("PyTorchVideo",)),
])
def test_networks_that_compute_something_else_are_refused(names, wrong, right, words):
    checkpoint = ForeignCheckpoint("torch zip", dict.fromkeys(names), {})
    with pytest.raises(ConfigError) as error:
        check_origin("w.pth", checkpoint, load_config(wrong), ())
    assert all(word in str(error.value) for word in ("w.pth", *words)), error.value
    check_origin("w.pth", checkpoint, load_config(right), ())
    check_origin("w.pth", checkpoint, load_config(wrong), ("head/.*",))  # fine-tuning


HEAD_CONFIG = """
model = dict(roi_head=dict(
    bbox_roi_extractor=dict(output_size=8, with_temporal_pool=True, temporal_pool_mode="max"),
    bbox_head=dict(type="BBoxHeadAVA", background_class=True)))
"""


@pytest.mark.parametrize("config, wrong, right", [
    (HEAD_CONFIG, "mmaction2/ava_slowfast_8x8_r50", "mmaction2/ava_slowfast_8x8_r50_temporal_max"),
    (HEAD_CONFIG.replace('"max"', '"avg"'), "mmaction2/ava_slowfast_8x8_r50_temporal_max",
     "mmaction2/ava_slowfast_8x8_r50"),
])
def test_pooling_over_time_is_that_of_the_file(config, wrong, right):
    names = (*SLOWFAST_NAMES, "roi_head.bbox_head.fc_cls.bias")
    checkpoint = ForeignCheckpoint("", dict.fromkeys(names), {"program_config": config})
    check_origin("w.pth", checkpoint, load_config(right), ())
    with pytest.raises(ConfigError, match=f"set roi_time_pool='(max|mean)'.*{right}"):
        check_origin("w.pth", checkpoint, load_config(wrong), ())


def test_a_hidden_layer(tmp_path):
    """Read from MMAction2's names, and not written under PySlowFast's, which has none."""
    shapes = variable_shapes(zoo.create(
        "mmaction2/ava_slowonly_8x8_r50_context_temporal_max_nl_head", depth=18, width=2,
        num_block_temp_kernel=(2, 2, 2, 2), num_classes=6,
    ))
    variables = random_variables(shapes)
    tensors = pyslowfast_tensors(variables)
    with pytest.raises(ValueError, match=r"has a hidden layer \(roi_hidden=True\)"):
        export_pyth(tmp_path / "w.pyth", variables)
    background = np.zeros((1, 128), np.float32)
    theirs = {
        "fc_cls.0.weight": tensors.pop("head.hidden.weight"),
        "fc_cls.0.bias": tensors.pop("head.hidden.bias"),
        "fc_cls.2.weight": np.concatenate([background, tensors.pop("head.projection.weight")]),
        "fc_cls.2.bias": np.concatenate([[7], tensors.pop("head.projection.bias")]),
    }
    assert ports.required_keywords([f"roi_head.bbox_head.{n}" for n in theirs], "MMAction2") == (
        ports.ROI_HEAD | {"roi_hidden": True}
    )
    renamed = {f"roi_head.bbox_head.{name}": array for name, array in theirs.items()}
    spelled = canonical_names(renamed, "MMAction2")
    known = {spelled[name]: (name, a) for name, a in renamed.items()}
    found, _, _ = ports.as_pyslowfast(known, "MMAction2")
    head = variables["params"]["head"]
    np.testing.assert_array_equal(found["head.hidden.weight"][1].T, head["hidden"]["kernel"])
    np.testing.assert_array_equal(
        found["head.projection.weight"][1].T, head["projection"]["kernel"]
    )
    np.testing.assert_array_equal(found["head.projection.bias"][1], head["projection"]["bias"])


def test_laterals_without_norm_are_not_exported(tmp_path):
    model = zoo.create("kinetics/mini", lateral_norm=False)
    variables = random_variables(variable_shapes(model))
    assert "s1_fuse.conv_f2s.weight" in pyslowfast_tensors(variables)
    with pytest.raises(ValueError, match="lateral_norm=False"):
        export_pyth(tmp_path / "w.pyth", variables)
    assert not list(tmp_path.iterdir())


# File formats.


def assert_holds(path, expected: dict) -> ForeignCheckpoint:
    checkpoint = read_checkpoint(path)
    assert set(checkpoint.tensors) == set(expected)
    for name, array in expected.items():
        assert checkpoint.tensors[name].shape == array.shape
        np.testing.assert_array_equal(checkpoint.tensors[name], array)
    return checkpoint


@needs_parity
@pytest.mark.parametrize("name", ["tiny_slowfast", "dygraph_tiny_slowfast"])
def test_paddle_files(name):
    expected = dict(np.load(PADDLE / f"{name}_expected.npz"))
    assert assert_holds(PADDLE / f"{name}.pdparams", expected).kind == "paddle"


@needs_parity
@pytest.mark.parametrize("name", ["protocol2", "nested", "float16", "bfloat16"])
def test_paddle_containers(name):
    checkpoint = read_checkpoint(PADDLE / f"container_{name}.pdparams")
    assert checkpoint.kind == "paddle"
    expected = np.load(PADDLE / "container_expected.npz")
    assert set(checkpoint.tensors) == set(expected.files)
    digits = {"float16": 2**-11, "bfloat16": 2**-8}.get(name, 0)
    for key, array in checkpoint.tensors.items():
        np.testing.assert_allclose(array, expected[key], rtol=digits, atol=digits / 100)
    assert checkpoint.metadata["container"] == ("state_dict" if name == "nested" else "")


def test_large_paddle_arrays_are_joined(tmp_path):
    content = {
        "w@@.0": np.arange(4), "w@@.1": np.arange(4, 6),
        "UnpackBigParamInfor@@": {"w": {"OriginShape": (2, 3), "slices": ["w@@.0", "w@@.1"]}},
        "StructuredToParameterName@@": {"w": "linear_0.w_0"},
    }
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(content))
    assert_holds(tmp_path / "w.pdparams", {"w": np.arange(6).reshape(2, 3)})
    del content["w@@.1"]
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(content))
    refused(tmp_path / "w.pdparams", "table of large arrays", "w@@.1", "damaged")


def test_code_in_a_paddle_file_does_not_run(tmp_path):
    content = {"StructuredToParameterName@@": {}, "w": Global("os system")}
    (tmp_path / "w.pdparams").write_bytes(dumped(content))
    refused(tmp_path / "w.pdparams", "an object of os.system", "Nothing was run")


@needs_parity
@pytest.mark.parametrize("name", ["types", "crc", "sliced"])
def test_mindspore_containers(name):
    expected = np.load(MINDSPORE / "container_expected.npz")
    arrays = {n.split("/", 1)[1]: expected[n] for n in expected.files if n.startswith(name + "/")}
    arrays = {n: a for n, a in arrays.items() if a.dtype.kind != "U"}
    checkpoint = assert_holds(MINDSPORE / f"container_{name}.ckpt", arrays)
    assert checkpoint.kind == "mindspore"
    assert checkpoint.metadata["other"] == (["note"] if name == "types" else [])


@needs_parity
def test_mindspore_weights():
    path = MINDSPORE / "tiny_slowfast.ckpt"
    assert_holds(path, dict(np.load(MINDSPORE / "tiny_slowfast_expected.npz")))
    rule = weights_rule().make_weights(manifest("mindspore", "TINY_AVA"))
    np.testing.assert_array_equal(
        read_checkpoint(path).tensors["net.head.projection.weight"], rule["head.projection.weight"]
    )


@needs_parity
def test_mindspore_training_state_is_ignored():
    names = json.loads((MINDSPORE / "SLOWFAST_32x2_R50_SHORT_names.json").read_text())
    extra = [entry["name"] for entry in names["optimizer_params"]]
    assert all(ports.ignore_reason(name, "MindSpore") for name in [*extra, "epoch_num", "step_num"])
    assert not any(ports.ignore_reason(entry["name"], "MindSpore") for entry in names["params"])


@needs_parity
@pytest.mark.parametrize("cut", [30, 100, 5000, -1, -40])
def test_a_truncated_mindspore_file(tmp_path, cut):
    data = (MINDSPORE / "tiny_slowfast.ckpt").read_bytes()
    (tmp_path / "w.ckpt").write_bytes(data[:cut])
    refused(tmp_path / "w.ckpt", "MindSpore", "truncated or damaged")


@needs_parity
def test_a_mindspore_file_with_a_flipped_bit(tmp_path):
    data = bytearray((MINDSPORE / "container_crc.ckpt").read_bytes())
    data[60] ^= 1
    (tmp_path / "w.ckpt").write_bytes(data)
    refused(tmp_path / "w.ckpt", "the checksum of the MindSpore file is wrong")
    data = (MINDSPORE / "tiny_slowfast.ckpt").read_bytes()
    for position in range(0, 400, 7):  # no exception but CheckpointError
        wrong = bytearray(data[:1250])
        wrong[position] ^= 0x55
        (tmp_path / "w.ckpt").write_bytes(wrong)
        with pytest.raises(CheckpointError):
            read_checkpoint(tmp_path / "w.ckpt")


@needs_parity
def test_the_report_says_what_was_changed(tmp_path):
    case = manifest("mindspore", "TINY_AVA")
    checkpoint = read_checkpoint(MINDSPORE / "tiny_slowfast.ckpt")
    shapes = variable_shapes(zoo.create(
        "ava/slowfast_32x2_r50_short", width=2, beta=2, fusion_ratio=1, num_classes=7
    ))
    variables, report = fit(checkpoint, shapes)
    lines = "\n".join(describe_report("w.ckpt", checkpoint, variables, report))
    assert "mindspore, MindSpore names" in lines
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == case["param_count"]
    compared, different = compare_bytes(checkpoint, variables, report)
    assert (compared, different) == (552, [])

    tensors = weights_rule().make_weights(manifest("paddlevideo", "TINY_AVA"))
    checkpoint = ForeignCheckpoint("paddle", dict(tensors), {})
    shapes = variable_shapes(zoo.create(
        "paddlevideo/ava_slowfast_8x8_r50", width=16, num_classes=6
    ))
    variables, report = fit(checkpoint, shapes)
    lines = "\n".join(describe_report("w.pdparams", checkpoint, variables, report))
    assert "ignored   16: batch norm of a lateral connection" in lines
    assert "head/projection/kernel: transposed, without class 0" in lines
    assert compare_bytes(checkpoint, variables, report) == (534, [])


@needs_parity
def test_loading_a_paddle_file_into_another_network_is_refused():
    model = zoo.create("kinetics/mini", num_classes=5)
    with pytest.raises(ValueError, match="fit the model. The file looks like SlowFast, ") as error:
        load_variables(PADDLE / "tiny_slowfast.pdparams", variable_shapes(model))
    assert "Paddle names" in str(error.value)
