"""Translates parameter names between this project and other programs.

All names go through PySlowFast's: names of other programs are translated to PySlowFast names, and
those to this project's paths. One parameter in each scheme:

    this project  res3/block0/shortcut_bn/mean
    PySlowFast    s3.pathway0_res0.branch1_bn.running_mean
    Caffe2        res3_0_branch1_bn_rm
    PyTorchVideo  blocks.2.res_blocks.0.branch1_norm.running_mean

and one of MViT, the only networks of torchvision that this project has:

    this project  block0/attn/norm_q/scale
    PySlowFast    blocks.0.attn.norm_q.weight
    PyTorchVideo  blocks.0.attn.norm_q.weight
    torchvision   blocks.0.attn.pool_q.norm_act.0.weight

The translations are tables. A row is a pair of patterns for modules; placeholders such as `{s}`, a
stage, are listed in PLACEHOLDERS. The last component of a name (weight, running_mean, ...) is its
leaf, which is translated separately. Programs that only spell names differently are in ports.py.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache

from convert import ports, wrappers

PLACEHOLDERS = {
    "s": r"\d+",  # stage; 1 is the stem, as in PySlowFast
    "i": r"\d+",  # block
    "p": r"\d",  # pathway
    "k": r"\d",  # fully connected layer of squeeze-and-excitation
    "x": r"[abc]",  # convolution of a residual block
    "n": r"theta|phi|g|out",  # convolution of a non-local block
    "w": r"\w+",  # layer of a transformer block, or a leaf
}


def _pathway(ours: str, pathway: int) -> tuple[tuple[str, str], ...]:
    """Rows for the stages of one pathway; this project's modules begin with `ours`."""
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
# PySlowFast's heads of boxes have no hidden layer; a name like its others stands for MMAction2's.
BOX_HEAD = (*HEAD, ("head/hidden", "head.hidden"))
# Family of networks -> rows (module of this project, module of PySlowFast). Both columns are unique
# within a family.
FAMILIES = {
    "one pathway": (
        ("stem/conv", "s1.pathway0_stem.conv"),
        ("stem/conv_bn", "s1.pathway0_stem.bn"),
        *_pathway("", 0),
        *BOX_HEAD,
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
        *BOX_HEAD,
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
    "MViT": (
        ("", ""),  # class token and absolute positions
        ("patch_embed", "patch_embed.proj"),
        ("block{i}/{w}", "blocks.{i}.{w}"),
        ("block{i}/attn/{w}", "blocks.{i}.attn.{w}"),
        ("block{i}/mlp/{w}", "blocks.{i}.mlp.{w}"),
        ("norm_stem", "norm_stem"),
        ("norm", "norm"),
        *HEAD,
    ),
    "Rev-MViT": (
        ("", ""),
        ("patch_embed", "patch_embed.proj"),
        *(
            (f"block{{i}}/{ours}", f"rev_backbone.layers.{{i}}.{theirs}")
            for ours, theirs in (
                ("F/{w}", "F.{w}"),
                ("F/attn/{w}", "F.attn.{w}"),
                ("G/{w}", "G.{w}"),
                ("G/mlp/{w}", "G.mlp.{w}"),
                ("res_proj", "res_proj"),
                ("fusion/norm", "pre_q_fuse.fuse_fn.0"),
                ("fusion/norm_mlp/{w}", "pre_q_fuse.fuse_fn.1.{w}"),
                ("fusion/mlp/{w}", "pre_q_fuse.fuse_fn.{w}"),
            )
        ),
        ("fusion/norm", "fuse.fuse_fn.0"),
        ("fusion/norm_mlp/{w}", "fuse.fuse_fn.1.{w}"),
        ("fusion/mlp/{w}", "fuse.fuse_fn.{w}"),
        ("norm_stem", "norm_stem"),
        ("norm", "norm"),
        *HEAD,
    ),
}
# Families without batch norms.
TRANSFORMERS = ("MViT", "Rev-MViT")

# Rows (Caffe2 blob without its suffix, PySlowFast module).
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

# Rows (PyTorchVideo module with `blocks.N` replaced by the role of that block, PySlowFast module).
PYTORCHVIDEO = (
    ("s1.conv", "s1.pathway0_stem.conv"),
    ("s1.norm", "s1.pathway0_stem.bn"),
    ("s1.multipathway_blocks.{p}.conv", "s1.pathway{p}_stem.conv"),
    ("s1.multipathway_blocks.{p}.norm", "s1.pathway{p}_stem.bn"),
    ("s1.conv.conv_t", "s1.pathway0_stem.conv_xy"),  # X3D: PyTorchVideo swaps the two names
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
            ("branch2.norm_{x}.0", "branch2.{x}_bn"),  # X3D: a list [norm, squeeze-and-excitation]
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
    ("patch_embed.patch_model", "patch_embed.proj"),  # MViT
    ("cls_positional_encoding", ""),
    ("blocks.{i}.{w}", "blocks.{i}.{w}"),
    ("blocks.{i}.attn.{w}", "blocks.{i}.attn.{w}"),
    ("blocks.{i}.mlp.{w}", "blocks.{i}.mlp.{w}"),
    ("norm_embed", "norm"),
)
# Roles of the blocks that have tensors, in order. Blocks without tensors (the pool after the first
# stage of C2D and I3D, SlowFast's pool and concatenation) are numbered in PyTorchVideo's names too,
# but have no role.
PYTORCHVIDEO_ROLES = ("s1", "s2", "s3", "s4", "s5", "head")

# Rows (torchvision name, PySlowFast name) of whole names; both columns are unique.
TORCHVISION = (
    ("conv_proj.{w}", "patch_embed.proj.{w}"),
    ("pos_encoding.class_token", "cls_token"),
    ("pos_encoding.class_pos", "pos_embed_class"),
    ("pos_encoding.spatial_pos", "pos_embed_spatial"),
    ("pos_encoding.temporal_pos", "pos_embed_temporal"),
    *((name, name) for name in (
        "blocks.{i}.norm1.{w}", "blocks.{i}.norm2.{w}", "blocks.{i}.attn.qkv.{w}",
        "blocks.{i}.attn.rel_pos_{w}", "norm.{w}",
    )),
    ("blocks.{i}.attn.project.0.{w}", "blocks.{i}.attn.proj.{w}"),
    *(
        (f"blocks.{{i}}.attn.pool_{x}.{theirs}.{{w}}", f"blocks.{{i}}.attn.{name}_{x}.{{w}}")
        for x in "qkv" for theirs, name in (("pool", "pool"), ("norm_act.0", "norm"))
    ),
    ("blocks.{i}.mlp.0.{w}", "blocks.{i}.mlp.fc1.{w}"),
    ("blocks.{i}.mlp.3.{w}", "blocks.{i}.mlp.fc2.{w}"),
    ("blocks.{i}.project.{w}", "blocks.{i}.proj.{w}"),
    ("head.1.{w}", "head.projection.{w}"),
)

PREFIXED = re.compile(r"(.+?\.)(?:s\d(?:_fuse|\.pathway\d_)|head\.projection\.)")
NORM_LEAVES = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
OTHER_LEAVES = {"weight": "kernel", "bias": "bias"} | {
    name: name for name in (
        "cls_token", "pos_embed", "pos_embed_spatial", "pos_embed_temporal", "pos_embed_class",
        "rel_pos_h", "rel_pos_w", "rel_pos_t",
    )
}


@cache
def _compiled(pattern: str) -> re.Pattern:
    parts = re.split(r"\{(\w)\}", pattern)  # literal text and placeholders in turn
    return re.compile("".join(
        f"(?P<{part}>{PLACEHOLDERS[part]})" if number % 2 else re.escape(part)
        for number, part in enumerate(parts)
    ))


def translate(rows: Iterable[tuple[str, str]], name: str) -> str | None:
    """Translates `name` by the first row whose left pattern matches; None if no row matches."""
    for left, right in rows:
        match = _compiled(left).fullmatch(name)
        if match:
            return right.format(**match.groupdict())
    return None


def family_of(paths: Iterable[str]) -> str:
    """The family (a key of FAMILIES) of a model of this project with these parameter paths."""
    modules = {path.rpartition("/")[0] for path in paths}
    if "patch_embed" in modules:
        return "Rev-MViT" if "block0/F/norm" in modules else "MViT"
    if "slow_stem/conv" in modules:
        return "SlowFast"
    return "X3D" if "stem/conv_xy" in modules else "one pathway"


def foreign_family(names: Iterable[str]) -> str:
    """The family (a key of FAMILIES) of a checkpoint with these PySlowFast names."""
    names = set(names)
    if "patch_embed.proj.weight" in names:
        return "Rev-MViT" if any(n.startswith("rev_backbone.") for n in names) else "MViT"
    if any("pathway1_" in name for name in names):
        return "SlowFast"
    return "X3D" if "s1.pathway0_stem.conv_xy.weight" in names else "one pathway"


def to_pyslowfast(path: str, family: str) -> str | None:
    """The PySlowFast name of a parameter path; None if PySlowFast has no such parameter."""
    module, _, leaf = path.rpartition("/")
    translated = translate(FAMILIES[family], module)
    leaf = {ours: theirs for theirs, ours in _leaves(module).items()}.get(leaf)
    return None if translated is None or leaf is None else f"{translated}.{leaf}".lstrip(".")


def from_pyslowfast(name: str, family: str) -> str | None:
    """The parameter path of a PySlowFast name; None if the family has no such parameter."""
    module, _, leaf = name.rpartition(".")
    translated = translate(((theirs, ours) for ours, theirs in FAMILIES[family]), module)
    if translated is None:
        return None
    leaf = _leaves(translated).get(leaf)
    return f"{translated}/{leaf}".lstrip("/") if leaf else None


def to_torchvision(name: str) -> str | None:
    """The torchvision name of a PySlowFast name; None if torchvision has no such parameter."""
    return translate(((ours, theirs) for theirs, ours in TORCHVISION), name)


def _leaves(module: str) -> dict[str, str]:
    """{name in PySlowFast: name in this project} of the parameters of a module of this project."""
    last = module.rpartition("/")[2]
    return NORM_LEAVES if last.endswith("_bn") or last.startswith("norm") else OTHER_LEAVES


def scheme_of(names: Iterable[str]) -> str:
    """The naming scheme of a checkpoint with these names.

    Returns:
      "Caffe2", "PyTorchVideo", a key of ports.SCHEME_PATTERNS, "PySlowFast" or "unknown".
    """
    names = [wrappers.bare(name) for name in names]
    if any(re.fullmatch(r"(t_)?conv1(_xy)?_w|(t_)?res\d_\d+_branch2a_w|pred_w", n) for n in names):
        return "Caffe2"
    if any(re.match(
        r"blocks\.\d+\.(conv|res_blocks|multipathway_blocks)\.|patch_embed\.patch_model\.", name
    ) for name in names):
        return "PyTorchVideo"
    if ports.scheme_of(names):
        return ports.scheme_of(names)
    known = any(re.match(
        r"s\d(_fuse|\.pathway\d_)|head\.projection\.|patch_embed\.proj\.", name
    ) for name in names)
    return "PySlowFast" if known else "unknown"


def prefix_of(names: Iterable[str]) -> str:
    """The most common prefix of PySlowFast names, such as "backbone."; "" if no name has one."""
    bare = (wrappers.bare(name) for name in names)
    prefixes = Counter(match[1] for match in map(PREFIXED.match, bare) if match)
    return prefixes.most_common(1)[0][0] if prefixes else ""


def without_shared_prefix(names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Removes a prefix, such as "net.", that hides the names of a known program.

    All names must share it; those of wrappers may stand before and after it.

    Returns:
      The prefix ("" without a shared one), and {name: name without prefix and wrappers}.
    """
    bare, prefix = {name: wrappers.bare(name) for name in names}, ""
    while bare and scheme_of(bare.values()) == "unknown":
        first = next(iter(bare.values())).partition(".")[0] + "."
        if not all(short.startswith(first) for short in bare.values()):
            return "", {name: wrappers.bare(name) for name in bare}
        prefix += first
        bare = {name: wrappers.bare(short[len(first):]) for name, short in bare.items()}
    return prefix, bare


def ignore_reason(name: str, scheme: str) -> str:
    """Why a tensor in a file is not a parameter of the model; "" if it is one."""
    if scheme == "Caffe2" and (name in ("lr", "model_iter") or name.endswith("_momentum")):
        return "state of the Caffe2 solver"
    if name.rpartition(".")[2] == "num_batches_tracked":
        return "batch norm step counter, not used"
    if re.search(r"\.attn\._attention_pool_[qkv]\.", name):
        return "second name of a tensor in PyTorchVideo"
    return ports.ignore_reason(name, scheme)


def canonical_names(names: Iterable[str], scheme: str) -> dict[str, str]:
    """{name in the file: PySlowFast name}.

    Names that no table has are kept, without the prefixes of wrappers.
    """
    bare = {name: wrappers.bare(name) for name in names}
    if scheme == "Caffe2":
        return {name: _from_caffe2(short) or name for name, short in bare.items()}
    if scheme == "PyTorchVideo":
        numbers = {int(m[1]) for m in map(re.compile(r"blocks\.(\d+)\.").match, bare.values()) if m}
        roles = dict(zip(sorted(numbers), PYTORCHVIDEO_ROLES, strict=False))
        if "patch_embed.patch_model.weight" in bare.values():
            roles = {}  # the blocks of MViT are alike
        return {name: _from_pytorchvideo(short, roles) or short for name, short in bare.items()}
    if scheme == "torchvision":
        return {name: translate(TORCHVISION, short) or short for name, short in bare.items()}
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
    if match and int(match[1]) in roles:
        module = f"{roles[int(match[1])]}.{module[match.end():]}"
    translated = translate(PYTORCHVIDEO, module)
    return None if translated is None else f"{translated}.{leaf}".lstrip(".")
