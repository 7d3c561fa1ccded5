"""PySlowFast's networks in other programs: MMAction2, PaddleVideo (and the older Paddle example),
MindSpore. How they spell names, what they store otherwise, and what a network needs for them.

All of it is data. Names are respelt by substitutions, applied in turn, until they are PySlowFast's:

    MMAction2  backbone.fast_path.layer2.0.conv3.bn.running_mean
    Paddle     backbone.s3.pathway1_res0.branch2.c_bn._mean
    MindSpore  net.s3.pathway1_res0.branch2.c_bn.bn2d.moving_mean
    PySlowFast s3.pathway1_res0.branch2.c_bn.running_mean
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

# Scheme -> what tells it, found anywhere in a name.
MARKS = {
    "MMAction2": r"^backbone\.((slow|fast)_path\.)?(conv1\.conv|layer\d\.\d+\.conv\d\.conv)\.",
    "Paddle": r"\._(conv|conv_f2s|bn)\.",
    "MindSpore": r"\.bn2d\.(gamma|beta|moving_mean|moving_variance)$",
}
HEAD = (r"^(cls_head|roi_head\.bbox_head)\.fc_cls\.", "head.projection.")
SPELLINGS = {
    "MMAction2": (
        (r"^backbone\.fast_path\.", "pathway1."),
        (r"^backbone\.(slow_path\.)?", "pathway0."),
        *((rf"\.layer{n}(?=[._])", f".s{n + 1}") for n in (1, 2, 3, 4)),
        (r"^pathway0\.conv1_lateral\.", "s1_fuse."),
        (r"^pathway0\.(s\d)_lateral\.", r"\1_fuse."),
        (r"_fuse\.conv\.", "_fuse.conv_f2s."),
        (r"^pathway(\d)\.conv1\.", r"s1.pathway\1_stem."),
        (r"^pathway(\d)\.(s\d)\.(\d+)\.non_local_block\.", r"\2.pathway\1_nonlocal\3."),
        (r"(_nonlocal\d+)\.(theta|phi|g)(\.0)?\.conv\.", r"\1.conv_\2."),
        (r"(_nonlocal\d+)\.conv_out\.conv\.", r"\1.conv_out."),
        (r"(_nonlocal\d+)\.conv_out\.bn\.", r"\1.bn."),
        (r"^pathway(\d)\.(s\d)\.(\d+)\.", r"\2.pathway\1_res\3."),
        (r"\.downsample\.conv\.", ".branch1."),
        (r"\.downsample\.bn\.", ".branch1_bn."),
        *((rf"(_res\d+)\.conv{n}\.conv\.", rf"\1.branch2.{x}.") for n, x in enumerate("abc", 1)),
        *((rf"(_res\d+)\.conv{n}\.bn\.", rf"\1.branch2.{x}_bn.") for n, x in enumerate("abc", 1)),
        HEAD,
    ),
    "Paddle": (
        (r"^backbone\.", ""),
        (r"\._(conv|conv_f2s|bn)\.", r".\1."),
        (r"\._mean$", ".running_mean"),
        (r"\._variance$", ".running_var"),
        HEAD,
    ),
    "MindSpore": (
        (r"^net\.", ""),
        (r"\.bn2d\.gamma$", ".weight"),
        (r"\.bn2d\.beta$", ".bias"),
        (r"\.bn2d\.moving_mean$", ".running_mean"),
        (r"\.bn2d\.moving_variance$", ".running_var"),
    ),
}
# (scheme, names, why these are no parameters of the model)
IGNORED = (
    ("MindSpore", r"(accum|stat|moments|moment1|moment2)\..*", "state of the MindSpore optimizer"),
    ("MindSpore", r"[a-z_]+", "state of the MindSpore trainer"),
)

IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
ROI_HEAD = dict(dilations=(1, 1, 1, 1), roi_resolution=8, roi_aligned=True)
# (scheme, what tells it, found in any name, keywords without which the network gives other numbers)
KEYWORDS = (
    ("MMAction2", r"^backbone\.", IMAGENET),
    ("MMAction2", r"^backbone\.slow_path\.", dict(slow_frames="stride")),
    ("MMAction2", r"_lateral\.conv\.", dict(lateral_norm=False)),
    ("MMAction2", r"_lateral\.bn\.", dict(lateral_norm=True)),  # the "steplr" networks
    ("MMAction2", r"^cls_head\.", dict(head_pool="global")),
    ("MMAction2", r"^roi_head\.", ROI_HEAD),
    ("MMAction2", r"\.non_local_block\.", dict(nonlocal_mode="softmax", nonlocal_pool_first=False)),
    ("Paddle", r"^roi_head\.", IMAGENET | ROI_HEAD | dict(lateral_norm=False)),
    ("PyTorchVideo", r"(^|\.)detection_head\.", dict(roi_aligned=False)),
)
# Scheme -> in what the program differs that no keyword changes.
NOTES = {
    "MindSpore": "its ROIAlign has 2 x 2 samples a bin, ends boxes a pixel later and shifts none "
    "by half of one: probabilities of boxes differ a little from its own",
}

Tensors = dict[str, tuple[str, np.ndarray]]  # PySlowFast name -> (name in the file, array)


def scheme_of(names: Iterable[str]) -> str:
    """The key of MARKS whose mark one of the names has; "" where there is none."""
    names = list(names)
    for scheme, mark in MARKS.items():
        if any(re.search(mark, name) for name in names):
            return scheme
    return ""


def respell(name: str, scheme: str) -> str:
    """PySlowFast's name."""
    for pattern, replacement in SPELLINGS[scheme]:
        name = re.sub(pattern, replacement, name)
    return name


def ignored(name: str, scheme: str) -> str:
    """Why a tensor of a file is no parameter of the model; "" for those that are."""
    reasons = (why for s, names, why in IGNORED if s == scheme and re.fullmatch(names, name))
    return next(reasons, "")


def keywords(names: Iterable[str], scheme: str) -> dict[str, object]:
    """Keywords that the network must have to compute what the program of these names does."""
    names, needed = list(names), {}
    for s, mark, values in KEYWORDS:
        if s == scheme and any(re.search(mark, name) for name in names):
            needed |= values
    return needed


def as_pyslowfast(known: Mapping, scheme: str) -> tuple[Tensors, dict[str, str], dict[str, str]]:
    """Stores tensors as PySlowFast does where only the names were respelt so far.

    Returns the tensors, {name: how it was changed} and {name in the file: why it is ignored}.
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
        change(weight, "columns of the slow pathway put first", columns)
    if scheme == "MMAction2":
        for name in [n for n in known if n.endswith(".conv_out.weight")]:
            missing = name.removesuffix("weight") + "bias"
            if missing not in known:
                known[missing] = ("", np.zeros(len(known[name][1]), known[name][1].dtype))
                changed[missing] = "zero: MMAction2 has no bias there"
    if scheme == "Paddle" and boxes:
        for name in [n for n in known if re.match(r"s\d_fuse\.bn\.", n)]:
            ignored[known.pop(name)[0]] = "norm of a lateral connection, which Paddle does not use"
    return known, changed, ignored
