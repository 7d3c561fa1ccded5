"""Operations that move, repeat or select elements."""

from collections.abc import Sequence

import numpy as np

from slowfast_jax.export.flat_program import Operation, Symbol
from slowfast_jax.export.graph import Tensor
from slowfast_jax.export.translation import ExportError, Translation, scalar


def _reshape(t: Translation, operation: Operation) -> None:
    t.set(operation.output, t.graph.reshaped(t.full(operation.inputs[0]), operation.output.shape))


def _transpose(t: Translation, operation: Operation) -> None:
    """Renames the axes of the stored forms; nothing is moved."""
    permutation = operation.params["permutation"]
    tensor = t.tensor(operation.inputs[0])
    places = {axis: place for place, axis in enumerate(permutation)}
    names = {
        tuple(places[axis] for axis in order): name
        for order, name in t.graph.names(tensor).items()
    }
    shape = tuple(tensor.shape[axis] for axis in permutation)
    t.set(operation.output, Tensor(shape, tensor.dtype, names))


def _broadcast(t: Translation, operation: Operation) -> None:
    """Adds axes of size 1, which the operations that read the result repeat where they have to."""
    rank, kept = len(operation.output.shape), operation.params["broadcast_dimensions"]
    new = [axis for axis in range(rank) if axis not in kept]
    t.set(operation.output, t.graph.unsqueezed(t.tensor(operation.inputs[0]), new))


def _slice(t: Translation, operation: Operation) -> None:
    params = operation.params
    steps = params["strides"] or (1,) * len(params["start_indices"])
    _cut(t, operation, params["start_indices"], params["limit_indices"], steps)


def _dynamic_slice(t: Translation, operation: Operation) -> None:
    x, *starts = operation.inputs
    if any(isinstance(start, Symbol) for start in starts):
        raise ExportError(f"a slice whose place depends on the clip, in {operation.scope}")
    sizes = operation.params["slice_sizes"]
    first = [
        int(np.clip(start, 0, length - size))
        for start, size, length in zip(starts, sizes, x.shape, strict=True)
    ]
    last = [start + size for start, size in zip(first, sizes, strict=True)]
    _cut(t, operation, first, last, (1,) * len(first))


def _cut(
    t: Translation, operation: Operation, starts: Sequence[int], stops: Sequence[int],
    steps: Sequence[int],
) -> None:
    tensor = t.full(operation.inputs[0])
    order, name = t.graph.any_order(tensor)
    whole = [(0, size, 1) for size in tensor.shape]
    cuts = list(zip(starts, stops, steps, strict=True))
    axes = [axis for axis, cut in enumerate(cuts) if cut != whole[axis]]
    if axes:
        rows = [[*cuts[axis][:2], order.index(axis), cuts[axis][2]] for axis in axes]
        columns = [t.graph.integers(column) for column in zip(*rows, strict=True)]
        name = t.graph.node("Slice", [name, *columns])
    t.set_stored(operation.output, order, name)


def _split(t: Translation, operation: Operation) -> None:
    order, name = t.graph.any_order(t.full(operation.inputs[0]))
    sizes = t.graph.integers(operation.params["sizes"])
    names = t.graph.node(
        "Split", [name, sizes], len(operation.outputs), axis=order.index(operation.params["axis"])
    )
    for symbol, part in zip(operation.outputs, names, strict=True):
        t.set_stored(symbol, order, part)


def _concatenate(t: Translation, operation: Operation) -> None:
    tensors = [t.graph.for_each_clip(t.full(operand)) for operand in operation.inputs]
    order = t.graph.common_order(tensors)
    names = [t.graph.stored(tensor, order) for tensor in tensors]
    name = t.graph.node("Concat", names, axis=order.index(operation.params["dimension"]))
    t.set_stored(operation.output, order, name)


def _pad(t: Translation, operation: Operation) -> None:
    operand, value = operation.inputs
    edges, number = operation.params["padding_config"], scalar(value)
    if number is None or any(low < 0 or high < 0 or inner for low, high, inner in edges):
        raise ExportError(f"a padding {edges} by {value}, in {operation.scope}")
    order, name = t.graph.any_order(t.full(operand))
    widths = t.graph.integers(edges[axis][side] for side in (0, 1) for axis in order)
    value = t.graph.constant(np.asarray(number, operation.output.dtype))
    t.set_stored(operation.output, order, t.graph.node("Pad", [name, widths, value]))


def _gather(t: Translation, operation: Operation) -> None:
    """Only the form of `x[:, indices]`: constant indices along one axis."""
    x, indices = operation.inputs
    numbers, sizes = operation.params["dimension_numbers"], operation.params["slice_sizes"]
    axes = numbers.start_index_map
    axis = axes[0] if axes else 0
    expected = tuple(1 if i == axis else size for i, size in enumerate(x.shape))
    others = tuple(i for i in range(len(x.shape)) if i != axis)
    if (
        isinstance(indices, Symbol) or len(axes) != 1 or numbers.collapsed_slice_dims != axes
        or numbers.operand_batching_dims or tuple(sizes) != expected or indices.ndim != 2
        or numbers.offset_dims != others
    ):
        raise ExportError(f"a selection of elements not along one axis, in {operation.scope}")
    indices = indices[:, 0].astype(np.int64)
    if indices.min() < 0 or indices.max() >= x.shape[axis]:
        raise ExportError(f"indices beyond the end of an axis, in {operation.scope}")
    order, name = t.graph.any_order(t.full(x))
    name = t.graph.node("Gather", [name, t.graph.integers(indices)], axis=order.index(axis))
    t.set_stored(operation.output, order, name)


RULES = {
    "broadcast_in_dim": _broadcast, "concatenate": _concatenate, "dynamic_slice": _dynamic_slice,
    "expand_dims": _reshape, "gather": _gather, "pad": _pad, "reshape": _reshape, "slice": _slice,
    "split": _split, "squeeze": _reshape, "transpose": _transpose,
}
