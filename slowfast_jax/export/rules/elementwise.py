"""Operations on single elements, which take any order of axes and broadcast as NumPy does."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from onnx import helper

from slowfast_jax.export.flat_program import Operand, Operation
from slowfast_jax.export.graph import Tensor
from slowfast_jax.export.translation import ExportError, Translation, scalar, shrunk

SIMPLE = {  # JAX primitive -> ONNX operator
    "abs": "Abs", "add": "Add", "add_any": "Add", "and": "And", "ceil": "Ceil", "cos": "Cos",
    "div": "Div", "eq": "Equal", "erf": "Erf", "exp": "Exp", "floor": "Floor", "ge":
    "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "log": "Log", "logistic": "Sigmoid",
    "lt": "Less", "max": "Max", "min": "Min", "mul": "Mul", "neg": "Neg", "not": "Not", "or": "Or",
    "pow": "Pow", "round": "Round", "sign": "Sign", "sin": "Sin", "sqrt": "Sqrt", "sub": "Sub",
    "tanh": "Tanh",
}


def emit(
    t: Translation, operation: Operation, kind: str, operands: Sequence[Operand], **attributes: Any
) -> None:
    """Adds an elementwise node whose result is that of the operation."""
    tensors = [_small(t, operand) for operand in operands]
    order = t.graph.common_order(tensors)
    names = [t.graph.stored(tensor, order) for tensor in tensors]
    shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    t.set_stored(operation.output, order, t.graph.node(kind, names, **attributes), shape)


def _small(t: Translation, operand: Operand) -> Tensor:
    if isinstance(operand, np.ndarray):
        number = scalar(operand)
        operand = shrunk(operand) if number is None else np.asarray(number, operand.dtype)
    return t.tensor(operand)


def _simple(kind: str, t: Translation, operation: Operation) -> None:
    emit(t, operation, kind, operation.inputs)


def _max(t: Translation, operation: Operation) -> None:
    rest = [operand for operand in operation.inputs if scalar(operand) != 0]
    if len(rest) == 1:
        emit(t, operation, "Relu", rest)
    else:
        emit(t, operation, "Max", operation.inputs)


def _square(t: Translation, operation: Operation) -> None:
    emit(t, operation, "Mul", operation.inputs * 2)


def _integer_power(t: Translation, operation: Operation) -> None:
    if operation.params["y"] == 2:
        _square(t, operation)
    else:
        exponent = np.asarray(operation.params["y"], operation.output.dtype)
        emit(t, operation, "Pow", (*operation.inputs, exponent))


def _rsqrt(t: Translation, operation: Operation) -> None:
    emit(t, operation, "Sqrt", operation.inputs)
    emit(t, operation, "Reciprocal", operation.outputs)


def _erfc(t: Translation, operation: Operation) -> None:
    emit(t, operation, "Erf", operation.inputs)
    one = np.ones((), operation.output.dtype)
    emit(t, operation, "Sub", (one, operation.output))


def _convert(t: Translation, operation: Operation) -> None:
    (operand,), dtype = operation.inputs, operation.output.dtype
    if operand.dtype == dtype:
        t.set(operation.output, t.tensor(operand))
    else:
        emit(t, operation, "Cast", [operand], to=helper.np_dtype_to_tensor_dtype(dtype))


def _clamp(t: Translation, operation: Operation) -> None:
    low, x, high = operation.inputs
    emit(t, operation, "Max", [x, low])
    emit(t, operation, "Min", [operation.output, high])


def _select(t: Translation, operation: Operation) -> None:
    condition, *cases = operation.inputs
    if len(cases) != 2:
        raise ExportError(f"a choice between {len(cases)} arrays, in {operation.scope}")
    chosen = scalar(condition)
    if chosen is not None:
        t.set(operation.output, t.tensor(cases[int(chosen)]))
    elif isinstance(condition, np.ndarray) and scalar(cases[0]) == 0:
        emit(t, operation, "Mul", (cases[1], condition.astype(operation.output.dtype)))
    else:
        emit(t, operation, "Where", (condition, cases[1], cases[0]))


RULES = {name: partial(_simple, kind) for name, kind in SIMPLE.items()} | {
    "clamp": _clamp, "convert_element_type": _convert, "erfc": _erfc, "integer_pow":
    _integer_power, "max": _max, "rsqrt": _rsqrt, "select_n": _select, "square": _square,
}
