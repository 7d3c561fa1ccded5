"""Checkpoints of every kind are loaded, or refused with an error that says what is wrong."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from convert import CheckpointMismatch, export_pyth, load_variables, read_checkpoint, write_pyth
from convert.exports import pyslowfast_tensors
from convert.load import fit, strip_names
from convert.readers import ForeignCheckpoint
from slowfast_jax.models import zoo
from slowfast_jax.weights import variable_shapes
from tests.convert.cases import (
    assert_same,
    expected_variables,
    manifest,
    manifests,
    mini_shapes,
    random_variables,
    shapes_of,
    weights_rule,
)
from tests.support.paths import needs_parity

SUBBN = "TINY_SLOW_SUBBN"
HEAD = {"head/projection/kernel", "head/projection/bias"}


def without_splits(tensors: dict) -> dict:
    """Tensors for evaluation: statistics of `X.bn` are renamed to X, those of splits dropped."""
    return {n.replace("bn.bn.", "bn."): a for n, a in tensors.items() if ".split_bn." not in n}


@needs_parity
@pytest.mark.parametrize("name", manifests("models", "TINY_"))
def test_tiny_networks_from_pyth(name, tmp_path):
    tensors = weights_rule().make_weights(manifest("models", name))
    write_pyth(tmp_path / "w.pyth", tensors)
    wanted = expected_variables(without_splits(tensors))
    assert_same(load_variables(tmp_path / "w.pyth", shapes_of(wanted)), wanted)


def has_caffe2_names(name):
    return any(parameter["c2_name"] for parameter in manifest("models", name)["params"])


@needs_parity
@pytest.mark.parametrize("name", [n for n in manifests("models", "TINY_") if has_caffe2_names(n)])
def test_tiny_networks_from_caffe2(name, tmp_path):
    case = manifest("models", name)
    weights_rule().write_c2(case, tmp_path / "w.pkl", extras=True)
    assert read_checkpoint(tmp_path / "w.pkl").kind == "caffe2"
    wanted = expected_variables(weights_rule().make_weights(case))
    assert_same(load_variables(tmp_path / "w.pkl", shapes_of(wanted)), wanted)


@needs_parity
def test_split_statistics_are_aggregated_if_there_are_no_others():
    tensors = dict(weights_rule().make_weights(manifest("models", SUBBN)))
    wanted = expected_variables(without_splits(tensors))
    only_splits = {name: a for name, a in tensors.items() if "bn.bn." not in name}
    checkpoint = ForeignCheckpoint("torch zip", only_splits, {})
    variables, report = fit(checkpoint, shapes_of(wanted))
    stem = "s1.pathway0_stem.bn"
    channels = tensors[f"{stem}.weight"].size
    means = tensors[f"{stem}.split_bn.running_mean"].reshape(-1, channels)
    variances = tensors[f"{stem}.split_bn.running_var"].reshape(-1, channels)
    got = variables["batch_stats"]["stem"]["conv_bn"]
    np.testing.assert_allclose(got["mean"], means.mean(0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(got["var"], variances.mean(0) + means.var(0), rtol=1e-6)
    assert {"stem/conv_bn/mean", "stem/conv_bn/var"} <= set(report.derived)
    assert len(means) == 2
    assert np.ptp(means, axis=0).max() > 0


@needs_parity
def test_export_fits_a_network_with_split_norms():
    """PySlowFast loads `X.bn` of the file into `X.bn.bn` and, tiled, into `X.bn.split_bn`."""
    tensors = weights_rule().make_weights(manifest("models", SUBBN))
    exported = pyslowfast_tensors(expected_variables(without_splits(tensors)))
    wanted = {name.replace("bn.split_bn.", "bn.").replace("bn.bn.", "bn.") for name in tensors}
    assert set(exported) == wanted
    for name in (name for name in tensors if ".split_bn." in name):
        plain = exported[name.replace("bn.split_bn.", "bn.")]
        assert plain.ndim == 0 or tensors[name].size % plain.size == 0


def mini(seed: int = 0, **overrides):
    """Shapes, variables and PySlowFast tensors of the small network."""
    shapes = mini_shapes(**overrides)
    variables = random_variables(shapes, seed)
    return shapes, variables, pyslowfast_tensors(variables)


def checkpoint_of(tensors: dict, prefix: str = "") -> ForeignCheckpoint:
    return ForeignCheckpoint("torch zip", {prefix + n: a for n, a in tensors.items()}, {})


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
def test_round_trip_is_exact(prefix):
    shapes, variables, tensors = mini()
    loaded, report = fit(checkpoint_of(tensors, prefix), shapes)
    assert_same(loaded, variables)
    assert set(report.ignored.values()) == {"batch norm step counter, not used"}
    again = pyslowfast_tensors(loaded)
    assert {n: a.tobytes() for n, a in again.items()} == {
        n: a.tobytes() for n, a in tensors.items()
    }


@pytest.mark.parametrize("prefix", ["backbone.", "encoder_q.", "module.backbone.model."])
def test_an_unknown_prefix_is_named_and_stripped(prefix, tmp_path):
    shapes, variables, tensors = mini()
    wrapped = checkpoint_of(tensors, prefix)
    with pytest.raises(CheckpointMismatch) as error:
        fit(wrapped, shapes)
    text = prefix.removeprefix("module.")
    assert f'strip=("{text}",)' in str(error.value)
    assert_same(fit(strip_names(wrapped, [text]), shapes)[0], variables)
    write_pyth(tmp_path / "w.pyth", wrapped.tensors)
    assert_same(load_variables(tmp_path / "w.pyth", shapes, strip=[text]), variables)


def test_texts_are_stripped_once_and_in_order():
    names_of = {"backbone.a.backbone.b": 1, "c.backbone.x.d": 2, "plain": 3}
    checkpoint = ForeignCheckpoint("torch zip", names_of, {})
    stripped = strip_names(checkpoint, ["backbone.", "x."])
    assert stripped.tensors == {"a.backbone.b": 1, "c.d": 2, "plain": 3}
    assert strip_names(checkpoint, ()).tensors == names_of
    with pytest.raises(ValueError, match="strip='head.': no name .* backbone.a.backbone.b"):
        strip_names(checkpoint, ["head."])
    with pytest.raises(ValueError, match="c.backbone.x.d and c.x.d the same name"):
        strip_names(ForeignCheckpoint("", names_of | {"c.x.d": 4}, {}), ["backbone."])


def test_2d_kernels_are_inflated():
    shapes, _, tensors = mini()
    name = "s2.pathway1_res0.branch2.a.weight"
    assert tensors[name].shape[2] == 3
    flat = dict(tensors) | {name: tensors[name][:, :, 1]}
    variables, report = fit(checkpoint_of(flat), shapes)
    kernel = variables["params"]["fast_res2"]["block0"]["a"]["kernel"]
    np.testing.assert_allclose(
        kernel.sum(0), flat[name].transpose(2, 3, 1, 0), rtol=1e-6, atol=1e-7
    )
    assert np.array_equal(kernel[0], kernel[2])
    assert report.inflated == ["fast_res2/block0/a/kernel"]


def test_matrices_become_1x1x1_kernels_and_old_affines_vectors():
    shapes, variables, tensors = mini()
    conv, norm = "s3.pathway0_res0.branch1.weight", "s3.pathway0_res0.branch1_bn.weight"
    tensors = dict(tensors) | {
        conv: tensors[conv][:, :, 0, 0, 0], norm: tensors[norm][:, None, None, None]
    }
    assert_same(fit(checkpoint_of(tensors), shapes)[0], variables)


def test_element_types_are_converted_to_those_of_the_model():
    shapes, variables, tensors = mini()
    halves = {name: a.astype(np.float16) for name, a in tensors.items()}
    loaded = fit(checkpoint_of(halves), shapes)[0]
    halved = jax.tree.map(lambda a: a.astype(np.float16).astype(np.float32), variables)
    assert_same(loaded, halved)


def test_a_different_number_of_classes_is_reported():
    _, _, tensors = mini(num_classes=7)
    with pytest.raises(CheckpointMismatch) as error:
        fit(checkpoint_of(tensors), mini_shapes(), source="seven.pyth")
    message = str(error.value)
    assert "seven.pyth" in message
    assert "the file has 7 classes, the model has 4" in message
    assert "num_classes=7" in message
    assert 'skip=("head/.*",)' in message
    assert set(error.value.reshaped) == HEAD
    assert error.value.reshaped["head/projection/bias"] == ((4,), (7,))


def test_skipped_parameters_come_from_init_or_are_neutral():
    _, variables, tensors = mini(num_classes=7)
    shapes = mini_shapes()
    init = random_variables(shapes, seed=5)
    loaded, report = fit(checkpoint_of(tensors), shapes, skip=["head/.*"], init=init)
    assert set(report.skipped) == HEAD
    assert_same(loaded["params"].pop("head"), init["params"]["head"])
    assert_same(loaded["params"], {k: v for k, v in variables["params"].items() if k != "head"})
    plain = fit(checkpoint_of(tensors), shapes, skip=["head/.*"])[0]
    assert not plain["params"]["head"]["projection"]["kernel"].any()

    missing = {name: a for name, a in tensors.items() if "s1_fuse.bn" not in name}
    plain = fit(checkpoint_of(missing), shapes, skip=["head/.*", "lateral1/.*_bn/.*"])[0]
    assert (plain["batch_stats"]["lateral1"]["conv_bn"]["var"] == 1).all()
    assert (plain["params"]["lateral1"]["conv_bn"]["scale"] == 1).all()


def test_skip_matches_whole_paths_and_loads_what_fits():
    shapes, variables, tensors = mini()
    assert_same(fit(checkpoint_of(tensors), shapes, skip=[".*"])[0], variables)
    _, _, seven = mini(num_classes=7)
    with pytest.raises(CheckpointMismatch):
        fit(checkpoint_of(seven), shapes, skip=["head", "projection/.*"])


def test_one_text_is_one_pattern():
    shapes, variables, tensors = mini()
    assert_same(fit(checkpoint_of(tensors), shapes, skip="(?i)HEAD/.*")[0], variables)
    prefixed = {f"net2.{name}": array for name, array in tensors.items()}
    assert list(strip_names(checkpoint_of(prefixed), "net2.").tensors) == list(tensors)


@pytest.mark.parametrize("skip", ["head/(", ["head/.*", "*"], [3]])
def test_what_is_no_regular_expression_is_refused(skip, tmp_path):
    with pytest.raises(ValueError, match="is not a regular expression .*; expected one that"):
        load_variables(tmp_path, {}, skip=skip)


def test_tensors_beside_a_wrapped_network_are_not_used():
    shapes, variables, tensors = mini()
    wrapped = {f"model.{name}": array for name, array in tensors.items()}
    extra = {"loss.weight": np.ones(3), "train_acc.total": np.ones(())}
    found, report = fit(checkpoint_of(wrapped | extra), shapes)
    assert_same(found, variables)
    assert {name: report.ignored[name] for name in extra} == dict.fromkeys(
        extra, "beside the network, whose names begin with 'model.'"
    )
    for more in ({"model.s9.weight": np.ones(2)}, {"loss.weight": np.ones(3)}):
        base = wrapped if "model.s9.weight" in more else tensors
        with pytest.raises(CheckpointMismatch) as caught:
            fit(checkpoint_of(base | more), shapes)
        assert caught.value.unexpected == list(more)


def test_init_with_another_shape_is_refused():
    _, _, tensors = mini(num_classes=7)
    init = random_variables(mini_shapes(num_classes=9))
    with pytest.raises(ValueError, match="init has head/projection"):
        fit(checkpoint_of(tensors), mini_shapes(), skip=["head/.*"], init=init)


def test_missing_and_unexpected_are_listed():
    shapes, _, tensors = mini()
    tensors = dict(tensors) | {"extra.weight": np.zeros((2, 3), np.float32)}
    del tensors["s3.pathway1_res1.branch2.b_bn.running_var"]
    with pytest.raises(CheckpointMismatch) as error:
        fit(checkpoint_of(tensors), shapes)
    assert error.value.missing == ["fast_res3/block1/b_bn/var"]
    assert error.value.unexpected == ["extra.weight"]
    message = str(error.value)
    assert "1 are missing in the file (-), 1 are unexpected (+), 0 have another shape" in message
    assert "  - fast_res3/block1/b_bn/var" in message
    assert "s3.pathway1_res1.branch2.b_bn.running_var" in message
    assert "  + extra.weight" in message


def test_a_headless_network_can_skip_the_head_of_the_file():
    shapes, _, tensors = mini()
    params = {name: tree for name, tree in shapes["params"].items() if name != "head"}
    headless = {"params": params, "batch_stats": shapes["batch_stats"]}
    with pytest.raises(CheckpointMismatch):
        fit(checkpoint_of(tensors), headless)
    loaded, report = fit(checkpoint_of(tensors), headless, skip=["head/.*"])
    assert "head" not in loaded["params"]
    assert report.ignored["head.projection.weight"] == "skipped"


def test_another_network_gives_a_short_table_and_describes_both():
    shapes, _, _ = mini()
    x3d = {
        f"s{s}.pathway0_res{i}.branch2.{x}.weight": np.zeros((4, 4, 1, 1, 1), np.float32)
        for s, blocks in ((2, 3), (3, 5), (4, 11), (5, 7)) for i in range(blocks) for x in "abc"
    } | {"s1.pathway0_stem.conv_xy.weight": np.zeros((4, 3, 1, 3, 3), np.float32)}
    with pytest.raises(CheckpointMismatch) as error:
        fit(checkpoint_of(x3d), shapes)
    message = str(error.value)
    first, counts, *table = message.splitlines()
    assert first.startswith("the checkpoint does not fit the model. The file looks like X3D, ")
    assert "stages of 3-5-11-7 blocks" in first
    assert "the model is SlowFast, slow stages of 2-2-2-2 blocks" in first
    assert "288 are missing in the file (-), 55 are unexpected (+), 24 have another" in counts
    assert [line[2] for line in table] == [*"~~~~----++++"]
    assert table[-1] == "  + ... and 52 more"


def test_two_models_in_one_file():
    shapes, _, tensors = mini()
    both = dict(tensors) | {f"module.{name}": a for name, a in tensors.items()}
    with pytest.raises(ValueError, match="two models in one file"):
        fit(ForeignCheckpoint("torch zip", both, {}), shapes)


def test_shapes_may_be_anything_with_shape_and_dtype(tmp_path):
    shapes, variables, _ = mini()
    export_pyth(tmp_path / "w.pyth", variables)
    duck = jax.tree.map(lambda s: SimpleNamespace(shape=s.shape, dtype=s.dtype), shapes)
    assert_same(load_variables(tmp_path / "w.pyth", duck), variables)


# Manifest -> zoo entry of the same network.
ZOO_CASES = {
    "C2D_8x8_R50": "kinetics/c2d_8x8_r50",
    "I3D_NLN_8x8_R50": "kinetics/i3d_nln_8x8_r50",
    "I3D_8x8_R101": "kinetics/i3d_8x8_r101",
    "SLOW_NLN_8x8_R50": "kinetics/slow_nln_8x8_r50",
    "SLOWFAST_8x8_R50": "kinetics/slowfast_8x8_r50",
    "c2_SLOWFAST_8x8_R101_101_101": "kinetics/slowfast_8x8_r101_101_101",
    "AVA_c2_SLOWFAST_32x2_R101_50_50": "ava/slowfast_32x2_r101_50_50",
    "X3D_M": "kinetics/x3d_m",
    "ImageNet_RES_R50": "imagenet/res_r50",
}


@needs_parity
@pytest.mark.parametrize("case, name", ZOO_CASES.items())
def test_published_networks_fit_their_manifests(case, name):
    shapes = variable_shapes(zoo.create(name))
    tensors = {
        p["name"]: np.broadcast_to(np.float32(0), p["shape"])
        for p in manifest("models", case)["params"]
    }
    loaded, report = fit(checkpoint_of(tensors), shapes)
    assert jax.tree.map(np.shape, loaded) == jax.tree.map(lambda s: s.shape, shapes)
    assert len(report.mapped) + len(report.ignored) == len(tensors)
