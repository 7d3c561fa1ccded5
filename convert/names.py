"""Parameter names: ours, PySlowFast's, Caffe2's and PyTorchVideo's, as tables.

PySlowFast's names are the hub: other programs' names are translated to them, and they to ours. A
row of a table pairs two patterns; `{s}` (a stage) and the like stand for the pieces listed in
PIECES. The last component of a name (weight, running_mean, ...) has tables of its own.

    ours        res3/block0/shortcut_bn/mean
    PySlowFast  s3.pathway0_res0.branch1_bn.running_mean
    Caffe2      res3_0_branch1_bn_rm
    PyTorchVideo  blocks.2.res_blocks.0.branch1_norm.running_mean

Programs whose names differ by spelling only are in ports.py.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache

from convert import ports

PIECES = {
    "s": r"\d+",  # stage, as PySlowFast counts: 1 is the stem
    "i": r"\d+",  # block
    "p": r"\d",  # pathway
    "k": r"\d",  # layer of squeeze-excitation
    "x": r"[abc]",  # convolution of a residual block
    "n": r"theta|phi|g|out",  # convolution of a non-local block
}


def _pathway(ours: str, pathway: int) -> tuple[tuple[str, str], ...]:
    """Rows of one pathway's stages; ours begins with `ours`res{s}."""
    block, stage = f"{ours}res{{s}}/block{{i}}", f"s{{s}}.pathway{pathway}_"
    nonlocal_block = f"{ours}res{{s}}/nonlocal{{i}}"
    return (
        (f"{block}/{{x}}", f"{stage}res{{i}}.branch2.{{x}}"),
        (f"{block}/{{x}}_bn", f"{stage}res{{i}}.branch2.{{x}}_bn"),
        (f"{block}/shortcut", f"{stage}res{{i}}.branch1"),
        (f"{block}/shortcut_bn", f"{stage}res{{i}}.branch1_bn"),
        (f"{block}/se/fc{{k}}", f"{stage}res{{i}}.branch2.se.fc{{k}}"),
        (f"{nonlocal_block}/{{n}}", f"{stage}nonlocal{{i}}.conv_{{n}}"),
        (f"{nonlocal_block}/out_bn", f"{stage}nonlocal{{i}}.bn"),
    )


HEAD = (("head/projection", "head.projection"),)
# Family of networks -> rows (our module, PySlowFast's module). Within a family both columns are
# unique.
OURS = {
    "one pathway": (
        ("stem/conv", "s1.pathway0_stem.conv"),
        ("stem/conv_bn", "s1.pathway0_stem.bn"),
        *_pathway("", 0),
        *HEAD,
    ),
    "SlowFast": (
        ("slow_stem/conv", "s1.pathway0_stem.conv"),
        ("slow_stem/conv_bn", "s1.pathway0_stem.bn"),
        ("fast_stem/conv", "s1.pathway1_stem.conv"),
        ("fast_stem/conv_bn", "s1.pathway1_stem.bn"),
        *_pathway("slow_", 0),
        *_pathway("fast_", 1),
        ("lateral{s}/conv", "s{s}_fuse.conv_f2s"),
        ("lateral{s}/conv_bn", "s{s}_fuse.bn"),
        *HEAD,
    ),
    "X3D": (
        ("stem/conv_xy", "s1.pathway0_stem.conv_xy"),
        ("stem/conv_t", "s1.pathway0_stem.conv"),
        ("stem/conv_t_bn", "s1.pathway0_stem.bn"),
        *_pathway("", 0),
        ("head/conv_5", "head.conv_5"),
        ("head/conv_5_bn", "head.conv_5_bn"),
        ("head/lin_5", "head.lin_5"),
        ("head/lin_5_bn", "head.lin_5_bn"),
        *HEAD,
    ),
}

