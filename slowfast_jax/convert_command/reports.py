"""What the convert command prints about a checkpoint and about how it was mapped."""

from collections import Counter
from collections.abc import Mapping

from convert import names
from convert.load import Report, strip_names
from convert.readers import ForeignCheckpoint, describe_source
from convert.trees import flatten
from convert.verify import name_map


def describe_report(
    source: str, checkpoint: ForeignCheckpoint, variables: Mapping, report: Report
) -> list[str]:
    """Describes which tensors were read, how they were mapped, and which were unused and why.

    Args:
      source: name of the checkpoint.
      checkpoint: the checkpoint that was read.
      variables: the variables made from it.
      report: how `fit` made them.

    Returns:
      Lines of text.
    """
    lines = [f"{source}: {checkpoint.kind}, {report.scheme} names"]
    found, *more = describe_source(checkpoint)
    lines.append(f"  read      {found}")
    lines += [f"  note      {sentence}" for sentence in more]
    direct = len(report.mapped.keys() - report.derived.keys())
    lines.append(f"  mapped    {direct} one to one")
    if report.inflated:
        lines.append(f"  inflated  {len(report.inflated)} of these: 2-D kernels repeated over time")
    for reason, count in Counter(report.ignored.values()).items():
        lines.append(f"  ignored   {count}: {reason}")
    for path, how in report.derived.items():
        lines.append(f"  derived   {path}: {how}")
    for path, why in report.skipped.items():
        lines.append(f"  skipped   {path}: {why}; initialized")
    sizes = Counter()
    for (collection, _), leaf in flatten(variables).items():
        sizes[collection] += leaf.size
    totals = ", ".join(f"{size:,} in {name}" for name, size in sizes.items())
    lines.append(f"  result    {totals}")
    return lines


def describe_map(
    checkpoint: ForeignCheckpoint, variables: Mapping, report: Report
) -> list[str]:
    """The parameter that each tensor in a file became, and how often the tensors were used.

    Args:
      checkpoint, variables, report: as for `describe_report`.

    Returns:
      Lines of text.
    """
    shapes = {path: tuple(leaf.shape) for (_, path), leaf in flatten(variables).items()}
    rows = name_map(checkpoint, report)
    left = [
        f"{row.name} {checkpoint.tensors[row.name].shape}" if row.name else "(not in the file)"
        for row in rows
    ]
    width = max(map(len, left), default=0)
    lines = []
    for row, theirs in zip(rows, left, strict=True):
        ours = f"{row.path} {shapes[row.path]}" if row.path else "not used"
        lines.append(f"  {theirs:<{width}}  ->  {ours}{': ' if row.how else ''}{row.how}")
    times = Counter(row.name for row in rows if row.name and row.path)
    once, unused = list(times.values()).count(1), checkpoint.tensors.keys() - times.keys()
    return [
        *lines,
        f"  {once} of {len(checkpoint.tensors)} tensors are used once, {len(unused)} are not used, "
        f"{len(times) - once} are used more than once",
    ]


def list_tensors(source: str, checkpoint: ForeignCheckpoint) -> list[str]:
    """What a checkpoint holds: format, program, entries, and each tensor's name, type and shape.

    Args:
      source: name of the checkpoint.
      checkpoint: as it was read.

    Returns:
      Lines of text.
    """
    tensors, halves = checkpoint.tensors, set(checkpoint.metadata.get("bfloat16", ()))
    stripped = strip_names(checkpoint)
    scheme = "slowfast_jax" if checkpoint.own else names.scheme_of(stripped.tensors)
    found, *more = describe_source(stripped)
    width = max(map(len, tensors), default=0)
    return [
        f"{source}: {checkpoint.kind}, {scheme} names",
        f"  read      {found}",
        *(f"  note      {sentence}" for sentence in more),
        *(
            f"  {name:<{width}}  {'bfloat16' if name in halves else array.dtype}  {array.shape}"
            for name, array in tensors.items()
        ),
        f"  {sum(array.size for array in tensors.values()):,} numbers",
    ]
