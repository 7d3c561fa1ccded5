"""Checks a converted checkpoint: a round trip gives the same bytes, and the network runs."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from convert import names
from convert.exports.pyslowfast import pyslowfast_tensors
from convert.load import Report
from convert.readers import ForeignCheckpoint


class Use(NamedTuple):
    """What became of a tensor in a file.

    Attributes:
      name: its name in the file; "" for a parameter that no tensor is for.
      path: the parameter; "" if the tensor is not used.
      how: what was done to it, or why it is not used; "" if it was only put into our layout.
    """

    name: str
    path: str
    how: str


def name_map(checkpoint: ForeignCheckpoint, report: Report) -> list[Use]:
    """What became of each tensor in a file, in the order of the file; then the parameters that no
    tensor is for.

    A tensor that is used once, or not, has one row.

    Args:
      checkpoint: the checkpoint that was converted.
      report: how `fit` mapped it.
    """
    uses: dict[str, list[Use]] = {name: [] for name in checkpoint.tensors}
    others = []
    for path, name in report.mapped.items():
        how = report.derived.get(path, "")
        if path in report.inflated:
            how = "repeated over time"
        for source in report.joined.get(path, (name,)):
            row = Use(source, path, "joined with others" if path in report.joined else how)
            (uses[source] if source else others).append(row)
    for name, reason in report.ignored.items():
        uses[name].append(Use(name, "", reason))
    for name, rows in uses.items():
        if not rows:
            rows.append(Use(name, "", "of another shape than the parameter"))
    others += [Use("", path, f"{why}; initialized") for path, why in report.skipped.items()]
    return [row for rows in uses.values() for row in rows] + others


def compare_bytes(
    checkpoint: ForeignCheckpoint, variables: Mapping, report: Report
) -> tuple[int, list[str]]:
    """Exports `variables` to PySlowFast's layout and compares them with the file, byte by byte.

    Tensors that were not copied one to one are skipped: inflated 2-D kernels, aggregated
    statistics, Caffe2's matrices and other element types.

    Args:
      checkpoint: the checkpoint that was converted.
      variables: the variables made from it.
      report: how `fit` mapped it.

    Returns:
      The number of tensors compared, and the names in the file of those that differ.
    """
    exported = pyslowfast_tensors(variables)
    canonical = names.canonical_names(checkpoint.tensors, report.scheme)
    changed = {report.mapped.get(path) for path in (*report.inflated, *report.derived)}
    compared, different = 0, []
    for file_name in set(report.mapped.values()) - changed:
        theirs, ours = checkpoint.tensors[file_name], exported.get(canonical[file_name])
        if ours is None or (theirs.shape, theirs.dtype) != (ours.shape, ours.dtype):
            continue
        compared += 1
        if theirs.tobytes() != ours.tobytes():
            different.append(file_name)
    return compared, sorted(different)


def describe_outputs(probs: np.ndarray, endpoints: Mapping, class_names=()) -> list[str]:
    """Describes a forward pass: whether it is finite, the top classes, the scale of each stage.

    Args:
      probs: probabilities (1, K), or (1, B, K) for B boxes.
      endpoints: name -> array, as the networks return them.
      class_names: names of the K classes, if known.

    Returns:
      Lines of text.
    """
    lines = []
    rows = np.asarray(probs, np.float32).reshape(-1, probs.shape[-1])
    for number, row in enumerate(rows):
        of_box = f" of box {number}" if len(rows) > 1 else ""
        finite = "finite" if np.isfinite(row).all() else "NOT FINITE"
        lines.append(f"probabilities{of_box}: {finite}, sum {row.sum():.6f}")
        for index in np.argsort(-row)[:5]:
            name = class_names[index] if index < len(class_names) else ""
            lines.append(f"  {row[index]:.6f}  class {index} {name}".rstrip())
    stages = [name for name in endpoints if "/" not in name and name not in ("probs", "logits")]
    for name in sorted(stages, key=lambda name: ("stem" not in name, name == "features", name)):
        stage = np.asarray(endpoints[name], np.float64)
        lines.append(f"{name:<12} {stage.shape}: mean {stage.mean():.6f}, std {stage.std():.6f}")
    return lines
