"""A traced network as one flat list of operations, with its constants computed.

Calls within the traced program (jit, custom gradients, recomputation) are inlined, operations on
constants alone are computed, and operations that nothing needs are dropped.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

# Operations whose result is their input.
SAME = {
    "copy", "copy_p", "layout_constraint", "name", "optimization_barrier", "reduce_precision",
    "sharding_constraint", "stop_gradient",
}
# Operations that call another program, and the parameter that holds it.
CALLS = {
    "checkpoint": "jaxpr", "closed_call": "call_jaxpr", "composite": "jaxpr", "core_call":
    "call_jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr", "jit": "jaxpr",
    "pjit": "jaxpr", "remat2": "jaxpr",
}


@dataclass(eq=False)
class Symbol:
    """A value that depends on the inputs of the program."""

    shape: tuple[int, ...]
    dtype: np.dtype


Operand = Symbol | np.ndarray


@dataclass(eq=False)
class Operation:
    """One operation of the program.

    Attributes:
      kind: name of the JAX primitive, or of the composite (`ops.backend.as_one_operation`).
      params: parameters of the primitive, or attributes of the composite.
      inputs: symbols, and arrays for constants.
      output: its result.
      outputs: all results; only a split has several.
      scope: modules of the network that it belongs to, such as "SlowFast/slow_res2/block0".
    """

    kind: str
    params: Mapping[str, Any]
    inputs: tuple[Operand, ...]
    outputs: tuple[Symbol, ...]
    scope: str = ""

    @property
    def output(self) -> Symbol:
        return self.outputs[0]


@dataclass
class Program:
    """A flat program; `operations` are in an order in which they can be computed."""

    inputs: list[Symbol]
    operations: list[Operation]
    outputs: list[Operand]
    _users: dict[Symbol, list[Operation | None]] = field(init=False)

    def __post_init__(self) -> None:
        self._users = defaultdict(list)
        for operation in self.operations:
            for operand in operation.inputs:
                if isinstance(operand, Symbol):
                    self._users[operand].append(operation)
        for operand in self.outputs:
            if isinstance(operand, Symbol):
                self._users[operand].append(None)

    def only_user(self, symbol: Symbol) -> Operation | None:
        """The operation that reads a value; None if several do, or if it is an output."""
        users = self._users[symbol]
        return users[0] if len(users) == 1 else None


def flatten(program: ClosedJaxpr, constants: Sequence[Any], composites: set[str]) -> Program:
    """The flat form of a traced function.

    Args:
      program: of `jax.make_jaxpr`.
      constants: values of its first arguments, such as the parameters of a network. The remaining
        arguments become the inputs.
      composites: names of composites that stay single operations; others are inlined.
    """
    known = [np.asarray(value) for value in constants]
    free = [_symbol(var) for var in program.jaxpr.invars[len(known):]]
    operations: list[Operation] = []
    consts = [np.asarray(value) for value in program.consts]
    outputs = _walk(program.jaxpr, consts, [*known, *free], "", composites, operations)
    return Program(free, _needed(operations, outputs), outputs)


def _walk(
    jaxpr: Jaxpr, consts: Sequence[Operand], arguments: Sequence[Operand], scope: str,
    composites: set[str], operations: list[Operation],
) -> list[Operand]:
    """Appends the operations of a program, and returns its outputs."""
    values: dict[Any, Operand] = dict(zip(jaxpr.constvars, consts, strict=True))
    values |= zip(jaxpr.invars, arguments, strict=True)

    def read(atom: Any) -> Operand:
        return np.asarray(atom.val, atom.aval.dtype) if isinstance(atom, Literal) else values[atom]

    for eqn in jaxpr.eqns:
        inputs = [read(atom) for atom in eqn.invars]
        kind, params = eqn.primitive.name, eqn.params
        inner = "/".join(filter(None, (scope, str(eqn.source_info.name_stack))))
        constant = all(isinstance(operand, np.ndarray) for operand in inputs)
        keeps = kind == "composite" and params["name"] in composites and not constant
        if kind in SAME:
            outputs = inputs
        elif kind in CALLS and not keeps:
            called = params[CALLS[kind]]
            consts = [np.asarray(value) for value in getattr(called, "consts", ())]
            outputs = _walk(
                getattr(called, "jaxpr", called), consts, inputs, inner, composites, operations
            )
        elif constant:
            outputs = _computed(eqn, inputs)
        else:
            if keeps:
                kind, params = params["name"], _attributes(params["attributes"])
            outputs = [_symbol(var) for var in eqn.outvars]
            operations.append(Operation(kind, params, tuple(inputs), tuple(outputs), inner))
        values |= zip(eqn.outvars, outputs, strict=True)
    return [read(atom) for atom in jaxpr.outvars]


def _symbol(var: Any) -> Symbol:
    return Symbol(tuple(var.aval.shape), np.dtype(var.aval.dtype))


def _attributes(packed: Sequence[tuple]) -> dict[str, Any]:
    return {name: jax.tree.unflatten(tree, leaves) for name, leaves, tree in packed}


def _needed(operations: Sequence[Operation], outputs: Sequence[Operand]) -> list[Operation]:
    wanted = {operand for operand in outputs if isinstance(operand, Symbol)}
    kept = []
    for operation in reversed(operations):
        if wanted.intersection(operation.outputs):
            kept.append(operation)
            wanted |= {operand for operand in operation.inputs if isinstance(operand, Symbol)}
    return kept[::-1]


def _broadcast(x: np.ndarray, shape: Sequence[int], broadcast_dimensions: Sequence[int]):
    wide = [1] * len(shape)
    for axis, size in zip(broadcast_dimensions, x.shape, strict=True):
        wide[axis] = size
    return np.broadcast_to(x.reshape(wide), shape)


# NumPy's forms of common operations on floats, which need no compilation.
NUMPY: dict[str, Callable[..., np.ndarray]] = {
    "add": lambda x, y, **_: x + y,
    "broadcast_in_dim": lambda x, shape, broadcast_dimensions, **_: _broadcast(
        x, shape, broadcast_dimensions
    ),
    "convert_element_type": lambda x, new_dtype, **_: x.astype(new_dtype),
    "div": lambda x, y, **_: x / y,
    "mul": lambda x, y, **_: x * y,
    "reshape": lambda x, new_sizes, **_: x.reshape(new_sizes),
    "squeeze": lambda x, dimensions, **_: x.squeeze(tuple(dimensions)),
    "sub": lambda x, y, **_: x - y,
    "transpose": lambda x, permutation, **_: x.transpose(permutation),
}


def _computed(eqn: JaxprEqn, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    kind = eqn.primitive.name
    if kind in NUMPY and all(np.issubdtype(x.dtype, np.floating) for x in inputs):
        dtype = eqn.outvars[0].aval.dtype
        return [np.asarray(NUMPY[kind](*inputs, **eqn.params), dtype)]
    results = eqn.primitive.bind(*map(jax.numpy.asarray, inputs), **eqn.params)
    results = results if eqn.primitive.multiple_results else [results]
    return [np.asarray(result) for result in results]
