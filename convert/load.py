"""Fits a foreign checkpoint to a model's variable tree, leaf by leaf, or says exactly why not."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from convert import names, ports
from convert.layouts import inflates, to_ours
from convert.mismatch import Mismatch, describe
from convert.readers import ForeignCheckpoint, read_checkpoint
from convert.trees import flatten, unflatten

BATCH_NORM_EPSILON = 1e-5
# What a skipped leaf holds where no `init` is given, by the last part of its path; others are zero.
DEFAULTS = {"scale": 1.0, "var": 1.0}


class Report(NamedTuple):
    """How a checkpoint was used.

    scheme: whose names the file has. mapped: our path -> the file's name of what went there.
    ignored: name in the file -> reason. inflated: our paths of 2-D kernels repeated over time.
    derived: our path -> how its values were made where the file has no tensor of its own for it,
        or stores it otherwise.
    skipped: our path -> what was wrong with it; filled from `init` or with defaults.
    """

    scheme: str
    mapped: dict[str, str]
    ignored: dict[str, str]
    inflated: list[str]
    derived: dict[str, str]
    skipped: dict[str, str]


class CheckpointMismatch(ValueError):
    """A checkpoint that does not fit the model; the message is a table of what differs.

    missing: our paths; unexpected: names in the file; reshaped: our path -> (ours, theirs) shapes.
    """

    def __init__(self, message: str, mismatch: Mismatch):
        super().__init__(message)
        self.missing = list(mismatch.missing)
        self.unexpected = list(mismatch.unexpected)
        self.reshaped = {path: shapes[:2] for path, shapes in mismatch.reshaped.items()}


def load_variables(
    path: str | Path,
    shapes: Mapping,
    *,
    skip: Sequence[str] = (),
    strip: Sequence[str] = (),
    init: Mapping | None = None,
) -> dict:
    """Variables of a model from a checkpoint file of any supported program.

    shapes: the model's tree {"params": ..., "batch_stats": ...} of anything that has `.shape` and
        `.dtype`.
    skip: regular expressions over whole paths of ours ("head/.*"). Leaves they match may be missing
        in the file or have another shape there, and tensors that belong there may be left over. A
        skipped leaf that does fit is loaded all the same.
    strip: texts to remove from the file's names, see `strip_names`.
    init: variables of the model, at least the skipped ones, to fill skipped leaves from. Without it
        they are what an identity needs: zero kernels, biases and means, unit scales and variances.
        (Zero is a sound start for a classifier's kernel, and for no other.)

    Returns the complete tree, NumPy arrays with the dtypes of `shapes`. Raises CheckpointMismatch
    where anything else differs, and what `read_checkpoint` raises.
    """
    checkpoint = strip_names(read_checkpoint(path), strip)
    return fit(checkpoint, shapes, skip=skip, init=init, source=str(path))[0]


def strip_names(checkpoint: ForeignCheckpoint, strip: Sequence[str]) -> ForeignCheckpoint:
    """The checkpoint without some pieces of its names, such as "backbone.".

    Each text of `strip` in turn is removed where it first occurs in a name, if it does (what the
    original's TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN does). Raises ValueError where no name has it and
    where two names become the same.
    """
    tensors = checkpoint.tensors
    for text in strip:
        if not any(text in name for name in tensors):
            raise ValueError(
                f"strip={text!r}: no name in the checkpoint has this text; its names are "
                f"{', '.join(list(tensors)[:3])}, ..."
            )
        renamed = {name: name.replace(text, "", 1) for name in tensors}
        if len(set(renamed.values())) < len(renamed):
            twice = next(n for n, new in renamed.items() if new != n and new in tensors)
            raise ValueError(
                f"strip={text!r} would give {twice} and {renamed[twice]} the same name; strip a "
                "longer text"
            )
        tensors = {renamed[name]: array for name, array in tensors.items()}
    return checkpoint._replace(tensors=tensors)


def fit(
    checkpoint: ForeignCheckpoint,
    shapes: Mapping,
    *,
    skip: Sequence[str] = (),
    init: Mapping | None = None,
    source: str = "the checkpoint",
) -> tuple[dict, Report]:
    """`load_variables` for a checkpoint already read; also returns how it was used."""
    targets = flatten(shapes)
    paths = [path for _, path in targets]
    given, report = by_our_paths(checkpoint, names.family_of(paths), set(paths))
    is_skipped = re.compile("|".join(f"(?:{pattern})" for pattern in skip) or r"(?!)").fullmatch

    mismatch = Mismatch([], {}, {})
    leaves = {}
    for (collection, path), target in targets.items():
        shape = tuple(target.shape)
        file_name, array = given.pop(path, ("", None))
        theirs = None
        if array is not None:
            ours = array if report.scheme == "slowfast_jax" else to_ours(array, shape)
            theirs = ours.shape
        if theirs == shape:
            leaves[collection, path] = np.array(ours, dtype=target.dtype, order="C")
            report.mapped[path] = file_name
            if report.scheme != "slowfast_jax" and inflates(array, shape):
                report.inflated.append(path)
        elif is_skipped(path):
            report.skipped[path] = "not in the file" if theirs is None else f"{theirs} in the file"
        elif theirs is None:
            mismatch.missing.append(path)
        else:
            mismatch.reshaped[path] = (shape, theirs, file_name)
    for path, (file_name, array) in given.items():
        if is_skipped(path):
            report.ignored[file_name] = "skipped"
        else:
            mismatch.unexpected[file_name] = array.shape
    if any(mismatch):
        raise CheckpointMismatch(describe(source, checkpoint, report, shapes, mismatch), mismatch)
    for key in report.derived.keys() - report.mapped.keys():
        del report.derived[key]
    filled = flatten(init) if init is not None else {}
    for key, target in targets.items():
        if key not in leaves:
            leaves[key] = _fill(key, target, filled)
    return unflatten({key: leaves[key] for key in targets}), report


def _fill(key, target, filled: Mapping) -> np.ndarray:
    default = DEFAULTS.get(key[1].rpartition("/")[2], 0.0)
    if key not in filled:
        return np.full(target.shape, default, target.dtype)
    if tuple(filled[key].shape) != tuple(target.shape):
        raise ValueError(
            f"init has {key[1]} of shape {tuple(filled[key].shape)}, the model needs "
            f"{tuple(target.shape)}; pass variables of the same model"
        )
    return np.asarray(filled[key], target.dtype)


def by_our_paths(
    checkpoint: ForeignCheckpoint, family: str, paths: set[str]
) -> tuple[dict[str, tuple[str, np.ndarray]], Report]:
    """{our path: (name in the file, array as in the file)}, and a report of what was not used.

    Tensors no table knows are kept under their PySlowFast (or own) name, so that the caller finds
    them unexpected. `paths` are those of the model: what it wants and the file can only imply is
    derived.
    """
    if checkpoint.kind == "orbax":
        same = {path: (path, np.asarray(array)) for path, array in checkpoint.tensors.items()}
        return same, Report("slowfast_jax", {}, {}, [], {}, {})
    scheme = names.scheme_of(checkpoint.tensors)
    report = Report(scheme, {}, {}, [], {}, {})
    known: dict[str, tuple[str, np.ndarray]] = {}
    for file_name, name in names.canonical_names(checkpoint.tensors, scheme).items():
        reason = names.ignored(file_name, scheme)
        if reason:
            report.ignored[file_name] = reason
        elif name in known:
            raise ValueError(
                f"{known[name][0]} and {file_name} in the file are both {name}: two models in one "
                "file? Remove one of them from it"
            )
        else:
            known[name] = (file_name, checkpoint.tensors[file_name])
    known, changed, unused = ports.as_pyslowfast(known, scheme)
    report.ignored.update(unused)
    known, aggregated = merge_split_statistics(known, report)
    given = {names.from_pyslowfast(n, family) or n: entry for n, entry in known.items()}
    changed |= dict.fromkeys(aggregated, "aggregated over sub-BN splits")
    for name, how in changed.items():
        report.derived[names.from_pyslowfast(name, family) or name] = how
    if scheme == "PyTorchVideo":
        for path, value in identity_norms(given, paths).items():
            given[path] = ("", value)
            report.derived[path] = "identity: PyTorchVideo has no batch norm there"
    return given, report


def merge_split_statistics(
    known: Mapping[str, tuple[str, np.ndarray]], report: Report
) -> tuple[dict[str, tuple[str, np.ndarray]], list[str]]:
    """Names of PySlowFast's split batch norm, `X.bn.*` and `X.split_bn.*`, as those of a plain one.

    `X.bn` has the statistics for evaluation; where a file lacks them they are aggregated from the
    splits: mean of the means, mean of the variances plus variance of the means. Returns the tensors
    and the names that were aggregated.
    """
    merged, splits = {}, {}
    for name, entry in known.items():
        match = re.fullmatch(r"(.*bn)\.(bn|split_bn)\.(running_mean|running_var)", name)
        if not match:
            merged[name] = entry
        elif match[2] == "bn":
            merged[f"{match[1]}.{match[3]}"] = entry
        else:
            splits.setdefault(match[1], {})[match[3]] = entry
    aggregated = []
    for module, statistics in splits.items():
        if f"{module}.running_mean" in merged:
            for file_name, _ in statistics.values():
                report.ignored[file_name] = "statistics of single splits; their aggregate is used"
            continue
        channels = merged[f"{module}.weight"][1].size if f"{module}.weight" in merged else 0
        sizes = [array.size for _, array in statistics.values()]
        if not channels or len(sizes) < 2 or sizes[0] != sizes[1] or sizes[0] % channels:
            merged |= {f"{module}.split_bn.{leaf}": entry for leaf, entry in statistics.items()}
            continue
        means = statistics["running_mean"][1].reshape(-1, channels)
        variances = statistics["running_var"][1].reshape(-1, channels)
        values = {"running_mean": means.mean(0), "running_var": variances.mean(0) + means.var(0)}
        for leaf, value in values.items():
            merged[f"{module}.{leaf}"] = (statistics[leaf][0], value)
            aggregated.append(f"{module}.{leaf}")
    return merged, aggregated


def identity_norms(given: Mapping, paths: set[str]) -> dict[str, np.ndarray]:
    """Batch norms that change nothing, for shortcuts that have none in PyTorchVideo (X3D's first).

    Scale sqrt(1 + epsilon), bias 0, mean 0, variance 1, as wide as the shortcut's kernel.
    """
    norms = {}
    for path in sorted(paths):
        module, _, leaf = path.rpartition("/")
        kernel = f"{module.removesuffix('_bn')}/kernel"
        if not module.endswith("/shortcut_bn") or f"{module}/scale" in given or kernel not in given:
            continue
        channels_out, channels_in = given[kernel][1].shape[:2]
        if channels_out == channels_in:  # with a change of width PyTorchVideo has a norm, too
            value = {"scale": np.sqrt(1 + BATCH_NORM_EPSILON), "var": 1.0}.get(leaf, 0.0)
            norms[path] = np.full(channels_out, value, np.float32)
    return norms
