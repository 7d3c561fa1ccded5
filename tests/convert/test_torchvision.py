"""torchvision's MViT networks: names, files in both directions, and outputs."""

import dataclasses

import jax
import numpy as np
import pytest

from convert.exports import export_torchvision, torchvision_tensors
from convert.load import fit, load_variables, map_to_paths
from convert.names import family_of, ports, scheme_of, to_pyslowfast, to_torchvision
from convert.readers import ForeignCheckpoint, read_checkpoint
from convert.torch_file import write_state_dict
from slowfast_jax.convert_command import cli
from slowfast_jax.models import zoo
from slowfast_jax.ops.backend import PLAIN_BACKEND, written_for
from slowfast_jax.weights import variable_shapes
from tests.convert.cases import assert_same
from tests.convert.test_names import empty
from tests.slowfast_jax.models.recordings import relative
from tests.support import torchvision_mvit as recorded
from tests.support.compiling import FAST

SHAPES = recorded.shapes()
NETWORKS = recorded.TINY | {name: zoo.create(e) for name, e in recorded.PUBLISHED.items()}
PARAMETERS = {"mvit_v1_b": 36_610_672, "mvit_v2_s": 34_537_744}  # as torchvision states


@pytest.mark.parametrize("name", SHAPES)
def test_names_are_one_to_one(name):
    theirs = list(SHAPES[name])
    assert scheme_of(theirs) == scheme_of(f"module.{n}" for n in theirs) == "torchvision"
    given, report = map_to_paths(ForeignCheckpoint("", empty(SHAPES[name]), {}), "MViT", set())
    assert family_of(given) == "MViT" and not report.ignored and not report.derived
    assert sorted(to_torchvision(to_pyslowfast(path, "MViT")) for path in given) == sorted(theirs)


@pytest.mark.parametrize("name", [
    name if name in recorded.TINY else pytest.param(name, marks=pytest.mark.slow) for name in SHAPES
])
def test_every_tensor_is_one_parameter(name):
    tensors = empty(SHAPES[name])
    shapes = variable_shapes(NETWORKS[name])
    variables, report = fit(ForeignCheckpoint("torch zip", tensors, {}), shapes)
    assert sorted(report.mapped.values()) == sorted(tensors)
    assert not (report.ignored or report.derived or report.skipped or report.inflated)
    size = sum(leaf.size for leaf in jax.tree.leaves(variables))
    assert size == PARAMETERS.get(name, size)
    written = torchvision_tensors(variables)
    assert {key: array.shape for key, array in written.items()} == SHAPES[name]


@pytest.mark.parametrize("name", ["tiny_v2", pytest.param("tiny_v1", marks=pytest.mark.slow)])
def test_outputs(name, tmp_path):
    model, path = recorded.TINY[name], tmp_path / "w.pth"
    write_state_dict(path, recorded.weights(SHAPES[name]))
    variables = load_variables(path, variable_shapes(model))
    with written_for(PLAIN_BACKEND):
        apply = jax.jit(model.apply, compiler_options=FAST)
        logits, out = apply(variables, recorded.clip())
    expected = np.load(recorded.OUTPUTS)[name]
    assert expected.std() > 0.1 and np.abs(logits - expected).max() < 1e-5
    np.testing.assert_allclose(out["probs"], jax.nn.softmax(expected), atol=1e-6)


def test_a_file_and_back_is_exact(tmp_path):
    path = tmp_path / "w.pth"
    tensors = recorded.weights(SHAPES["tiny_v1"])
    write_state_dict(path, tensors)
    shapes = variable_shapes(recorded.TINY["tiny_v1"])
    variables = load_variables(path, shapes)
    export_torchvision(tmp_path / "back.pth", variables)
    found = read_checkpoint(tmp_path / "back.pth")
    assert found.tensors.keys() == tensors.keys() and found.metadata["container"] == ""
    for name, array in tensors.items():
        np.testing.assert_array_equal(found.tensors[name], array)
    assert_same(load_variables(tmp_path / "back.pth", shapes), variables)


