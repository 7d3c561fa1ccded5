"""Networks of the reference data with what their programs computed, all in one form."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from convert.torch_file import write_pyth
from slowfast_jax.models import zoo
from slowfast_jax.models.slowfast import SlowFast
from tests.slowfast_jax.models import cases
from tests.support.paths import PARITY

# PyTorchVideo's hub: the manifest in models/ of the same network, and what differs from it.
HUB = {
    "slow_r50": ("SLOW_8x8_R50", {}),
    "slowfast_r50": ("SLOWFAST_8x8_R50", {}),
    "slowfast_r101": ("c2_SLOWFAST_8x8_R101_101_101", {}),
    "slowfast_16x8_r101_50_50": ("c2_SLOWFAST_16x8_R101_50_50", {}),
    "c2d_r50": ("C2D_8x8_R50", {}),
    "i3d_r50": ("I3D_8x8_R50", {}),
    "x3d_xs": ("X3D_XS", {}),
    "x3d_s": ("X3D_XS", {"num_frames": 13}),
    "x3d_m": ("X3D_M", {}),
    "x3d_l": ("X3D_M", {"depth_factor": 5.0, "crop_size": 312}),
    "slow_r50_detection": ("AVA_SLOW_8x8_R50_SHORT", {"roi_aligned": False}),
    "slowfast_r50_detection": ("AVA_SLOWFAST_32x2_R50_SHORT", {"roi_aligned": False}),
}
# Those of the hub that are zoo entries as they are.
FACTORIZED = {
    "csn_r101": "kinetics/csn_32x2_r101", "r2plus1d_r50": "kinetics/r2plus1d_16x4_r50",
}
HUB_TRANSFORMERS = {
    "mvit_base_16": ("imagenet/mvit_b_16_conv_pytorchvideo", {"num_classes": 400}),
    "mvit_base_16x4": ("kinetics/mvit_b_16x4_conv", {}),
    "mvit_base_32x3": ("kinetics/mvit_b_16x4_conv", {"num_frames": 32}),
}
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
    "SLOWFAST": ("kinetics/slowfast_4x16_r50", {}),
    "DYGRAPH_SLOWFAST": ("kinetics/slowfast_4x16_r50", {}),
    "SLOWFAST_MULTIGRID": ("kinetics/slowfast_8x8_r50", {}),
    "AVA": ("paddlevideo/ava_slowfast_8x8_r50", {}),
    "TINY_SLOWFAST_W16": (
        "kinetics/slowfast_8x8_r50",
        {"width": 16, "num_classes": 11, "num_frames": 16, "crop_size": 64},
    ),
    "TINY_AVA": (
        "paddlevideo/ava_slowfast_8x8_r50", {"width": 16, "num_classes": 6, "num_frames": 16},
    ),
}
PADDLE_TINY = dict(num_classes=5, depth=18, width=2, beta=2, fusion_kernel=5, num_frames=16,
                   crop_size=64, num_block_temp_kernel=((2, 2, 2, 2),) * 2)
# Cases whose weights are in a file that the program itself wrote.
PADDLE_FILES = ("TINY_SLOWFAST", "DYGRAPH_TINY_SLOWFAST")
MINDSPORE_FILE = "TINY_AVA"
MINDSPORE = (MINDSPORE_FILE, "TINY_AVA_W16", "AVA_SLOWFAST_32x2_R50_SHORT")


class Recorded(NamedTuple):
    """A network, its weights and inputs, and what the program of the case computed.

    Attributes:
      model: our network.
      weights: the checkpoint file.
      clip, boxes: of `model.apply`; boxes is None if it takes none.
      rows: our logits or probabilities, (N, ...) or (N, B, K) -> those that are recorded,
        (R, ...).
      logits: (R, places of the head..., K).
      probs: (R, K), or (1, K) if they are the mean over the N clips.
      outputs: all recorded arrays, such as taps.
    """

    model: Any
    weights: Path
    clip: np.ndarray
    boxes: np.ndarray | None
    rows: Callable[[np.ndarray], np.ndarray]
    logits: np.ndarray
    probs: np.ndarray
    outputs: dict[str, np.ndarray]


def load(folder: str, name: str, work: Path) -> Recorded:
    """A case of a folder of the reference data; its weights are written to the folder `work`."""
    return LOADERS[folder](name, work)


def _pyslowfast(name: str, work: Path) -> Recorded:
    case, outputs = cases.manifest("models", name), cases.outputs("models", name)
    return _recorded(case, outputs, cases.network(case["cfg"]), _written(case, work))


def _pytorchvideo(name: str, work: Path) -> Recorded:
    case, outputs = cases.manifest("pytorchvideo", name), cases.outputs("pytorchvideo", name)
    if name in HUB:
        same, differences = HUB[name]
        model = cases.network(cases.manifest("models", same)["cfg"])
        model = model.clone(average="logits", **differences)
    else:
        entry, options = HUB_TRANSFORMERS.get(name) or (FACTORIZED[name], {})
        model = zoo.create(entry, **options)
    probs = outputs["output"]
    if case["outputs"]["output_is"] == "logits":
        probs = np.asarray(jax.nn.softmax(probs))
    path = _written(case, work, case.get("aliases", {}))
    return _recorded(case, outputs | {"probs": probs}, model, path)


def _mmaction2(name: str, work: Path) -> Recorded:
    case, outputs = cases.manifest("mmaction2", name), cases.outputs("mmaction2", name)
    model = zoo.create(MMACTION2[name])
    if model.detection:
        outputs |= {key: outputs[key][:, 1:] for key in ("logits", "probs")}  # no background
    return _recorded(case, outputs, model, _written(case, work))


def _paddle(name: str, work: Path) -> Recorded:
    case, outputs = cases.manifest("paddlevideo", name), cases.outputs("paddlevideo", name)
    if name in PADDLE_FILES:
        path = PARITY / "paddlevideo" / f"{name.lower()}.pdparams"
        return _recorded(case, outputs, SlowFast(**PADDLE_TINY), path)
    entry, options = PADDLE[name]
    made = _recorded(case, outputs, zoo.create(entry, **options), _written(case, work))
    if not made.model.detection:
        return made
    # Without background; empty boxes, which we refuse, get the bias there.
    wide = outputs["boxes"][:, 3] > outputs["boxes"][:, 1]
    assert 0 < wide.sum() < len(wide)
    return made._replace(
        rows=lambda array: made.rows(array)[wide], logits=made.logits[wide, 1:],
        probs=made.probs[wide, 1:],
    )


def _mindspore(name: str, work: Path) -> Recorded:
    case, outputs = cases.manifest("mindspore", name), cases.outputs("mindspore", name)
    clip = cases.clip_and_boxes(case | {"boxes": None})[0]
    mask = np.array(case["mask"], bool)
    boxes = np.array(case["boxes"], np.float32)[:, : mask.sum(1).max()]
    real = mask[:, : boxes.shape[1]]
    model = cases.network(case["cfg"] | {
        "DATA": {
            "NUM_FRAMES": clip.shape[1], "TRAIN_CROP_SIZE": 224, "MEAN": [0.45] * 3,
            "STD": [0.225] * 3,
        },
        "MULTIGRID": {"SHORT_CYCLE": False},
        "NONLOCAL": cases.manifest("models", "AVA_SLOWFAST_32x2_R50_SHORT")["cfg"]["NONLOCAL"],
    }).clone(roi_variant="mindspore")
    path = PARITY / "mindspore" / "tiny_slowfast.ckpt"
    if name != MINDSPORE_FILE:
        path = _written(case, work)
    return Recorded(
        model, path, clip, boxes, lambda array: array[real], outputs["logits"], outputs["probs"],
        outputs,
    )


LOADERS = {
    "models": _pyslowfast, "pytorchvideo": _pytorchvideo, "mmaction2": _mmaction2,
    "paddlevideo": _paddle, "mindspore": _mindspore,
}
NAMES = {
    "models": (*cases.convolutional(), *cases.transformers()),
    "pytorchvideo": (*HUB, *FACTORIZED, *HUB_TRANSFORMERS),
    "mmaction2": tuple(MMACTION2),
    "paddlevideo": (*PADDLE, *PADDLE_FILES),
    "mindspore": MINDSPORE,
}


def _written(case: dict[str, Any], work: Path, second_names: Mapping[str, str] = {}) -> Path:
    """The file of a case's weights. second_names: {another name of a tensor: its name}."""
    tensors = cases.load_rule().make_weights(case)
    tensors |= {second: tensors[first] for second, first in second_names.items()}
    write_pyth(work / "case.pyth", tensors)
    return work / "case.pyth"


def _recorded(case: dict[str, Any], outputs: dict, model: Any, weights: Path) -> Recorded:
    clip, boxes = cases.clip_and_boxes(case)
    rows = (lambda array: array) if boxes is None else (lambda array: cases.rows_of(case, array))
    probs = outputs["probs"]
    return Recorded(
        model, weights, clip, boxes, rows, outputs["logits"],
        probs.reshape(-1, probs.shape[-1]), outputs,
    )
