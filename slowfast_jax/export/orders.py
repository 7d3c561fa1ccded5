"""Orders of axes: `order[i]` is the axis of a tensor that is stored as the i-th."""

import itertools
from collections.abc import Sequence

Order = tuple[int, ...]


def identity(rank: int) -> Order:
    """The order in which a tensor is stored as it is."""
    return tuple(range(rank))


def channels_first(rank: int) -> Order:
    """(N, C, ...) of a tensor (N, ..., C)."""
    return (0, rank - 1, *range(1, rank - 1))


def without(order: Order, axes: Sequence[int]) -> Order:
    """The order of a tensor that lacks some axes."""
    kept = [axis for axis in range(len(order)) if axis not in axes]
    return tuple(kept.index(axis) for axis in order if axis not in axes)


def inserted(order: Sequence[int], rank: int) -> Order:
    """An order of `rank` axes that has `order` within it; each other axis follows the one before.
    """
    result = list(order)
    for axis in range(rank):
        if axis not in result:
            result.insert(result.index(axis - 1) + 1 if axis else 0, axis)
    return tuple(result)


def reshaped_order(
    old: Sequence[int], order: Order, new: Sequence[int]
) -> Order | None:
    """The order of a tensor after a reshape of its stored form; None if that mixes its elements.

    The reshape from `old` to `new` merges and splits groups of neighboring axes. It applies to the
    stored form if each group lies together there, too, in the same order.
    """
    groups = _groups(old, new)
    stored = [axis for axis in order if old[axis] != 1]
    result: list[int] = []
    place = 0
    while place < len(stored):
        group = next(pair for pair in groups if stored[place] in pair[0])
        if stored[place : place + len(group[0])] != group[0]:
            return None
        result += group[1]
        place += len(group[0])
    return inserted(result, len(new))


def mergeable_order(old: Sequence[int], order: Order, new: Sequence[int]) -> Order:
    """An order near to `order` that `reshaped_order` accepts; the last stored axes stay last."""
    groups = [group for group, _ in _groups(old, new)]
    groups.sort(key=lambda group: max(order.index(axis) for axis in group))
    return inserted([axis for group in groups for axis in group], len(old))


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Axes of two shapes that hold the same elements, in the smallest groups; 1 is left out."""
    before = [axis for axis, size in enumerate(old) if size != 1]
    after = [axis for axis, size in enumerate(new) if size != 1]

    def ends(axes: list[int], shape: Sequence[int]) -> list[int]:
        return list(itertools.accumulate((shape[axis] for axis in axes), lambda a, b: a * b))

    first, second = ends(before, old), ends(after, new)
    groups, i, j = [], 0, 0
    for end in sorted(set(first) & set(second)):
        a, b = first.index(end) + 1, second.index(end) + 1
        groups.append((before[i:a], after[j:b]))
        i, j = a, b
    return groups
