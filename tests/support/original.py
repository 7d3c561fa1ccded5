"""Recorded outputs of PySlowFast for one small network of each family, in tests/fixtures.

Weights and inputs follow from rules, so only outputs are stored: original.json describes networks
and training steps, original.npz has the outputs. Both were extracted from ../shared/parity by

    python -m tests.support.original
"""

import dataclasses
import json
import math
import zlib
from typing import Any

import numpy as np

from convert import names
from convert.layouts import to_torch
from convert.trees import flatten
from slowfast_jax.models.resnet3d import ResNet3D
from slowfast_jax.models.slowfast import SlowFast
from slowfast_jax.models.x3d import X3D
from tests.support.paths import ROOT

FIXTURES = ROOT / "tests/fixtures"
CLASSES = {make.__name__: make for make in (ResNet3D, SlowFast, X3D)}
# Names of cases in ../shared/parity.
FORWARD = {
    "SlowFast": "TINY_SLOWFAST", "I3D, non-local": "TINY_I3D_NL", "C2D": "TINY_C2D_BASIC",
    "X3D": "TINY_X3D", "detection": "TINY_AVA_ALIGNED", "Slow": "TINY_SLOW_SUBBN",
}
STEPS = {"SlowFast": "slowfast_sgd", "X3D": "x3d_sgd", "detection": "slowfast_ava"}
SAMPLES = 8  # stored entries of each parameter and gradient