@pytest.mark.parametrize("options, match", [
    (dict(class_token=False), "has a class token"),
    (dict(rel_pos_space=True, rel_pos_time=True), "either separate absolute positions or relative"),
    (dict(abs_pos="joint"), "no names for 1 parameters of this model: pos_embed"),
    (dict(separate_qkv=True), "no names for 18 parameters of this model: blocks.0.attn.k"),
])
def test_networks_that_torchvision_does_not_have_are_refused(options, match, tmp_path):
    variables = jax.tree.map(
        lambda s: np.zeros(s.shape, s.dtype),
        variable_shapes(recorded.TINY["tiny_v1"].clone(**options)),
    )
    with pytest.raises(ValueError, match=match):
        export_torchvision(tmp_path / "w.pth", variables)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_both_directions(tmp_path, monkeypatch, capsys):
    tiny, entry = recorded.TINY["tiny_v2"], zoo.find("kinetics/mvitv2_s_16x4")
    keywords = {
        field.name: getattr(tiny, field.name) for field in dataclasses.fields(tiny)
        if field.name not in ("parent", "name", *zoo.FROM_PROTOCOL)
        and getattr(tiny, field.name) != field.default
    }
    monkeypatch.setitem(zoo.ZOO, "kinetics/tiny", entry | {
        "model": keywords, "class_names": "",
        "protocol": entry["protocol"] | dict(num_frames=4, train_crop=64, test_crop=64),
    })
    theirs, ours, back = (str(tmp_path / name) for name in ("w.pth", "ours", "back.pth"))
    write_state_dict(theirs, recorded.weights(SHAPES["tiny_v2"]))
    assert cli([theirs, ours, "--config", "kinetics/tiny"]) == 0
    assert "torchvision names" in capsys.readouterr().out
    assert cli([ours, back, "--to", "torchvision"]) == 0
    assert f"wrote {back} (torchvision)" in capsys.readouterr().out
    found = read_checkpoint(back).tensors
    for name, array in recorded.weights(SHAPES["tiny_v2"]).items():
        np.testing.assert_array_equal(found[name], array)


def test_other_networks_of_torchvision_are_unknown():
    image = ("conv_proj.weight", "encoder.layers.encoder_layer_0.mlp.0.weight", "heads.head.weight")
    assert scheme_of(image) == "unknown"
    assert not ports.required_keywords(SHAPES["mvit_v1_b"], "torchvision")


@pytest.mark.slow
@pytest.mark.parametrize("name, entry", (recorded.PUBLISHED | recorded.IMAGES).items())
def test_the_published_networks_compute_what_torchvision_computes(name, entry):
    models = pytest.importorskip("torchvision.models")
    image = name in recorded.IMAGES
    network = getattr(models if image else models.video, name)()
    clip = recorded.clip((1, 1 if image else 16, 224, 224, 3))
    expected = recorded.logits_of(network, clip[:, 0] if image else clip)
    model = zoo.create(entry)
    checkpoint = ForeignCheckpoint("torch zip", recorded.weights_of(network), {})
    variables, _ = fit(checkpoint, variable_shapes(model))
    logits, out = jax.jit(model.apply)(variables, clip)
    assert relative(logits, expected) < 1e-4
    np.testing.assert_allclose(out["probs"], jax.nn.softmax(expected), rtol=1e-3)


def resnet_tensors(depth, width=8, classes=4):
    """Names and shapes of torchvision's ResNet with bottlenecks, with random values."""
    random, tensors = np.random.default_rng(0), {}

    def layer(conv, norm, *shape):
        tensors[f"{conv}.weight"] = random.standard_normal(shape).astype(np.float32)
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{norm}.{leaf}"] = random.random(shape[:1]).astype(np.float32)
        tensors[f"{norm}.num_batches_tracked"] = np.zeros((), np.int64)

    layer("conv1", "bn1", width, 3, 7, 7)
    channels = width
    for stage, blocks in enumerate(depth, 1):
        inner, out = width * 2 ** (stage - 1), 4 * width * 2 ** (stage - 1)
        for i in range(blocks):
            block = f"layer{stage}.{i}"
            layer(f"{block}.conv1", f"{block}.bn1", inner, channels, 1, 1)
            layer(f"{block}.conv2", f"{block}.bn2", inner, inner, 3, 3)
            layer(f"{block}.conv3", f"{block}.bn3", out, inner, 1, 1)
            if i == 0:
                layer(f"{block}.downsample.0", f"{block}.downsample.1", out, channels, 1, 1)
            channels = out
    tensors["fc.weight"] = random.standard_normal((classes, channels)).astype(np.float32)
    tensors["fc.bias"] = random.standard_normal(classes).astype(np.float32)
    return tensors


@pytest.mark.parametrize("entry", ["imagenet/res_r50", "kinetics/i3d_8x8_r50"])
def test_residual_networks_are_read_and_inflated(entry):
    depth = (1, 2, 1, 1)
    tensors = resnet_tensors(depth)
    model = zoo.create(
        entry, depth=depth, num_classes=4, crop_size=32, width=8,
        num_block_temp_kernel=(3, 4, 6, 3),
    )
    checkpoint = ForeignCheckpoint("torch zip", tensors, {})
    variables, report = fit(checkpoint, variable_shapes(model))
    assert report.scheme == "torchvision"
    counters = [name for name in tensors if name.endswith("num_batches_tracked")]
    assert sorted([*report.mapped.values(), *counters]) == sorted(tensors)
    frames = variables["params"]["stem"]["conv"]["kernel"].shape[0]
    assert frames == (5 if "i3d" in entry else 1)
    np.testing.assert_allclose(
        variables["params"]["stem"]["conv"]["kernel"].sum(0),
        tensors["conv1.weight"].transpose(2, 3, 1, 0), rtol=1e-6,
    )
    norm = variables["batch_stats"]["res3"]["block0"]["shortcut_bn"]
    np.testing.assert_array_equal(norm["var"], tensors["layer2.0.downsample.1.running_var"])
