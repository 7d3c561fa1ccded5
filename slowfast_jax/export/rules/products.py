"""Matrix products."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from slowfast_jax.export.flat_program import Operand, Operation
from slowfast_jax.export.orders import Order, identity
from slowfast_jax.export.translation import Translation


class Axes(NamedTuple):
    """Axes of an operand of a product, each list in the order of the other operand's.

    Attributes:
      batch: there is one product for each place along these.
      free: axes of this operand alone.
      summed: axes that the product sums over.
    """

    batch: tuple[int, ...]
    free: tuple[int, ...]
    summed: tuple[int, ...]


def _product(t: Translation, operation: Operation) -> None:
    (summed, batch) = operation.params["dimension_numbers"]
    left, right = operation.inputs
    first, second = (
        Axes(tuple(batch[i]), _rest(len(x.shape), (*batch[i], *summed[i])), tuple(summed[i]))
        for i, x in enumerate((left, right))
    )
    # The axes of the result are those of the batch, then the free ones of both operands.
    places = {axis: place for place, axis in enumerate((*first.batch, *first.free))}
    end = len(places)
    if len(first.summed) == 1 and len(second.free) == 1 and first.free:
        _one_matrix(t, operation, (left, first), (right, second), places, end)
        return
    if len(second.summed) == 1 and len(first.free) == 1 and second.free:
        count = len(second.batch)
        swapped = dict(zip(second.batch, range(count), strict=True))
        swapped |= {axis: count + 1 + i for i, axis in enumerate(second.free)}
        _one_matrix(t, operation, (right, second), (left, first), swapped, count)
        return
    _merged(t, operation, (left, first), (right, second))


def _one_matrix(
    t: Translation, operation: Operation, many: tuple[Operand, Axes], matrix: tuple[Operand, Axes],
    places: dict[int, int], column: int,
) -> None:
    """A MatMul of any tensor, in the order that it has, and of matrices with one free axis.

    places: axis of the result by axis of `many`; column: that of the free axis of `matrix`.
    """
    (x, first), (y, second) = many, matrix
    tensor = t.full(x)
    wanted = _left_orders(t.graph.names(tensor), first)
    order = next((order for order in wanted if order in tensor.names), wanted[0])
    rows = order[:-1]
    partner = dict(zip(first.batch, second.batch, strict=True))
    used = [partner[axis] for axis in rows if axis in partner]
    right, right_order = t.full(y), (*used, *second.summed, *second.free)
    # The other axes of `many` come before the matrix as axes of size 1, to be broadcast.
    sizes = [y.shape[partner[axis]] if axis in partner else 1 for axis in rows[:-1]]
    sizes = sizes[next((i for i, axis in enumerate(rows) if axis in partner), len(sizes)):]
    sizes += [y.shape[axis] for axis in (*second.summed, *second.free)]
    if right.array is not None:
        name = t.graph.constant(right.array.transpose(right_order).reshape(sizes))
    else:
        name = t.graph.stored(right, right_order)
        if len(sizes) > len(y.shape):
            name = t.graph.reshape(name, [y.shape[axis] for axis in right_order], sizes)
    name = t.graph.node("MatMul", [t.graph.stored(tensor, order), name])
    t.set_stored(operation.output, (*(places[axis] for axis in rows), column), name)


def _left_orders(stored: Sequence[Order], axes: Axes) -> list[Order]:
    """Orders in which a tensor can be multiplied: the summed axis last, and a free one before it.

    The first of them needs the least change of the first stored form.
    """
    found = []
    for order in stored:
        rows = [axis for axis in order if axis not in axes.summed]
        if rows[-1] in axes.batch:  # the last free axis moves behind
            last = next(axis for axis in reversed(rows) if axis in axes.free)
            rows = [*(axis for axis in rows if axis != last), last]
        found.append((*rows, *axes.summed))
    return found


def _merged(
    t: Translation, operation: Operation, first: tuple[Operand, Axes],
    second: tuple[Operand, Axes],
) -> None:
    """The general case: axes of one role are merged to one."""
    (x, left), (y, right) = first, second
    batch = [x.shape[axis] for axis in left.batch]
    names = []
    for operand, axes, parts in (
        (x, left, (left.free, left.summed)), (y, right, (right.summed, right.free))
    ):
        order = (*axes.batch, *parts[0], *parts[1])
        name = t.graph.stored(t.full(operand), order)
        merged = [math.prod(operand.shape[axis] for axis in part) for part in parts]
        names.append(
            t.graph.reshape(name, [operand.shape[axis] for axis in order], [*batch, *merged])
        )
    shape = operation.output.shape
    free = [math.prod(x.shape[axis] for axis in left.free)]
    name = t.graph.reshape(t.graph.node("MatMul", names), [*batch, *free], shape)
    t.set_stored(operation.output, identity(len(shape)), name)


def _rest(rank: int, axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(axis for axis in range(rank) if axis not in axes)


RULES = {"dot_general": _product}
