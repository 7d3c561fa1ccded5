"""Tables for programs that reimplement PySlowFast's networks: MMAction2, Paddle and MindSpore.

("Paddle" is PaddleVideo and the older Paddle example.) The tables say how each program spells
names, which tensors it stores differently, and which keywords a network of this project needs to
compute the same. Names of Paddle and MindSpore are rewritten by substitutions, applied in order, to
PySlowFast's; those of MMAction2 are in tables.py:

    MMAction2  backbone.fast_path.layer2.0.conv3.bn.running_mean
    Paddle     backbone.s3.pathway1_res0.branch2.c_bn._mean
    MindSpore  net.s3.pathway1_res0.branch2.c_bn.bn2d.moving_mean
    PySlowFast s3.pathway1_res0.branch2.c_bn.running_mean
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

# Scheme -> pattern that occurs only in names of this scheme.
SCHEME_PATTERNS = {
    "MMAction2": r"^backbone\.((slow|fast)_path\.)?(conv1\.conv|layer\d\.\d+\.conv\d\.conv)\.",
    "Paddle": r"\._(conv|conv_f2s|bn)\.",
    "MindSpore": r"\.bn2d\.(gamma|beta|moving_mean|moving_variance)$",
    "torchvision": r"^blocks\.\d+\.attn\.project\.0\.|^layer\d\.\d+\.conv\d\.weight$",
}
SPELLINGS = {
    "Paddle": (
        (r"^backbone\.", ""),
        (r"\._(conv|conv_f2s|bn)\.", r".\1."),
        (r"\._mean$", ".running_mean"),
        (r"\._variance$", ".running_var"),
        (r"^roi_head\.bbox_head\.fc_cls\.", "head.projection."),
    ),
    "MindSpore": (
        (r"^net\.", ""),
        (r"\.bn2d\.gamma$", ".weight"),
        (r"\.bn2d\.beta$", ".bias"),
        (r"\.bn2d\.moving_mean$", ".running_mean"),
        (r"\.bn2d\.moving_variance$", ".running_var"),
    ),
}
# Rows (scheme, pattern of whole names, why these tensors are not parameters of the model).
IGNORED = (
    ("MindSpore", r"(accum|stat|moments|moment1|moment2)\..*", "state of the MindSpore optimizer"),
    ("MindSpore", r"[a-z_]+", "state of the MindSpore trainer"),
)

IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
ROI_HEAD = dict(dilations=(1, 1, 1, 1), roi_resolution=8, roi_aligned=True)
# Rows (scheme, pattern, keywords): if a name in the file matches the pattern, the network needs
# these keywords to compute what the program computes.
REQUIRED_KEYWORDS = (
    ("MMAction2", r"^backbone\.", IMAGENET),
    ("MMAction2", r"^backbone\.slow_path\.", dict(slow_frames="stride")),
    ("MMAction2", r"_lateral\.conv\.", dict(lateral_norm=False)),
    ("MMAction2", r"_lateral\.bn\.", dict(lateral_norm=True)),  # the "steplr" networks only
    ("MMAction2", r"^cls_head\.", dict(head_pool="global")),
    ("MMAction2", r"^roi_head\.", ROI_HEAD),
    ("MMAction2", r"^roi_head\.bbox_head\.fc_cls\.0\.", dict(roi_hidden=True)),
    ("MMAction2", r"\.non_local_block\.", dict(nonlocal_mode="softmax", nonlocal_pool_first=False)),
    ("Paddle", r"^roi_head\.", IMAGENET | ROI_HEAD | dict(lateral_norm=False)),
    ("MindSpore", r"(^|\.)head\.projection\.", dict(roi_variant="mindspore")),
    ("PyTorchVideo", r"(^|\.)detection_head\.", dict(roi_aligned=False)),
)
Tensors = dict[str, tuple[str, np.ndarray]]  # PySlowFast name -> (name in the file, array)


def scheme_of(names: Iterable[str]) -> str:
    """The first scheme whose pattern matches one of the names, or "" if no pattern does."""
    names = list(names)
    for scheme, pattern in SCHEME_PATTERNS.items():
        if any(re.search(pattern, name) for name in names):
            return scheme
    return ""


def respell(name: str, scheme: str) -> str:
    """Rewrites a name of `scheme` as PySlowFast spells it."""
    for pattern, replacement in SPELLINGS[scheme]:
        name = re.sub(pattern, replacement, name)
    return name


def ignore_reason(name: str, scheme: str) -> str:
    """Why a tensor in a file is not a parameter of the model; "" if it is one."""
    reasons = (why for s, names, why in IGNORED if s == scheme and re.fullmatch(names, name))
    return next(reasons, "")


def required_keywords(names: Iterable[str], scheme: str) -> dict[str, object]:
    """Keywords a network needs to compute what the program that wrote these names computes."""
    names, required = list(names), {}
    for s, pattern, values in REQUIRED_KEYWORDS:
        if s == scheme and any(re.search(pattern, name) for name in names):
            required |= values
    return required


def as_pyslowfast(known: Mapping, scheme: str) -> tuple[Tensors, dict[str, str], dict[str, str]]:
    """Converts tensors that a program stores differently to PySlowFast's form.

    Args:
      known: PySlowFast name -> (name in the file, array), as `names.canonical_names` named them.
      scheme: the naming scheme of the file.

    Returns:
      The converted tensors, {PySlowFast name: how the tensor was changed} and {name in the file:
      why the tensor is ignored}.
    """
    known, changed, ignored = dict(known), {}, {}
    weight, bias = "head.projection.weight", "head.projection.bias"
    boxes = known.get(weight, ("",))[0].startswith("roi_head.")

    def change(name: str, how: str, array: np.ndarray) -> None:
        known[name] = (known[name][0], array)
        changed[name] = f"{changed[name]}, {how}" if name in changed else how

    if scheme == "Paddle" and weight in known:
        change(weight, "transposed", known[weight][1].T)
    if boxes:
        for name in {weight, bias} & set(known):
            change(name, "without class 0, the background", known[name][1][1:])
    fast = known.get("s5.pathway1_res0.branch2.c_bn.weight")
    if scheme == "MMAction2" and fast and weight in known and not boxes:
        columns = np.roll(known[weight][1], -fast[1].size, axis=1)
        change(weight, "columns of the slow pathway moved first", columns)
    if scheme == "MMAction2":
        for name in [n for n in known if n.endswith(".conv_out.weight")]:
            missing = name.removesuffix("weight") + "bias"
            if missing not in known:
                known[missing] = ("", np.zeros(len(known[name][1]), known[name][1].dtype))
                changed[missing] = "zeros, because MMAction2 has no bias there"
    if scheme == "Paddle" and boxes:
        unused = "batch norm of a lateral connection, which Paddle does not use"
        for name in [n for n in known if re.match(r"s\d_fuse\.bn\.", n)]:
            ignored[known.pop(name)[0]] = unused
    return known, changed, ignored