def load() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The descriptions ({"forward": {family: ...}, "step": ...}) and the recorded arrays."""
    described = json.loads((FIXTURES / "original.json").read_text())
    return described, dict(np.load(FIXTURES / "original.npz"))


def network(described: dict[str, Any]):
    """The network that a case describes."""
    keywords = {key: _tuples(value) for key, value in described["keywords"].items()}
    return CLASSES[described["class"]](**keywords)


def weights(shapes: Any, described: dict[str, Any]) -> dict[str, Any]:
    """A case's variables: random numbers that depend on PySlowFast's name of each."""
    leaves = {path: leaf for (_, path), leaf in flatten(shapes).items()}
    family = names.family_of(leaves)
    tree: dict[str, Any] = {}
    for (collection, path), leaf in flatten(shapes).items():
        name = names.to_pyslowfast(path, family)
        if described["split_norms"]:  # their statistics for evaluation have other names
            name = name.replace(".running_", ".bn.running_")
        value = _value(name, path, leaf.shape, leaves, described["head_scale"])
        node = tree.setdefault(collection, {})
        *parents, last = path.split("/")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value.astype(np.float32)
    return tree


def _value(name, path, shape, paths, head_scale):
    random = np.random.RandomState(zlib.crc32(name.encode()))
    shape = to_torch(np.empty(shape, np.int8)).shape
    low_high = {"running_var": (0.5, 1.5)}.get(name.rpartition(".")[2])
    module, kind = name.rsplit(".", 1)
    if kind == "weight" and len(shape) == 1:
        low_high = (0.5, 1.5)
        block = path.split("/")[:-2]
        if path.endswith("/out_bn/scale"):
            low_high = (0.2, 0.5)
        elif ".branch2." in name and path.split("/")[-2] == (
            "c_bn" if "/".join([*block, "c", "kernel"]) in paths else "b_bn"
        ):
            low_high = (0.15, 0.35)
    if low_high:
        return random.uniform(*low_high, shape)
    scale = 0.1
    if kind == "weight":
        fan_in = math.prod(shape[1:])
        if module.endswith(("theta", "phi")):
            scale = 0.7 / math.sqrt(fan_in)
        elif module.endswith(("conv_g", "conv_out")):
            scale = 1 / math.sqrt(fan_in)
        elif module == "head.projection":
            scale = head_scale / math.sqrt(fan_in)
        else:
            scale = math.sqrt(2 / fan_in)
    value = random.randn(*shape) * scale
    return value.transpose(2, 3, 4, 1, 0) if value.ndim == 5 else value.T


def clip_of(described: dict[str, Any]) -> np.ndarray:
    """The input `(N, T, H, W, 3)` of a case."""
    random = np.random.RandomState(described["seed"])
    return np.moveaxis(random.randn(*described["shape"]).astype(np.float32), 1, -1)


def boxes_of(described: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """Boxes `(N, B, 4)` and their mask `(N, B)` of a case; None for classification."""
    if "boxes" not in described:
        return None, None
    rows, clips = np.array(described["boxes"]), described["shape"][0]
    counts = np.bincount(rows[:, 0].astype(int), minlength=clips)
    mask = np.arange(counts.max()) < counts[:, None]
    boxes = np.zeros((*mask.shape, 4), np.float32)
    boxes[mask] = rows[:, 1:]
    return boxes, mask


def samples(name: str, array: np.ndarray) -> np.ndarray:
    """The stored entries of a parameter, in PyTorch's layout, by PySlowFast's name."""
    random = np.random.RandomState(zlib.crc32(f"{name}/idx".encode()))
    return array.ravel()[random.randint(0, array.size, 64)][:SAMPLES]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _describe(case: dict[str, Any], inputs: list, boxes: list | None) -> dict[str, Any]:
    from tests.slowfast_jax.models import cases

    model = cases.network(case["cfg"])
    keywords = {
        field.name: getattr(model, field.name) for field in dataclasses.fields(model)
        if field.name not in ("parent", "name") and getattr(model, field.name) != field.default
    }
    head = next(p for p in case["params"] if p["name"] == "head.projection.weight")
    described = {
        "class": type(model).__name__, "keywords": keywords,
        "head_scale": head.get("scale", 1.0),
        "split_norms": case["cfg"]["BN"]["NORM_TYPE"] == "sub_batchnorm",
        **{k: inputs[-1][k] for k in ("seed", "shape")},
    }
    return described | ({"boxes": sorted(boxes, key=lambda row: row[0])} if boxes else {})


def record() -> None:
    """Extracts the fixtures from ../shared/parity."""
    from tests.slowfast_jax.models import cases

    described, arrays = {"forward": {}, "step": {}}, {}
    for family, name in FORWARD.items():
        case, outputs = cases.manifest("models", name), cases.outputs("models", name)
        boxes = case.get("boxes")
        described["forward"][family] = _describe(case, case["inputs"], boxes)
        order = np.argsort([row[0] for row in boxes], kind="stable") if boxes else slice(None)
        for key in ("logits", "probs"):
            rows = outputs[key].reshape(len(outputs[key]), -1)  # logits of all positions
            arrays[f"{family}/{key}"] = rows[order].astype(np.float32)
    for family, name in STEPS.items():
        case, outputs = cases.manifest("train", name), cases.outputs("train", name)
        step, solver = case["steps"][0], case["cfg"]["SOLVER"]
        boxes = step.get("boxes")
        labels = step["labels"]
        if boxes:
            labels = [labels[i] for i in np.argsort([row[0] for row in boxes], kind="stable")]
        described["step"][family] = _describe(case, step["inputs"], boxes) | {
            "labels": labels, "names": case["param_names"],
            "loss": case["cfg"]["MODEL"]["LOSS_FUNC"], "lr": float(outputs["f64__lr"][0]),
            "optimizer": {
                "weight_decay": float(solver["WEIGHT_DECAY"]),
                "norm_weight_decay": float(case["cfg"]["BN"]["WEIGHT_DECAY"]),
                "momentum": solver["MOMENTUM"], "nesterov": solver["NESTEROV"],
                "dampening": solver["DAMPENING"],
            },
        }
        for key, source in (("loss", "loss"), ("grad_norm", "grad_norm_reported")):
            arrays[f"{family}/step/{key}"] = outputs[f"f64__{source}"][0]
        arrays[f"{family}/step/grad_norms"] = outputs["f64__step1_param_grad_norm"]
        for key, source in (
            ("gradients", "step1_param_grad_samples"), ("params", "params_after_step1_samples")
        ):
            arrays[f"{family}/step/{key}"] = outputs[f"f64__{source}"][:, :SAMPLES].astype("f4")
    (FIXTURES / "original.json").write_text(json.dumps(described) + "\n")
    np.savez_compressed(FIXTURES / "original.npz", **arrays)


if __name__ == "__main__":
    record()
