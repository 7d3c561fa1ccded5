"""Sums, means and maxima over whole axes."""

import math
from functools import partial

from slowfast_jax.export.flat_program import Operation
from slowfast_jax.export.orders import without
from slowfast_jax.export.translation import Translation, scalar

KINDS = {
    "reduce_max": "ReduceMax", "reduce_min": "ReduceMin", "reduce_prod": "ReduceProd",
    "reduce_sum": "ReduceSum",
}


def _reduce(kind: str, t: Translation, operation: Operation) -> None:
    operand, axes = operation.inputs[0], tuple(operation.params["axes"])
    if not axes:  # for ONNX that would mean all of them
        t.set(operation.output, t.tensor(operand))
        return
    tensor = t.full(operand)
    order, name = t.graph.any_order(tensor)
    last, kept = operation, _restores(t, operation, axes)
    if kept is not None:
        t.skip(kept)
        last = kept
    division = t.next(last.output, "div") if kind == "ReduceSum" else None
    if division is not None and division.inputs[0] is last.output:
        if scalar(division.inputs[1]) == math.prod(operand.shape[axis] for axis in axes):
            t.skip(division)
            kind, last = "ReduceMean", division
    places = t.graph.integers(sorted(order.index(axis) for axis in axes))
    name = t.graph.node(kind, [name, places], keepdims=int(kept is not None))
    t.set_stored(last.output, order if kept is not None else without(order, axes), name)


def _restores(t: Translation, operation: Operation, axes: tuple[int, ...]) -> Operation | None:
    """The operation after a reduction that puts the reduced axes back with size 1, if any."""
    shape = operation.inputs[0].shape
    wanted = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    for kind in ("broadcast_in_dim", "reshape", "expand_dims"):
        user = t.next(operation.output, kind)
        if user is not None and user.output.shape == wanted:
            return user
    return None


RULES = {name: partial(_reduce, kind) for name, kind in KINDS.items()}