# (Caffe2 blob without its suffix, PySlowFast module)
CAFFE2 = (
    ("conv1", "s1.pathway0_stem.conv"),
    ("conv1_xy", "s1.pathway0_stem.conv_xy"),
    ("res_conv1_bn", "s1.pathway0_stem.bn"),
    ("t_conv1", "s1.pathway1_stem.conv"),
    ("t_res_conv1_bn", "s1.pathway1_stem.bn"),
    ("t_pool1_subsample", "s1_fuse.conv_f2s"),
    ("t_pool1_subsample_bn", "s1_fuse.bn"),
    ("t_res{s}_{i}_branch2{x}_bn_subsample", "s{s}_fuse.conv_f2s"),
    ("t_res{s}_{i}_branch2{x}_bn_subsample_bn", "s{s}_fuse.bn"),
    *(
        row
        for prefix, pathway in (("", 0), ("t_", 1))
        for block, ours in [(f"{prefix}res{{s}}_{{i}}", f"s{{s}}.pathway{pathway}_res{{i}}")]
        for row in (
            (f"{block}_branch1", f"{ours}.branch1"),
            (f"{block}_branch1_bn", f"{ours}.branch1_bn"),
            (f"{block}_branch2{{x}}", f"{ours}.branch2.{{x}}"),
            (f"{block}_branch2{{x}}_bn", f"{ours}.branch2.{{x}}_bn"),
            (f"{block}_branch2b_bn_fc{{k}}", f"{ours}.branch2.se.fc{{k}}"),
        )
    ),
    ("nonlocal_conv{s}_{i}_{n}", "s{s}.pathway0_nonlocal{i}.conv_{n}"),
    ("nonlocal_conv{s}_{i}_bn", "s{s}.pathway0_nonlocal{i}.bn"),
    ("conv_5", "head.conv_5"),
    ("conv_5_bn", "head.conv_5_bn"),
    ("lin_5", "head.lin_5"),
    ("lin_5_bn", "head.lin_5_bn"),
    ("pred", "head.projection"),
)
CAFFE2_LEAVES = {
    "w": "weight", "b": "bias", "s": "weight", "rm": "running_mean", "riv": "running_var",
}

# (PyTorchVideo module with its `blocks.N` replaced by the role of that block, PySlowFast module)
PYTORCHVIDEO = (
    ("s1.conv", "s1.pathway0_stem.conv"),
    ("s1.norm", "s1.pathway0_stem.bn"),
    ("s1.multipathway_blocks.{p}.conv", "s1.pathway{p}_stem.conv"),
    ("s1.multipathway_blocks.{p}.norm", "s1.pathway{p}_stem.bn"),
    ("s1.conv.conv_t", "s1.pathway0_stem.conv_xy"),  # X3D: the names are the wrong way round there
    ("s1.conv.conv_xy", "s1.pathway0_stem.conv"),
    ("s{s}.multipathway_fusion.conv_fast_to_slow", "s{s}_fuse.conv_f2s"),
    ("s{s}.multipathway_fusion.norm", "s{s}_fuse.bn"),
    *(
        (f"s{{s}}.{prefix}res_blocks.{{i}}.{theirs}", f"s{{s}}.pathway{pathway}_res{{i}}.{name}")
        for prefix, pathway in (("", "0"), ("multipathway_blocks.{p}.", "{p}"))
        for theirs, name in (
            ("branch1_conv", "branch1"),
            ("branch1_norm", "branch1_bn"),
            ("branch2.conv_{x}", "branch2.{x}"),
            ("branch2.norm_{x}", "branch2.{x}_bn"),
            ("branch2.norm_{x}.0", "branch2.{x}_bn"),  # X3D: [norm, squeeze-excitation]
            ("branch2.norm_{x}.1.block.0", "branch2.se.fc1"),
            ("branch2.norm_{x}.1.block.2", "branch2.se.fc2"),
        )
    ),
    ("head.pool.pre_conv", "head.conv_5"),
    ("head.pool.pre_norm", "head.conv_5_bn"),
    ("head.pool.post_conv", "head.lin_5"),
    ("head.pool.post_norm", "head.lin_5_bn"),
    ("head.proj", "head.projection"),
    ("detection_head.proj", "head.projection"),
)
# Roles of the blocks that carry tensors, in order. Blocks without any (the pool after C2D's and
# I3D's first stage, SlowFast's pool and concatenation) take a number in the names but are not
# counted here.
PYTORCHVIDEO_ROLES = ("s1", "s2", "s3", "s4", "s5", "head")

# Wrappers put in front of names: DistributedDataParallel, Lightning and PySlowFast's hub models,
# compile.
WRAPPERS = re.compile(r"^(?:(?:module|model|_orig_mod)\.)+")
PREFIXED = re.compile(r"(.+?\.)(?:s\d(?:_fuse|\.pathway\d_)|head\.projection\.)")
NORM_LEAVES = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
OTHER_LEAVES = {"weight": "kernel", "bias": "bias"}


@cache
def _compiled(pattern: str) -> re.Pattern:
    pieces = re.split(r"\{(\w)\}", pattern)
    return re.compile(
        "".join(f"(?P<{t}>{PIECES[t]})" if n % 2 else re.escape(t) for n, t in enumerate(pieces))
    )


def translate(rows: Iterable[tuple[str, str]], name: str) -> str | None:
    """`name` by the first row whose left pattern it matches; None where no row does."""
    for left, right in rows:
        match = _compiled(left).fullmatch(name)
        if match:
            return right.format(**match.groupdict())
    return None


