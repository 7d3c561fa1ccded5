"""Files for PyTorchVideo, MMAction2 and Caffe2: what they hold, and reading them again."""

import dataclasses
import pickle

import jax
import numpy as np
import pytest

from convert import export, pyslowfast_tensors, read_checkpoint
from convert.exports import PROGRAMS
from convert.load import fit, load_variables
from convert.names import scheme_of
from convert.readers import ForeignCheckpoint
from slowfast_jax.models import zoo
from slowfast_jax.weights import variable_shapes
from tests.convert.cases import assert_same, manifest, random_variables, weights_rule
from tests.support.paths import needs_parity

SMALL = dict(depth=(1, 2, 1, 1), num_classes=4, crop_size=32, num_frames=4, width=8)
NONLOCAL = ((), (0,), (), ())
NETWORKS = {
    "Slow": dict(SMALL, name="kinetics/slow_8x8_r50"),
    "C2D": dict(SMALL, name="kinetics/c2d_8x8_r50"),
    "Slow, boxes": dict(SMALL, name="ava/slow_8x8_r50"),
    "SlowFast": dict(SMALL, name="kinetics/slowfast_8x8_r50", num_frames=8, beta=4),
    "CSN": dict(SMALL, name="kinetics/csn_32x2_r101", num_frames=8),
    "R(2+1)D": dict(SMALL, name="kinetics/r2plus1d_16x4_r50"),
    "X3D": dict(
        name="kinetics/x3d_xs", num_classes=4, crop_size=32, width_factor=1.0, depth_factor=0.2,
        head_width=16,
    ),
    "MViT": dict(
        name="kinetics/mvit_b_16x4_conv", num_classes=4, num_frames=4, crop_size=32, depth=2,
        width=16, dim_mul=((1, 2.0),), head_mul=((1, 2.0),), q_strides=((1, 1, 2, 2),),
    ),
    "Slow, non-local": dict(SMALL, name="kinetics/slow_nln_8x8_r50", nonlocal_blocks=NONLOCAL),
    "SlowOnly": dict(SMALL, name="mmaction2/slowonly_8x8_r50"),
    "SlowOnly, non-local": dict(
        SMALL, name="mmaction2/slowonly_nl_4x16_r50", nonlocal_blocks=NONLOCAL
    ),
    "MMAction2's SlowFast": dict(
        SMALL, name="mmaction2/slowfast_8x8_r50", num_frames=8, beta=4, depth=((1, 2, 1, 1),) * 2
    ),
    "MMAction2's SlowFast, boxes": dict(
        SMALL, name="mmaction2/ava_slowfast_8x8_r50", num_frames=8, beta=4,
        depth=((1, 2, 1, 1),) * 2,
    ),
    "SlowOnly, boxes with a hidden layer": dict(
        SMALL, name="mmaction2/ava_slowonly_8x8_r50_context_temporal_max_nl_head"
    ),
}
WRITTEN = {
    "pytorchvideo": (
        "Slow", "C2D", "Slow, boxes", "SlowFast", "CSN", "R(2+1)D", "X3D", "MViT", "SlowOnly"
    ),
    "mmaction2": (
        "Slow", "SlowOnly", "SlowOnly, non-local", "MMAction2's SlowFast",
        "MMAction2's SlowFast, boxes", "SlowOnly, boxes with a hidden layer",
    ),
    "caffe2": ("Slow", "C2D", "SlowFast", "X3D", "Slow, non-local"),
}
QUICK = (("pytorchvideo", "X3D"), ("mmaction2", "SlowOnly, non-local"))
SCHEMES = {"pytorchvideo": "PyTorchVideo", "mmaction2": "MMAction2", "caffe2": "Caffe2"}


def keywords(model):
    return {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}


def small(name):
    options = dict(NETWORKS[name])
    return zoo.create(options.pop("name"), **options)


def variables_of(model):
    """Random variables with which activations stay finite."""
    variables = random_variables(variable_shapes(model))
    made = {"params": jax.tree.map(lambda a: a * np.float32(0.1), variables["params"])}
    if stats := variables.get("batch_stats"):
        made["batch_stats"] = jax.tree.map(lambda a: 1 + np.abs(a), stats)
    return made


