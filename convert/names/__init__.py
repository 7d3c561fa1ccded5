"""Translates parameter names between this project and other programs.

All names go through PySlowFast's: names of other programs are translated to PySlowFast names, and
those to this project's paths. One parameter in each scheme:

    this project  res3/block0/shortcut_bn/mean
    PySlowFast    s3.pathway0_res0.branch1_bn.running_mean
    Caffe2        res3_0_branch1_bn_rm
    PyTorchVideo  blocks.2.res_blocks.0.branch1_norm.running_mean

and one of MViT, the only video networks of torchvision that this project has:

    this project  block0/attn/norm_q/scale
    PySlowFast    blocks.0.attn.norm_q.weight
    PyTorchVideo  blocks.0.attn.norm_q.weight
    torchvision   blocks.0.attn.pool_q.norm_act.0.weight

torchvision's ResNets for images are read, too (layer2.0.downsample.1.running_mean).

The translations are the tables of tables.py. The last component of a name (weight, running_mean,
...) is its leaf, which is translated separately. Programs that only spell names differently are in
ports.py.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache

from convert.names import ports, wrappers
from convert.names.tables import (
    CAFFE2,
    CAFFE2_NORM_LEAVES,
    CAFFE2_OTHER_LEAVES,
    FAMILIES,
    MMACTION2,
    NORM_LEAVES,
    OTHER_LEAVES,
    PLACEHOLDERS,
    PYTORCHVIDEO,
    PYTORCHVIDEO_ROLES,
    TORCHVISION,
    TORCHVISION_RESNET,
)

PREFIXED = re.compile(r"(.+?\.)(?:s\d(?:_fuse|\.pathway\d_)|head\.projection\.)")


@cache
def _compiled(pattern: str) -> re.Pattern:
    parts = re.split(r"\{(\w)\}", pattern)  # literal text and placeholders in turn
    return re.compile("".join(
        f"(?P<{part}>{PLACEHOLDERS[part]})" if number % 2 else re.escape(part)
        for number, part in enumerate(parts)
    ))


def translate(rows: Iterable[tuple[str, str]], name: str, **given: str) -> str | None:
    """Translates `name` by the first row whose left pattern matches; None if no row matches.

    `given` has the values of placeholders that only the right pattern has.
    """
    for left, right in rows:
        match = _compiled(left).fullmatch(name)
        if match:
            return right.format(**given | match.groupdict())
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


def to_pytorchvideo(name: str, family: str, blocks: Mapping[str, int]) -> str | None:
    """The PyTorchVideo name of a PySlowFast name; None if PyTorchVideo has no such parameter.

    Args:
      family: a key of `tables.PYTORCHVIDEO`.
      blocks: the number of the block of each role, see `tables.PYTORCHVIDEO_ROLES`.
    """
    theirs = _by_module(((ours, theirs) for theirs, ours in PYTORCHVIDEO[family]), name)
    if theirs is None:
        return None
    role, dot, rest = theirs.partition(".")
    return f"blocks.{blocks[role]}{dot}{rest}" if role in blocks else theirs


def to_mmaction2(name: str, family: str) -> str | None:
    """The MMAction2 name of a PySlowFast name; None if MMAction2 has no such parameter."""
    return _by_module(((ours, theirs) for theirs, ours in MMACTION2[family]), name)


def to_caffe2(name: str, last: Mapping[str, Mapping[str, str]]) -> str | None:
    """The Caffe2 name of a PySlowFast name; None if Caffe2 has no such parameter.

    Args:
      last: for each stage after which there is a lateral connection, such as "s3": its last block,
        {"i": "3", "x": "c"}, by which Caffe2 names the connection.
    """
    module, _, leaf = name.rpartition(".")
    rows = ((ours, theirs) for theirs, ours in CAFFE2)
    blob = translate(rows, module, **last.get(module.partition("_fuse.")[0], {}))
    leaves = CAFFE2_NORM_LEAVES if module.endswith("bn") else CAFFE2_OTHER_LEAVES
    suffix = {theirs: suffix for suffix, theirs in leaves.items()}.get(leaf)
    return f"{blob}_{suffix}" if blob and suffix else None


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
        return {
            name: translate(TORCHVISION, short) or _by_module(TORCHVISION_RESNET, short) or short
            for name, short in bare.items()
        }
    if scheme == "MMAction2":
        rows = [row for family in MMACTION2.values() for row in family]
        return {name: _by_module(rows, short) or short for name, short in bare.items()}
    if scheme in ports.SPELLINGS:
        return {name: ports.respell(short, scheme) for name, short in bare.items()}
    return bare


def _from_caffe2(blob: str) -> str | None:
    module, _, suffix = blob.rpartition("_")
    translated = translate(CAFFE2, module)
    leaf = (CAFFE2_NORM_LEAVES | CAFFE2_OTHER_LEAVES).get(suffix)
    return f"{translated}.{leaf}" if translated and leaf else None


def _from_pytorchvideo(name: str, roles: dict[int, str]) -> str | None:
    module, _, leaf = name.rpartition(".")
    match = re.match(r"blocks\.(\d+)\.", module)
    if match and int(match[1]) in roles:
        module = f"{roles[int(match[1])]}.{module[match.end():]}"
    rows = (row for family in PYTORCHVIDEO.values() for row in family)
    return _by_module(rows, f"{module}.{leaf}")


def _by_module(rows: Iterable[tuple[str, str]], name: str) -> str | None:
    """Translates the module of `name` and keeps its leaf; None if no row matches."""
    module, _, leaf = name.rpartition(".")
    translated = translate(rows, module)
    return None if translated is None else f"{translated}.{leaf}".lstrip(".")
