"""Writes the error message for a checkpoint that does not fit: advice, then a short table."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from convert import names
from convert.trees import flatten

TABLE_ROWS = 3  # of each sign
# Number of blocks in stages 2 to 5 -> name of the network.
DEPTHS = {
    (3, 4, 6, 3): "R50", (3, 4, 23, 3): "R101", (3, 8, 36, 3): "R152",
    (3, 5, 11, 7): "X3D-XS, -S or -M", (5, 10, 25, 15): "X3D-L",
}


class Mismatch(NamedTuple):
    """The differences between a file and a model.

    Attributes:
      missing: paths that the file has no tensor for.
      unexpected: name in the file -> shape, of tensors that the model has no parameter for.
      reshaped: path -> (shape in the model, shape in the file in the model's layout, name in the
        file).
    """

    missing: list[str]
    unexpected: dict[str, tuple[int, ...]]
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...], str]]


def describe(source: str, checkpoint, report, shapes: Mapping, mismatch: Mismatch) -> str:
    """The error message: the first line has the cause and advice; a table of differences follows.

    In the table, `-` marks missing, `+` unexpected and `~` reshaped tensors.
    """
    targets = {path: tuple(target.shape) for (_, path), target in flatten(shapes).items()}
    family = names.family_of(targets)
    missing, unexpected, reshaped = mismatch
    note = "" if report.scheme == "slowfast_jax" else "PySlowFast: "
    rows = {
        "~": [
            (path, f"model {ours}, file {theirs}", name if name != path else "")
            for path, (ours, theirs, name) in reshaped.items()
        ],
        "-": [
            (path, str(targets[path]), note and note + str(names.to_pyslowfast(path, family)))
            for path in missing
        ],
        "+": [(name, str(shape), "") for name, shape in unexpected.items()],
    }
    rows = {sign: entries for sign, entries in rows.items() if entries}
    head = f"{source} does not fit the model. {_advice(checkpoint, report, targets, mismatch)}"
    counts = (
        f"The file ({checkpoint.kind}, {report.scheme} names) has {len(checkpoint.tensors)} "
        f"tensors: {len(report.mapped)} of {len(targets)} parameters match, "
        f"{len(missing)} are missing in the file (-), {len(unexpected)} are unexpected (+), "
        f"{len(reshaped)} have another shape (~)"
    )
    return "\n".join([head, counts, *_table(rows)])


def _table(rows: Mapping[str, list[tuple[str, str, str]]]) -> list[str]:
    """Lines of the table, the first TABLE_ROWS for each sign."""
    width = max(len(path) for entries in rows.values() for path, _, _ in entries[:TABLE_ROWS])
    lines = []
    for sign, entries in rows.items():
        for path, shape, note in entries[:TABLE_ROWS]:
            lines.append(f"  {sign} {path:<{width}}  {shape}{f'  ({note})' if note else ''}")
        if len(entries) > TABLE_ROWS:
            lines.append(f"  {sign} ... and {len(entries) - TABLE_ROWS} more")
    return lines


def _advice(checkpoint, report, targets: Mapping, mismatch: Mismatch) -> str:
    prefix = names.prefix_of(mismatch.unexpected)
    if prefix and report.scheme in ("PySlowFast", "unknown"):
        return (
            f"The names in the file are PySlowFast's with the prefix {prefix!r}: remove it with "
            f'strip=("{prefix}",)'
        )
    classes = class_counts(mismatch)
    if classes:
        model, file = classes
        return (
            f"Only the number of classes differs: the file has {file} classes, the model has "
            f"{model}. To use the classes of the file, set num_classes={file}; to train others, "
            "start a training from the file (train.init_from.path), which initializes the "
            'classifier randomly, as skip=("head/.*",) does'
        )
    theirs = describe_network(_our_shapes(checkpoint, report))
    ours = describe_network(targets)
    if theirs != ours or len(report.mapped) < len(targets) / 2:
        return (
            f"The file looks like {theirs}; the model is {ours}. Choose the model that the file "
            "was saved from (slowfast_jax.list_models() lists the models)"
        )
    return (
        "Build the model with the keywords that the file was trained with, or pass skip= with "
        'regular expressions that match whole paths of parameters that may differ '
        '(skip=("head/.*",))'
    )


def class_counts(mismatch: Mismatch) -> tuple[int, int] | None:
    """(classes of the model, of the file) if only the last axis of the classifier differs."""
    missing, unexpected, reshaped = mismatch
    if missing or unexpected or not reshaped:
        return None
    modules = {path.rpartition("/")[0] for path in reshaped}
    if not modules <= {"head/projection", "head"} or len(modules) > 1:
        return None
    counts = set()
    for ours, theirs, _ in reshaped.values():
        if len(ours) != len(theirs) or ours[:-1] != theirs[:-1]:
            return None
        counts.add((ours[-1], theirs[-1]))
    return counts.pop() if len(counts) == 1 else None


def describe_network(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Describes a network by its paths: "X3D, stages of 5-10-25-15 blocks (X3D-L), ...".

    Args:
      shapes: path -> shape.
    """
    blocks: dict[str, dict[int, int]] = {}
    for path in shapes:
        match = re.match(r"(|slow_|fast_)res(\d+)/block(\d+)/", path)
        if match:
            stages = blocks.setdefault(match[1], {})
            stages[int(match[2])] = max(stages.get(int(match[2]), 0), int(match[3]) + 1)
    if not blocks:
        return "an unknown network"
    parts = [names.family_of(shapes) if "" not in blocks else ""]
    if "" in blocks:
        parts = ["X3D" if "stem/conv_xy/kernel" in shapes else "a network with one pathway"]
    for pathway, stages in sorted(blocks.items(), reverse=True):
        depth = tuple(count for _, count in sorted(stages.items()))
        name = f" ({DEPTHS[depth]})" if depth in DEPTHS else ""
        stages_of = f"{pathway.replace('_', ' ')}stages of {'-'.join(map(str, depth))} blocks"
        parts.append(stages_of + name)
    if any("/nonlocal" in path for path in shapes):
        parts.append("with non-local blocks")
    if "head/projection/bias" in shapes:
        parts.append(f"{shapes['head/projection/bias'][0]} classes")
    return ", ".join(parts)


def _our_shapes(checkpoint, report) -> dict[str, tuple[int, ...]]:
    """{path: shape in the file's layout} of the tensors of a file, for the file's own family."""
    if report.scheme == "slowfast_jax":
        return {path: tuple(array.shape) for path, array in checkpoint.tensors.items()}
    canonical = names.canonical_names(checkpoint.tensors, report.scheme)
    family = names.foreign_family(canonical.values())
    return {
        names.from_pyslowfast(name, family) or name: tuple(checkpoint.tensors[file_name].shape)
        for file_name, name in canonical.items()
    }