def without_biases(variables):
    """Those that MMAction2 has not, before the batch norms of non-local blocks, are 0."""
    def zero(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return np.zeros_like(leaf) if name.endswith("/out/bias") else leaf

    return jax.tree_util.tree_map_with_path(zero, variables)


@pytest.mark.parametrize("program, name", [
    pytest.param(program, name, marks=[] if (program, name) in QUICK else [pytest.mark.slow])
    for program, names in WRITTEN.items() for name in names
])
def test_a_file_and_back_is_exact(program, name, tmp_path):
    model = small(name)
    variables = without_biases(variables_of(model))
    if name == "X3D":  # its first shortcut is as in a file of PyTorchVideo
        variables = identity_shortcut(variables)
    written = export(program, tmp_path / "w.pyth", variables, keywords(model))
    assert not written.changed
    found = read_checkpoint(tmp_path / "w.pyth")
    assert scheme_of(found.tensors) == SCHEMES[program]
    assert found.tensors.keys() == written.tensors.keys()
    assert_same(load_variables(tmp_path / "w.pyth", variable_shapes(model)), variables)


def identity_shortcut(variables):
    norm, stats = (variables[c]["res2"]["block0"]["shortcut_bn"] for c in ("params", "batch_stats"))
    norm["scale"] = np.full_like(norm["scale"], np.sqrt(1 + 1e-5))
    norm["bias"], stats["mean"] = np.zeros_like(norm["bias"]), np.zeros_like(stats["mean"])
    stats["var"] = np.ones_like(stats["var"])
    return variables


@pytest.mark.slow
@pytest.mark.parametrize("program, name, text", [
    ("pytorchvideo", "X3D", "s2.pathway0_res0.branch1_bn is folded into the kernel"),
    ("mmaction2", "SlowOnly, non-local", "conv_out.bias is subtracted from s3.pathway0_nonlocal0"),
])
def test_what_a_program_lacks_goes_where_it_computes_the_same(program, name, text, tmp_path):
    model = small(name)
    variables = variables_of(model)
    written = export(program, tmp_path / "w.pyth", variables, keywords(model))
    assert len(written.changed) == 1 and text in written.changed[0]
    again = load_variables(tmp_path / "w.pyth", variable_shapes(model))
    side = model.crop_size
    clip = np.random.default_rng(0).integers(0, 255, (1, model.num_frames, side, side, 3), np.uint8)
    apply = jax.jit(model.apply)
    logits, other = np.asarray(apply(variables, clip)[0]), np.asarray(apply(again, clip)[0])
    assert logits.std() > 0 and np.abs(logits - other).max() < 1e-4 * logits.std()


@pytest.mark.parametrize("program, name, text", [
    ("pytorchvideo", "Slow, non-local", "PyTorchVideo has no names for .*nonlocal0"),
    ("pytorchvideo", "MMAction2's SlowFast", "lateral_norm of this network is False"),
    ("pytorchvideo", "SlowOnly, boxes with a hidden layer", "roi_context of this network is True"),
    ("mmaction2", "SlowFast", "slow_frames of this network is 'linspace', but MMAction2"),
    ("mmaction2", "C2D", "arch of this network is 'c2d', but MMAction2"),
    ("mmaction2", "Slow, non-local", "nonlocal_pool_first of this network is True"),
    ("mmaction2", "X3D", "MMAction2 has no names for"),
    ("mmaction2", "MViT", "MMAction2 has no names for"),
    ("caffe2", "MViT", "Caffe2 has no names for"),
    ("caffe2", "CSN", "PySlowFast builds CSN"),
    ("caffe2", "MMAction2's SlowFast", "lateral connections .* no batch norm"),
])
def test_networks_that_a_program_cannot_compute_are_refused(program, name, text, tmp_path):
    model = small(name)
    with pytest.raises(ValueError, match=text):
        export(program, tmp_path / "w.pyth", variables_of(model), keywords(model))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", ["pyth", "pytorchvideo"])
def test_the_roi_align_of_mindspore_is_refused(program):
    model = small("Slow, boxes").clone(roi_variant="mindspore")
    with pytest.raises(ValueError, match="roi_variant of this network is 'mindspore'"):
        PROGRAMS[program].tensors(variables_of(model), keywords(model))


def test_settings_of_the_program_are_told():
    model = small("Slow, boxes").clone(roi_aligned=True)
    made = PROGRAMS["pytorchvideo"].tensors(variables_of(model), keywords(model))
    assert "aligned=True" in made.settings[0]
    model = small("Slow")
    made = PROGRAMS["mmaction2"].tensors(variables_of(model), keywords(model))
    assert "mean=[114.75, 114.75, 114.75]" in made.settings[0] and "whole map" in made.settings[1]


@pytest.mark.parametrize("changes, settings", [
    ({}, ["output_size=8"]),
    ({"roi_aligned": False, "roi_resolution": 7}, ["output_size=7, aligned=False"]),
    ({"roi_time_pool": "max", "roi_scale": 1 / 32, "roi_resolution": 16},
     ["featmap_stride=32, temporal_pool_mode='max'"]),
])
def test_settings_of_boxes_are_told(changes, settings):
    model = small("MMAction2's SlowFast, boxes").clone(**changes)
    made = PROGRAMS["mmaction2"].tensors(variables_of(model), keywords(model))
    assert made.settings == [
        "backbone: spatial_strides=(1, 2, 2, 1)",
        *(f"roi_head.bbox_roi_extractor: {setting}" for setting in settings),
    ]
    with pytest.raises(ValueError, match="roi_scale is 0.1, for which MMAction2 has no featm"):
        PROGRAMS["mmaction2"].tensors(variables_of(model), keywords(model.clone(roi_scale=0.1)))


def test_the_background_of_mmaction2_is_class_0():
    model = small("MMAction2's SlowFast, boxes")
    variables = variables_of(model)
    made = PROGRAMS["mmaction2"].tensors(variables, keywords(model))
    weight = made.tensors["roi_head.bbox_head.fc_cls.weight"]
    ours = pyslowfast_tensors(variables)["head.projection.weight"]
    assert not weight[0].any() and np.array_equal(weight[1:], ours)


def test_caffe2_files_are_read_by_any_numpy(tmp_path):
    model = small("SlowFast")
    made = export("caffe2", tmp_path / "w.pkl", variables_of(model), keywords(model))
    content = (tmp_path / "w.pkl").read_bytes()
    assert b"cnumpy.core.multiarray\n" in content and b"numpy._core" not in content
    blobs = pickle.loads(content)["blobs"]
    assert blobs.keys() == made.tensors.keys()
    assert {"t_pool1_subsample_w", "t_res2_0_branch2c_bn_subsample_w",
            "t_res3_1_branch2c_bn_subsample_bn_riv", "res_conv1_bn_s", "pred_b"} <= blobs.keys()
    np.testing.assert_array_equal(blobs["conv1_w"], made.tensors["conv1_w"])


PYTORCHVIDEO = {
    "slow_r50": "kinetics/slow_8x8_r50", "slowfast_r50": "kinetics/slowfast_8x8_r50",
    "c2d_r50": "kinetics/c2d_8x8_r50", "i3d_r50": "kinetics/i3d_8x8_r50",
    "csn_r101": "kinetics/csn_32x2_r101", "r2plus1d_r50": "kinetics/r2plus1d_16x4_r50",
    "x3d_xs": "kinetics/x3d_xs", "mvit_base_16x4": "kinetics/mvit_b_16x4_conv",
    "slow_r50_detection": "ava/slow_8x8_r50", "slowfast_r50_detection": "ava/slowfast_32x2_r50",
}
MMACTION2 = {
    "slowfast_r50_4x16": "mmaction2/slowfast_4x16_r50",
    "slowfast_r50_8x8_steplr": "mmaction2/slowfast_8x8_r50_steplr",
    "slowonly_r50_nl_4x16": "mmaction2/slowonly_nl_4x16_r50",
    "ava_slowfast_r50_4x16_context": "mmaction2/ava_slowfast_4x16_r50_context",
    "ava_slowonly_r50_8x8": "mmaction2/ava_slowonly_8x8_r50",
}
OF_PROGRAMS = [
    *(("pytorchvideo", case, entry) for case, entry in PYTORCHVIDEO.items()),
    *(("mmaction2", case, entry) for case, entry in MMACTION2.items()),
]


@pytest.mark.slow
@needs_parity
@pytest.mark.parametrize("program, case, entry", OF_PROGRAMS)
def test_the_tensors_of_the_program_itself_come_back(program, case, entry):
    """Names, shapes and bytes of a file of the program: from it to ours and back."""
    tensors = weights_rule().make_weights(manifest(program, case))
    model = zoo.create(entry)
    variables, _ = fit(ForeignCheckpoint("torch zip", tensors, {}), variable_shapes(model))
    made = PROGRAMS[program].tensors(variables, keywords(model)).tensors
    assert made.keys() == tensors.keys()
    background = "roi_head.bbox_head.fc_cls."
    for name, array in tensors.items():
        if name.startswith(background):
            assert np.array_equal(made[name][1:], array[1:]), name
        elif not name.endswith("num_batches_tracked"):
            assert np.array_equal(made[name], array), name
