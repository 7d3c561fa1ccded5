"""Translates a flat program to an ONNX graph, operation by operation."""

from collections.abc import Callable
from typing import Any

import numpy as np

from slowfast_jax.export.flat_program import Operand, Operation, Program, Symbol
from slowfast_jax.export.graph import Graph, Tensor
from slowfast_jax.export.orders import Order


class ExportError(ValueError):
    """A network has an operation that the graph cannot express."""


class Translation:
    """The state of a translation, which the rules read and extend.

    Attributes:
      graph: the ONNX graph so far.
      program: what is translated.
    """

    def __init__(self, graph: Graph, program: Program):
        self.graph = graph
        self.program = program
        self._tensors: dict[Symbol, Tensor] = {}
        self._done: set[Operation] = set()

    def run(self, rules: "dict[str, Rule]") -> None:
        """Translates all operations. The inputs must have been set.

        Raises ExportError for an operation without a rule.
        """
        for operation in self.program.operations:
            if operation in self._done:
                continue
            self.graph.scope = operation.scope
            if operation.kind not in rules:
                raise ExportError(
                    f"the network has an operation that ONNX export does not know: "
                    f"{operation.kind}, in {operation.scope or 'its outermost function'}"
                )
            rules[operation.kind](self, operation)

    def tensor(self, operand: Operand) -> Tensor:
        """The tensor of an operand; broadcast axes may have size 1."""
        if isinstance(operand, Symbol):
            return self._tensors[operand]
        return Tensor(operand.shape, operand.dtype, array=operand)

    def full(self, operand: Operand) -> Tensor:
        """The tensor of an operand, in its whole shape."""
        return self.graph.expanded(self.tensor(operand), operand.shape)

    def set(self, symbol: Symbol, tensor: Tensor) -> None:
        """Sets the tensor of a symbol."""
        self._tensors[symbol] = tensor

    def set_stored(
        self, symbol: Symbol, order: Order, name: str, shape: tuple[int, ...] | None = None
    ) -> None:
        """Sets the tensor of a symbol: stored under this name with this order of axes.

        shape: where it is broadcast; by default, that of the symbol.
        """
        shape = symbol.shape if shape is None else shape
        self.set(symbol, Tensor(shape, symbol.dtype, {order: name}))

    def skip(self, operation: Operation) -> None:
        """Leaves out an operation that another one has done already."""
        self._done.add(operation)

    def next(self, symbol: Symbol, kind: str) -> Operation | None:
        """The only operation that reads a value, if it is of this kind."""
        user = self.program.only_user(symbol)
        return user if user is not None and user.kind == kind else None


Rule = Callable[[Translation, Operation], None]


def scalar(operand: Operand) -> Any:
    """The number that all elements of a constant are; None if it is no constant or they differ."""
    if not isinstance(operand, np.ndarray) or not operand.size:
        return None
    first = operand.flat[0]
    return first if (operand == first).all() else None


def partner(operation: Operation, symbol: Symbol) -> Operand:
    """The other operand of an operation that has two."""
    first, second = operation.inputs
    return second if first is symbol else first


def shrunk(array: np.ndarray) -> np.ndarray:
    """A constant with size 1 along the axes on which nothing changes."""
    for axis, size in enumerate(array.shape):
        if size > 1:
            first = array.take([0], axis)
            if (array == first).all():
                array = first
    return array
