"""Every tensor in a file is used exactly once, or there is a reason why it is not."""

from collections import Counter

import numpy as np
import pytest

from convert import names
from convert.exports import pyslowfast_tensors
from convert.layouts import from_torch
from convert.load import fit, map_to_paths
from convert.names import ports
from convert.readers import ForeignCheckpoint
from convert.trees import flatten, unflatten
from convert.verify import Use, name_map
from tests.convert.cases import manifest, mini_shapes, random_variables
from tests.support.paths import needs_parity

# One network of each family as each program stores it: (folder of the reference data, case).
CASES = [
    ("models", "TINY_SLOWFAST"), ("models", "TINY_C2D_BASIC"), ("models", "TINY_I3D_NL"),
    ("models", "TINY_SLOW_SUBBN"), ("models", "TINY_X3D_LIN5BN"), ("models", "TINY_AVA_ALIGNED"),
    ("models", "TINY_MVIT"), ("models", "TINY_MVITV2"), ("models", "TINY_REV_MVIT"),
    ("caffe2", "TINY_SLOWFAST"), ("caffe2", "TINY_X3D"),
    ("torchvision", "TINY_MVITV2"),
    ("pytorchvideo", "c2d_r50"), ("pytorchvideo", "slowfast_r50"), ("pytorchvideo", "x3d_xs"),
    ("pytorchvideo", "slow_r50_detection"), ("pytorchvideo", "mvit_base_16"),
    ("mmaction2", "ava_slowonly_r50_4x16"), ("mmaction2", "ava_slowfast_r50_4x16"),
    ("paddlevideo", "TINY_SLOWFAST"), ("paddlevideo", "TINY_AVA"), ("mindspore", "TINY_AVA"),
]
LARGE = [
    ("pytorchvideo", "slowfast_r50"), ("pytorchvideo", "slow_r50_detection"),
    ("pytorchvideo", "mvit_base_16"), ("mmaction2", "ava_slowonly_r50_4x16"),
]


def file_of(folder: str, name: str) -> ForeignCheckpoint:
    """A case's tensors without memory, under their names in the file."""
    case = manifest(folder if folder not in ("caffe2", "torchvision") else "models", name)
    tensors = {}
    for param in case["params"]:
        theirs = param["name"]
        if folder == "caffe2":
            theirs = param["c2_name"]
        elif folder == "torchvision":
            theirs = names.to_torchvision(theirs)
        if theirs:
            tensors[theirs] = np.broadcast_to(np.float32(0), param["shape"])
    return ForeignCheckpoint("torch zip", tensors, {})


def shapes_for(checkpoint: ForeignCheckpoint) -> dict:
    """The variables of the network that a file is of."""
    scheme = names.scheme_of(checkpoint.tensors)
    canonical = names.canonical_names(checkpoint.tensors, scheme)
    given, _ = map_to_paths(checkpoint, names.foreign_family(canonical.values()), set())
    leaves = {}
    for path, (_, array) in given.items():
        leaf = path.rpartition("/")[2]
        rank = 1 if leaf in ("scale", "mean", "var") or leaf == "bias" else array.ndim
        collection = "batch_stats" if leaf in ("mean", "var") else "params"
        leaves[collection, path] = from_torch(array, (0,) * rank, leaf)
    return unflatten(leaves)


def check(checkpoint: ForeignCheckpoint, shapes: dict) -> list[Use]:
    _, report = fit(checkpoint, shapes)
    rows = name_map(checkpoint, report)
    assert Counter(row.name for row in rows if row.name) == Counter(list(checkpoint.tensors))
    paths = Counter(row.path for row in rows if row.path)
    joined = {path: len(sources) for path, sources in report.joined.items()}
    assert paths == Counter({path: joined.get(path, 1) for _, path in flatten(shapes)})
    assert all(row.how for row in rows if not row.path or not row.name)
    return rows


@needs_parity
@pytest.mark.parametrize("folder, name", [
    pytest.param(*case, marks=pytest.mark.slow if case in LARGE else ()) for case in CASES
])
def test_each_tensor_is_used_once(folder, name):
    checkpoint = file_of(folder, name)
    rows = check(checkpoint, shapes_for(checkpoint))
    used = sum(bool(row.name and row.path) for row in rows)
    assert used > 0.7 * len([n for n in checkpoint.tensors if "num_batches" not in n])


def test_the_map_of_a_file():
    tensors = pyslowfast_tensors(random_variables(mini_shapes()))
    rows = check(ForeignCheckpoint("torch zip", tensors, {}), mini_shapes())
    by_name = {row.name: row for row in rows}
    assert by_name["head.projection.bias"].path == "head/projection/bias"
    counters = [row for row in rows if row.how == "batch norm step counter, not used"]
    assert len(counters) == 62 and not any(row.path for row in counters)


def test_cases_cover_every_program():
    programs = {"PySlowFast", "Caffe2", "PyTorchVideo", *ports.SCHEME_PATTERNS}
    folders = {"models": "PySlowFast", "caffe2": "Caffe2", "torchvision": "torchvision",
               "pytorchvideo": "PyTorchVideo", "mmaction2": "MMAction2", "paddlevideo": "Paddle",
               "mindspore": "MindSpore"}
    assert {folders[folder] for folder, _ in CASES} == programs
