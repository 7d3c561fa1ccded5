"""Every tensor of every convolutional reference network maps to one path of this project."""

import numpy as np
import pytest

from convert import names
from convert.load import map_to_paths
from convert.names.tables import FAMILIES
from convert.readers import ForeignCheckpoint
from convert.trees import flatten
from tests.convert.cases import expected_variables, manifest, manifests, mini_shapes
from tests.support.paths import needs_parity

# PyTorchVideo hub model -> PySlowFast case of the same network.
SAME_NETWORK = {
    "slow_r50": "SLOW_8x8_R50",
    "slowfast_r50": "SLOWFAST_8x8_R50",
    "slowfast_r101": "c2_SLOWFAST_8x8_R101_101_101",
    "slowfast_16x8_r101_50_50": "c2_SLOWFAST_16x8_R101_50_50",
    "c2d_r50": "C2D_8x8_R50",
    "i3d_r50": "I3D_8x8_R50",
    "slow_r50_detection": "AVA_SLOW_8x8_R50_SHORT",
    "slowfast_r50_detection": "AVA_SLOWFAST_32x2_R50_SHORT",
    "x3d_xs": "X3D_XS",
    "x3d_m": "X3D_M",
}


def entries(case: dict) -> dict[str, tuple]:
    """{name in the manifest: shape} of the tensors that are parameters or statistics."""
    return {
        p["name"]: tuple(p["shape"])
        for p in case["params"]
        if not p["name"].endswith("num_batches_tracked") and ".split_bn." not in p["name"]
    }


def empty(shapes: dict[str, tuple]) -> dict[str, np.ndarray]:
    """Arrays of these shapes that use no memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


@needs_parity
@pytest.mark.parametrize("name", manifests("models"))
def test_pyslowfast_names_map_one_to_one(name):
    their_names = [n.replace("bn.bn.", "bn.") for n in entries(manifest("models", name))]
    family = names.foreign_family(their_names)
    ours = [names.from_pyslowfast(n, family) for n in their_names]
    assert None not in ours
    assert len(set(ours)) == len(ours)
    assert names.family_of(ours) == family
    assert [names.to_pyslowfast(path, family) for path in ours] == their_names


@needs_parity
@pytest.mark.parametrize("name", manifests("models"))
def test_caffe2_names(name):
    blobs = {p["c2_name"]: p["name"] for p in manifest("models", name)["params"] if p["c2_name"]}
    if not blobs:
        pytest.skip("the case has no Caffe2 names")
    solver = ["lr", "model_iter", *(f"{blob}_momentum" for blob in blobs)]
    assert names.scheme_of([*blobs, *solver]) == "Caffe2"
    assert names.canonical_names(blobs, "Caffe2") == blobs
    assert not any(names.ignore_reason(blob, "Caffe2") for blob in blobs)
    assert all(names.ignore_reason(blob, "Caffe2") for blob in solver)


@needs_parity
@pytest.mark.parametrize("prefix", ["", "model.", "module.model."])
@pytest.mark.parametrize("name", manifests("pytorchvideo"))
def test_pytorchvideo_names(name, prefix):
    tensors = {prefix + n: a for n, a in empty(entries(manifest("pytorchvideo", name))).items()}
    family = names.foreign_family(names.canonical_names(tensors, "PyTorchVideo").values())
    given, report = map_to_paths(ForeignCheckpoint("torch zip", tensors, {}), family, set())
    assert report.scheme == "PyTorchVideo"
    assert not report.ignored
    assert len(given) == len(tensors)
    assert all(names.to_pyslowfast(path, family) for path in given)


@needs_parity
@pytest.mark.parametrize("hub, case", SAME_NETWORK.items())
def test_pytorchvideo_is_the_same_network_in_pyslowfast(hub, case):
    hub_shapes, shapes = entries(manifest("pytorchvideo", hub)), entries(manifest("models", case))
    canonical = names.canonical_names(hub_shapes, "PyTorchVideo")
    renamed = {canonical[name]: shape for name, shape in hub_shapes.items()}
    if hub.startswith("x3d"):  # PyTorchVideo has no batch norm there
        norm = "s2.pathway0_res0.branch1_bn."
        shapes = {name: shape for name, shape in shapes.items() if not name.startswith(norm)}
    assert renamed == shapes


@needs_parity
@pytest.mark.parametrize("hub", [hub for hub in manifests("pytorchvideo") if "x3d" in hub])
def test_identity_norm_where_pytorchvideo_has_no_norm(hub):
    tensors = empty(entries(manifest("pytorchvideo", hub)))
    norm = {f"res2/block0/shortcut_bn/{leaf}" for leaf in ("scale", "bias", "mean", "var")}
    given, report = map_to_paths(ForeignCheckpoint("torch zip", tensors, {}), "X3D", norm)
    assert set(report.derived) == norm
    values = {path.rpartition("/")[2]: given[path][1] for path in norm}
    assert {value.shape for value in values.values()} == {(24,)}
    normed = np.float32(3) / np.sqrt(values["var"] + np.float32(1e-5)) * values["scale"]
    np.testing.assert_allclose(normed - values["mean"] + values["bias"], 3, rtol=1e-7)


def test_tables_are_one_to_one():
    for rows in FAMILIES.values():
        ours, theirs = zip(*rows, strict=True)
        assert len(set(ours)) == len(ours)
        assert len(set(theirs)) == len(theirs)


def test_every_parameter_has_a_pyslowfast_name():
    paths = [path for _, path in flatten(mini_shapes())]
    family = names.family_of(paths)
    their_names = [names.to_pyslowfast(path, family) for path in paths]
    assert family == "SlowFast"
    assert [names.from_pyslowfast(name, family) for name in their_names] == paths
    tensors = {name: np.zeros((1,)) for name in their_names}
    assert len(flatten(expected_variables(tensors))) == len(paths)


def test_wrapper_prefixes_are_removed():
    names_of = names.canonical_names(["module.model.head.projection.bias", "x"], "PySlowFast")
    assert names_of == {"module.model.head.projection.bias": "head.projection.bias", "x": "x"}