def family_of(paths: Iterable[str]) -> str:
    """The family (a key of OURS) of a model of ours with these parameter paths."""
    modules = {path.rpartition("/")[0] for path in paths}
    if "slow_stem/conv" in modules:
        return "SlowFast"
    return "X3D" if "stem/conv_xy" in modules else "one pathway"


def foreign_family(names: Iterable[str]) -> str:
    """The family of a checkpoint with these PySlowFast names."""
    names = set(names)
    if any("pathway1_" in name for name in names):
        return "SlowFast"
    return "X3D" if "s1.pathway0_stem.conv_xy.weight" in names else "one pathway"


def to_pyslowfast(path: str, family: str) -> str | None:
    """PySlowFast's name of our parameter path; None where PySlowFast has none."""
    module, _, leaf = path.rpartition("/")
    translated = translate(OURS[family], module)
    leaves = NORM_LEAVES if module.endswith("_bn") else OTHER_LEAVES
    leaf = {ours: theirs for theirs, ours in leaves.items()}.get(leaf)
    return f"{translated}.{leaf}" if translated and leaf else None


def from_pyslowfast(name: str, family: str) -> str | None:
    """Our parameter path of PySlowFast's name; None where that family has none."""
    module, _, leaf = name.rpartition(".")
    translated = translate(((theirs, ours) for ours, theirs in OURS[family]), module)
    if translated is None:
        return None
    leaf = (NORM_LEAVES if translated.endswith("_bn") else OTHER_LEAVES).get(leaf)
    return f"{translated}/{leaf}" if leaf else None


def scheme_of(names: Iterable[str]) -> str:
    """Whose names these are: "Caffe2", "PyTorchVideo", a key of ports.MARKS, "PySlowFast" or
    "unknown"."""
    names = [WRAPPERS.sub("", name) for name in names]
    if any(re.fullmatch(r"(t_)?conv1(_xy)?_w|(t_)?res\d_\d+_branch2a_w|pred_w", n) for n in names):
        return "Caffe2"
    if any(re.match(r"blocks\.\d+\.(conv|res_blocks|multipathway_blocks)\.", n) for n in names):
        return "PyTorchVideo"
    if ports.scheme_of(names):
        return ports.scheme_of(names)
    known = any(re.match(r"s\d(_fuse|\.pathway\d_)|head\.projection\.", name) for name in names)
    return "PySlowFast" if known else "unknown"


def prefix_of(names: Iterable[str]) -> str:
    """What most names have in front of a name of PySlowFast ("backbone."); "" where none has."""
    bare = (WRAPPERS.sub("", name) for name in names)
    prefixes = Counter(match[1] for match in map(PREFIXED.match, bare) if match)
    return prefixes.most_common(1)[0][0] if prefixes else ""


def ignored(name: str, scheme: str) -> str:
    """Why a tensor of a file is no parameter of the model; "" for those that are."""
    if scheme == "Caffe2" and (name in ("lr", "model_iter") or name.endswith("_momentum")):
        return "state of the Caffe2 solver"
    if name.rpartition(".")[2] == "num_batches_tracked":
        return "step counter of a batch norm, not used"
    return ports.ignored(name, scheme)


def canonical_names(names: Iterable[str], scheme: str) -> dict[str, str]:
    """{name in the file: PySlowFast name}; what no row knows keeps its name, without wrappers."""
    bare = {name: WRAPPERS.sub("", name) for name in names}
    if scheme == "Caffe2":
        return {name: _from_caffe2(short) or name for name, short in bare.items()}
    if scheme == "PyTorchVideo":
        numbers = {int(m[1]) for m in map(re.compile(r"blocks\.(\d+)\.").match, bare.values()) if m}
        roles = dict(zip(sorted(numbers), PYTORCHVIDEO_ROLES, strict=False))
        return {name: _from_pytorchvideo(short, roles) or short for name, short in bare.items()}
    if scheme in ports.SPELLINGS:
        return {name: ports.respell(short, scheme) for name, short in bare.items()}
    return bare


def _from_caffe2(blob: str) -> str | None:
    module, _, suffix = blob.rpartition("_")
    translated = translate(CAFFE2, module)
    leaf = CAFFE2_LEAVES.get(suffix)
    return f"{translated}.{leaf}" if translated and leaf else None


def _from_pytorchvideo(name: str, roles: dict[int, str]) -> str | None:
    module, _, leaf = name.rpartition(".")
    match = re.match(r"blocks\.(\d+)\.", module)
    if match:
        module = f"{roles.get(int(match[1]), match[0])}.{module[match.end():]}"
    translated = translate(PYTORCHVIDEO, module)
    return f"{translated}.{leaf}" if translated else None
