"""Convolutions and pools, which ONNX computes on maps (N, C, T, H, W)."""

import math

import numpy as np

from slowfast_jax.export.flat_program import Operation, Symbol
from slowfast_jax.export.orders import channels_first
from slowfast_jax.export.translation import ExportError, Translation, partner, scalar, shrunk


def _convolution(t: Translation, operation: Operation) -> None:
    """A Conv node; a constant that is added to its channels afterwards becomes its bias."""
    (x, kernel), params = operation.inputs, operation.params
    if isinstance(kernel, Symbol):
        raise ExportError(f"a convolution whose kernel depends on the clip, in {operation.scope}")
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise ExportError(f"a transposed convolution, in {operation.scope}")
    numbers = params["dimension_numbers"]
    inputs = [
        t.graph.stored(t.full(x), tuple(numbers.lhs_spec)),
        t.graph.constant(kernel.transpose(numbers.rhs_spec)),
    ]
    order = tuple(numbers.out_spec)
    last, bias = _bias(t, operation, order[1])
    if bias is not None:
        t.skip(last)
        inputs.append(t.graph.constant(bias))
    name = t.graph.node(
        "Conv", inputs, kernel_shape=[kernel.shape[axis] for axis in numbers.rhs_spec[2:]],
        strides=list(params["window_strides"]), dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"], pads=_pads(params["padding"]),
    )
    t.set_stored(last.output, order, name)


def _bias(
    t: Translation, operation: Operation, axis: int
) -> tuple[Operation, np.ndarray | None]:
    """The addition of one constant per channel that follows a convolution, and that constant."""
    addition = t.next(operation.output, "add")
    if addition is None:
        return operation, None
    constant = partner(addition, operation.output)
    if isinstance(constant, Symbol):
        return operation, None
    channels = operation.output.shape[axis]
    small = shrunk(constant)
    if any(size != 1 for i, size in enumerate(small.shape) if i != axis):
        return operation, None
    return addition, np.ascontiguousarray(np.broadcast_to(small.ravel(), channels))


def _pads(padding: tuple[tuple[int, int], ...]) -> list[int]:
    return [low for low, _ in padding] + [high for _, high in padding]


def _max_pool(t: Translation, operation: Operation) -> None:
    _pool(t, operation, operation, "MaxPool")


def _sum_pool(t: Translation, operation: Operation) -> None:
    """A sum over windows that is divided by their size is an average."""
    size = math.prod(operation.params["window_dimensions"])
    division = t.next(operation.output, "div")
    if division is not None and division.inputs[0] is operation.output:
        if scalar(division.inputs[1]) == size:
            t.skip(division)
            _pool(t, operation, division, "AveragePool", count_include_pad=1)
            return
    raise ExportError(f"sums over windows that are not averages, in {operation.scope}")


def _pool(
    t: Translation, operation: Operation, last: Operation, kind: str, **attributes: int
) -> None:
    params = operation.params
    window, padding = params["window_dimensions"], params["padding"]
    rank = len(window)
    dilations = (params.get("base_dilation"), params.get("window_dilation"))
    if window[0] != 1 or window[-1] != 1 or any(d and set(d) != {1} for d in dilations):
        raise ExportError(f"a pool over the batch or the channels, in {operation.scope}")
    order = channels_first(rank)
    name = t.graph.node(
        kind, [t.graph.stored(t.full(operation.inputs[0]), order)],
        kernel_shape=list(window[1:-1]), strides=list(params["window_strides"][1:-1]),
        pads=_pads(padding[1:-1]), **attributes,
    )
    t.set_stored(last.output, order, name)


RULES = {
    "conv_general_dilated": _convolution, "reduce_window_max": _max_pool, "reduce_window_sum":
    _sum_pool,
}
