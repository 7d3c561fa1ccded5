"""Translates the original's module names to our endpoints, and arrays between the layouts."""

import re

import numpy as np

# Patterns of whole tap names; {P} is the prefix of the pathway.
PYSLOWFAST = (
    (r"s1\.pathway(?P<p>\d)(_stem)?", "{P}stem"),
    (r"s(?P<s>\d)\.pathway(?P<p>\d)", "{P}res{s}"),
    (r"s(?P<s>\d)\.pathway(?P<p>\d)_res(?P<i>\d+)", "{P}res{s}/block{i}"),
    (r"s(?P<s>\d)\.pathway(?P<p>\d)_res(?P<i>\d+)\.branch2", "{P}res{s}/block{i}/branch"),
    (r"s(?P<s>\d)\.pathway(?P<p>\d)_res(?P<i>\d+)\.branch2\.se", "{P}res{s}/block{i}/se"),
    (r"s(?P<s>\d)\.pathway(?P<p>\d)_nonlocal(?P<i>\d+)", "{P}res{s}/nonlocal{i}"),
    (r"s(?P<s>\d)_fuse\.pathway0", "lateral{s}"),
    (r"s1_fuse\.pathway1", "fast_stem"),
    (r"s(?P<s>\d)_fuse\.pathway1", "fast_res{s}"),
    (r"head\.pathway(?P<p>\d)_avgpool", "head/pool{p}"),
    (r"head\.s(?P<p>\d)_tpool", "head/time_pool{p}"),
    (r"head\.s(?P<p>\d)_roi", "head/roi{p}"),
    (r"head\.s(?P<p>\d)_spool", "head/roi_pool{p}"),
    (r"head\.conv_5_relu", "head/conv_5"),
    (r"head\.avg_pool", "head/pool"),
    (r"head\.lin_5_relu", "head/lin_5"),
    (r"head\.projection\.input", "features"),
    (r"(?P<n>patch_embed|norm_stem|norm)", "{n}"),
    (r"fuse", "fusion"),
    (r"rev_backbone", "backbone"),
    (r"rev_backbone\.layers\.(?P<i>\d+)", "block{i}"),
    (r"rev_backbone\.layers\.(?P<i>\d+)\.(?P<n>Y1|Y2)", "block{i}/{n}"),
    (r"rev_backbone\.layers\.(?P<i>\d+)\.(?P<n>[FG])\.(?P<m>attn|mlp)", "block{i}/{n}/{m}"),
    (r"blocks\.(?P<i>\d+)", "block{i}"),
    (r"blocks\.(?P<i>\d+)\.(?P<n>attn|mlp)", "block{i}/{n}"),
)
# Two-pathway networks of the original have pools of size one between stages 2 and 3.
TWO_PATHWAY_POOLS = {"pathway0_pool": "lateral2", "pathway1_pool": "fast_res2"}


def endpoint_of(tap: str, endpoints: dict) -> str:
    """Our name of the endpoint that the original calls `tap`."""
    two_pathways = "slow_stem" in endpoints
    if re.fullmatch(r"pathway\d_pool", tap):
        return TWO_PATHWAY_POOLS[tap] if two_pathways else "pool2"
    for pattern, name in PYSLOWFAST:
        match = re.fullmatch(pattern, tap)
        if match:
            pieces = match.groupdict()
            prefix = ("slow_", "fast_")[int(pieces.get("p", 0))] if two_pathways else ""
            return name.format(P=prefix, **pieces)
    raise KeyError(f"no endpoint for the tap {tap!r}")


def pytorchvideo_endpoint(tap: str) -> str:
    """Our name of the endpoint that PyTorchVideo calls `tap`, in networks whose blocks are the
    stem, four stages and the head."""
    block, _, inside = tap.removeprefix("blocks.").partition(".")
    stage = ("stem", "res2", "res3", "res4", "res5", "head")[int(block)]
    if inside.startswith("res_blocks."):
        return f"{stage}/block{inside.removeprefix('res_blocks.')}"
    return {"": stage, "pool": "head/pool0", "proj.input": "features"}[inside]


def in_their_layout(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Channels last -> channels first, unless the original keeps channels last there too.

    The original may fold time into the batch (non-local groups), or have a time axis of size one.
    """
    if array.shape == shape:
        return array
    return np.moveaxis(array.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def compare(recorded: dict[str, np.ndarray], tap: str, ours: np.ndarray) -> float:
    """Largest difference from the recorded values of a tap, relative to its spread."""
    shape = tuple(recorded[f"tap/{tap}/shape"])
    values = in_their_layout(ours, shape).ravel()[recorded[f"tap/{tap}/idx"]]
    difference = np.abs(values - recorded[f"tap/{tap}/val"]).max()
    mean = abs(ours.mean(dtype=np.float64) - recorded[f"tap/{tap}/mean"])
    return float(max(difference, mean) / recorded[f"tap/{tap}/std"])


def names(recorded: dict[str, np.ndarray]) -> list[str]:
    return sorted({key[4:].rsplit("/", 1)[0] for key in recorded if key.startswith("tap/")})
