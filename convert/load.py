"""Fits a checkpoint to a model's variable tree, leaf by leaf, or reports exactly what differs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from convert import names
from convert.layouts import is_inflated
from convert.mismatch import Mismatch, class_counts, describe
from convert.names import ports, wrappers
from convert.readers import ForeignCheckpoint, read_checkpoint
from convert.training.adapt import converted, join_positions
from convert.trees import flatten, unflatten

BATCH_NORM_EPSILON = 1e-5
# Values of skipped leaves if no `init` is given, by the last part of the path; others are zero.
DEFAULTS = {"scale": 1.0, "var": 1.0}


class Report(NamedTuple):
    """How the tensors of a checkpoint were used.

    Attributes:
      scheme: the naming scheme of the file.
      mapped: path -> name in the file of the tensor that was loaded there.
      ignored: name in the file -> why the tensor was not used.
      inflated: paths of 2-D kernels that were repeated over time.
      derived: path -> how its values were computed, for parameters that the file lacks or stores in
        another form.
      skipped: path -> why it was not loaded; it is filled from `init` or with defaults.
      joined: path -> names in the file, of parameters that were joined from several tensors.
    """

    scheme: str
    mapped: dict[str, str]
    ignored: dict[str, str]
    inflated: list[str]
    derived: dict[str, str]
    skipped: dict[str, str]
    joined: dict[str, tuple[str, ...]]


class CheckpointMismatch(ValueError):
    """Raised for a checkpoint that does not fit the model.

    The first line of the message has the cause and advice; a table of differences follows.

    Attributes:
      missing: paths that the file has no tensor for.
      unexpected: names in the file that the model has no parameter for.
      reshaped: path -> (shape in the model, shape in the file).
      classes: (classes of the model, of the file) if that is the only difference, else None.
    """

    def __init__(self, message: str, mismatch: Mismatch):
        super().__init__(message)
        self.missing = list(mismatch.missing)
        self.unexpected = list(mismatch.unexpected)
        self.reshaped = {path: shapes[:2] for path, shapes in mismatch.reshaped.items()}
        self.classes = class_counts(mismatch)


def load_variables(
    path: str | Path,
    shapes: Mapping,
    *,
    skip: str | Sequence[str] = (),
    strip: str | Sequence[str] = (),
    entry: str = "",
    init: Mapping | None = None,
) -> dict:
    """Loads the variables of a model from a checkpoint file of any supported program.

    Args:
      path: the checkpoint file.
      shapes: the model's variable tree {"params": ..., "batch_stats": ...}; leaves are anything
        with `.shape` and `.dtype`.
      skip: regular expressions, or one, that match whole paths ("head/.*"). Matching parameters may
        be missing in the file or have another shape there, and tensors with matching paths may be
        left over. A matching parameter that does fit is still loaded.
      strip: texts, or one, to remove from the names in the file; see `strip_names`.
      entry: name of the entry that holds the weights; see `read_checkpoint`.
      init: variables to fill skipped parameters from. Those it lacks are filled with defaults:
        kernels, biases and means with 0, scales and variances with 1. (A kernel of zeros is a
        reasonable start for a classifier, but for no other layer.)

    Returns:
      The complete tree of NumPy arrays with the dtypes of `shapes`.

    Raises:
      FileNotFoundError, CheckpointError: see `read_checkpoint`.
      CheckpointMismatch: anything that is not skipped differs.
      ValueError: `skip` has something that is no regular expression.
    """
    patterns_of(skip)
    checkpoint = strip_names(read_checkpoint(path, entry), strip)
    return fit(checkpoint, shapes, skip=skip, init=init, source=str(path))[0]


def texts_of(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """The texts of an option that takes several or, as a plain string, one."""
    return (value,) if isinstance(value, str) and value else tuple(value or ())


def patterns_of(skip: str | Sequence[str] | None) -> tuple[re.Pattern, ...]:
    """The regular expressions of `skip`; ValueError if one is invalid."""
    patterns = []
    for text in texts_of(skip):
        try:
            patterns.append(re.compile(text))
        except (re.error, TypeError) as error:
            raise ValueError(
                f"skip={text!r} is not a regular expression ({error}); expected one that matches "
                "whole paths of parameters, such as 'head/.*'"
            ) from error
    return tuple(patterns)


def strip_names(
    checkpoint: ForeignCheckpoint, strip: str | Sequence[str] = ()
) -> ForeignCheckpoint:
    """Removes texts such as "backbone." from the names in a checkpoint.

    Like PySlowFast's TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN: each text of `strip` in turn is removed
    from every name that contains it, at its first occurrence. Then a prefix that all names share is
    removed if the names after it are those of a known program; it becomes the entry "stripped" of
    the metadata. "wrappers" has sentences on what `fit` removes, such as "module.".

    Raises:
      ValueError: no name contains one of the texts, or two names would become the same.
    """
    tensors = checkpoint.tensors
    for text in texts_of(strip):
        if not any(text in name for name in tensors):
            raise ValueError(
                f"strip={text!r}: no name in the checkpoint contains this text; its names are "
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
    if checkpoint.own:
        return checkpoint._replace(tensors=tensors)
    metadata, described = checkpoint.metadata, wrappers.describe_wrappers(tensors)
    metadata = metadata | ({"wrappers": described} if described else {})
    prefix, bare = names.without_shared_prefix(tensors)
    if prefix:
        tensors = {bare[name]: array for name, array in tensors.items()}
        metadata = metadata | {"stripped": prefix}
    return checkpoint._replace(tensors=tensors, metadata=metadata)


def fit(
    checkpoint: ForeignCheckpoint,
    shapes: Mapping,
    *,
    skip: str | Sequence[str] = (),
    init: Mapping | None = None,
    adapt: str = "",
    source: str = "the checkpoint",
) -> tuple[dict, Report]:
    """Like `load_variables`, for a checkpoint that has been read; also returns how it was used.

    Args:
      checkpoint: as `read_checkpoint` returns it.
      shapes, skip, init: see `load_variables`.
      adapt: rules for parameters of networks of other clips or of images, see training/adapt.py.
      source: name of the checkpoint for error messages.

    Returns:
      The complete tree of NumPy arrays, and a report.
    """
    targets = flatten(shapes)
    paths = [path for _, path in targets]
    given, report = map_to_paths(checkpoint, names.family_of(paths), set(paths))
    if adapt == "images":
        shapes_by_path = {path: target.shape for (_, path), target in targets.items()}
        report.derived.update(join_positions(given, shapes_by_path))
    patterns = patterns_of(skip)

    mismatch = Mismatch([], {}, {})
    leaves = {}
    for (collection, path), target in targets.items():
        shape = tuple(target.shape)
        file_name, array = given.pop(path, ("", None))
        theirs = None
        if array is not None:
            ours, how = converted(path, array, shape, report.scheme, adapt)
            theirs = ours.shape
            if how:
                report.derived[path] = how
        if theirs == shape:
            leaves[collection, path] = np.array(ours, dtype=target.dtype, order="C")
            report.mapped[path] = file_name
            if report.scheme != "slowfast_jax" and is_inflated(array, shape) and not how:
                report.inflated.append(path)
        elif any(pattern.fullmatch(path) for pattern in patterns):
            report.skipped[path] = (
                "not in the file" if theirs is None else f"has shape {theirs} in the file"
            )
        elif theirs is None:
            mismatch.missing.append(path)
        else:
            mismatch.reshaped[path] = (shape, theirs, file_name)
    for path, (file_name, array) in given.items():
        if any(pattern.fullmatch(path) for pattern in patterns):
            report.ignored[file_name] = "skipped"
        else:
            mismatch.unexpected[file_name] = array.shape
    if mismatch.unexpected and not mismatch.missing:
        report.ignored.update(_outside(report.mapped.values(), mismatch.unexpected))
        for file_name in report.ignored.keys() & mismatch.unexpected.keys():
            del mismatch.unexpected[file_name]
    if any(mismatch):
        raise CheckpointMismatch(describe(source, checkpoint, report, shapes, mismatch), mismatch)
    for key in report.derived.keys() - report.mapped.keys():
        del report.derived[key]
    filled = flatten(init) if init is not None else {}
    for key, target in targets.items():
        if key not in leaves:
            leaves[key] = _fill(key, target, filled)
    return unflatten({key: leaves[key] for key in targets}), report


def _outside(used: Iterable[str], unexpected: Iterable[str]) -> dict[str, str]:
    """Why tensors in the file are not the network's: PyTorch Lightning saves a module that has the
    network under "model." and, beside it, losses and metrics. name in the file -> reason."""
    starts = {match[0] if match else "" for match in map(wrappers.START.match, filter(None, used))}
    prefix = starts.pop() if len(starts) == 1 else ""
    reason = f"beside the network, whose names begin with {prefix!r}"
    return {name: reason for name in unexpected if prefix and not name.startswith(prefix)}


def _fill(key, target, filled: Mapping) -> np.ndarray:
    default = DEFAULTS.get(key[1].rpartition("/")[2], 0.0)
    if key not in filled:
        return np.full(target.shape, default, target.dtype)
    if tuple(filled[key].shape) != tuple(target.shape):
        raise ValueError(
            f"init has {key[1]} with shape {tuple(filled[key].shape)}, the model needs "
            f"{tuple(target.shape)}; pass variables of the same model"
        )
    return np.asarray(filled[key], target.dtype)


def map_to_paths(
    checkpoint: ForeignCheckpoint, family: str, paths: set[str]
) -> tuple[dict[str, tuple[str, np.ndarray]], Report]:
    """Maps the tensors of a checkpoint to the paths of a model.

    Tensors that no table knows are kept under their PySlowFast name or their name in the file, so
    that the caller sees them as unexpected.

    Args:
      checkpoint: as `read_checkpoint` returns it.
      family: the family of the model, see `names.family_of`.
      paths: the paths of the model. Parameters that the file only implies are derived for these.

    Returns:
      {path: (name in the file, array in the file's layout)}, and a report of what was ignored or
      derived.
    """
    if checkpoint.own:
        same = {path: (path, np.asarray(array)) for path, array in checkpoint.tensors.items()}
        return same, Report("slowfast_jax", {}, {}, [], {}, {}, {})
    scheme = names.scheme_of(checkpoint.tensors)
    report = Report(scheme, {}, {}, [], {}, {}, {})
    known: dict[str, tuple[str, np.ndarray]] = {}
    for file_name, name in names.canonical_names(checkpoint.tensors, scheme).items():
        reason = names.ignore_reason(file_name, scheme)
        if reason:
            report.ignored[file_name] = reason
        elif name in known:
            raise ValueError(
                f"{known[name][0]} and {file_name} in the file are both {name}. If there are two "
                "models in one file, keep only one of them"
            )
        else:
            known[name] = (file_name, checkpoint.tensors[file_name])
    known, changed, unused = ports.as_pyslowfast(known, scheme)
    report.ignored.update(unused)
    known, aggregated = merge_split_statistics(known, report)
    given = {names.from_pyslowfast(n, family) or n: entry for n, entry in known.items()}
    changed |= dict.fromkeys(aggregated, "aggregated over the splits of sub-BN")
    for name, how in changed.items():
        report.derived[names.from_pyslowfast(name, family) or name] = how
    if scheme == "PyTorchVideo":
        for path, value in identity_norms(given, paths).items():
            given[path] = ("", value)
            report.derived[path] = "identity, because PyTorchVideo has no batch norm there"
    join_projections(given, paths, report)
    return given, report


def join_projections(
    given: dict[str, tuple[str, np.ndarray]], paths: set[str], report: Report
) -> None:
    """Joins projections to queries, keys and values if the model has one for all of them.

    Args:
      given: path -> (name in the file, array in the file's layout); it is changed.
      paths: the paths of the model.
      report: receives the parameters that were joined.
    """
    for path in sorted(paths - given.keys()):
        parts = [path.replace("/qkv/", f"/{part}/") for part in "qkv"]
        if "/qkv/" in path and given.keys() >= set(parts):
            names_in_file, arrays = zip(*map(given.pop, parts), strict=True)
            given[path] = (names_in_file[0], np.concatenate(arrays))
            report.derived[path] = f"joined from {', '.join(names_in_file)}"
            report.joined[path] = names_in_file


def merge_split_statistics(
    known: Mapping[str, tuple[str, np.ndarray]], report: Report
) -> tuple[dict[str, tuple[str, np.ndarray]], list[str]]:
    """Renames PySlowFast's split batch norms (sub-BN) to plain ones.

    `X.bn.*` has the statistics for evaluation and `X.split_bn.*` those of the splits. If a file
    lacks the former, they are aggregated from the splits: the mean is the mean of the means, the
    variance is the mean of the variances plus the variance of the means.

    Args:
      known: PySlowFast name -> (name in the file, array).
      report: receives the statistics that are ignored.

    Returns:
      The tensors with plain names, and the names that were aggregated.
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
    """Identity batch norms for shortcuts that have no norm in PyTorchVideo, such as X3D's first.

    Scale is sqrt(1 + epsilon), bias and mean are 0, variance is 1.

    Args:
      given: path -> (name in the file, array), for the tensors in the file.
      paths: the paths of the model.

    Returns:
      {path: array} for the batch norms that the file lacks.
    """
    norms = {}
    for path in sorted(paths):
        module, _, leaf = path.rpartition("/")
        kernel = f"{module.removesuffix('_bn')}/kernel"
        if not module.endswith("/shortcut_bn") or f"{module}/scale" in given or kernel not in given:
            continue
        channels_out, channels_in = given[kernel][1].shape[:2]
        if channels_out == channels_in:  # PyTorchVideo has a norm where the width changes
            value = {"scale": np.sqrt(1 + BATCH_NORM_EPSILON), "var": 1.0}.get(leaf, 0.0)
            norms[path] = np.full(channels_out, value, np.float32)
    return norms
