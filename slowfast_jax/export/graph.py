"""Builds an ONNX graph of tensors that may be stored with another order of axes than they have.

The networks are written for maps (N, T, H, W, C), and ONNX convolves maps (N, C, T, H, W). A
`Tensor` has the axes of the network, and knows in which orders the graph has stored it. So an
operation that takes any order, such as an addition, takes the one that is there, and transposing a
tensor costs nothing until an operation needs a certain order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from slowfast_jax.export.orders import Order, identity, inserted, mergeable_order, reshaped_order

OPSET, IR_VERSION = 20, 10  # of ONNX 1.16; the first with Gelu


@dataclass(eq=False)
class Tensor:
    """A tensor of the graph.

    Attributes:
      shape: its axes, as the network has them. Where an axis is broadcast, it may be 1.
      dtype: of its elements.
      names: the stored forms: name in the graph by order of the axes.
      array: its value, if it is a constant.
      base: the tensor that this is another shape of; it is reshaped when it is first needed.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    names: dict[Order, str] = field(default_factory=dict)
    array: np.ndarray | None = None
    base: "Tensor | None" = None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


class Graph:
    """An ONNX graph under construction.

    Attributes:
      scope: prefix of the names of the nodes that are added next.
      any_batch: the first axis of inputs and outputs may have any size.
    """

    def __init__(self, *, any_batch: bool = False) -> None:
        self.scope = ""
        self.any_batch = any_batch
        self._batch: str | None = None  # the number of clips at run time
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[Any, onnx.TensorProto] = {}
        self._used: dict[str, int] = {}

    def add_input(self, name: str, shape: Sequence[int], dtype: np.dtype) -> Tensor:
        """Adds an input of the graph."""
        self._inputs.append(self._described(name, shape, dtype))
        self._used[name] = 1
        return Tensor(tuple(shape), np.dtype(dtype), {identity(len(shape)): name})

    def constant(self, array: Any) -> str:
        """Name of a constant; equal small ones are stored once."""
        array = np.ascontiguousarray(array)
        key: Any = len(self._constants)
        if array.nbytes <= 4096:
            key = array.shape, array.dtype.str, array.tobytes()
        if key not in self._constants:
            name = self._unique("constant")
            self._constants[key] = numpy_helper.from_array(array, name)
        return self._constants[key].name

    def integers(self, values: Iterable[int]) -> str:
        """Name of a constant vector of integers, such as a shape."""
        return self.constant(np.asarray(list(values), np.int64))

    def node(self, kind: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node; returns the name of its output, or a list if `outputs` is above 1."""
        name = self._unique(f"{self.scope}/{kind}" if self.scope else kind)
        names = [name] if outputs == 1 else [f"{name}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, name, **attributes))
        return name if outputs == 1 else names

    def reshape(self, name: str, old: Sequence[int], new: Sequence[int]) -> str:
        """Adds a Reshape node; where the first size stays, it may be another one at run time."""
        same = bool(old) and bool(new) and old[0] == new[0]
        return self.node("Reshape", [name, self.integers([0, *new[1:]] if same else new)])

    def names(self, tensor: Tensor) -> dict[Order, str]:
        """The stored forms of a tensor, at least one."""
        if not tensor.names and tensor.array is not None:
            order = identity(tensor.array.ndim)
            tensor.names[order] = self.constant(tensor.array)
        elif not tensor.names:
            self._reshape(tensor)
        return tensor.names

    def stored(self, tensor: Tensor, order: Order) -> str:
        """Name of the form of a tensor with this order of axes; transposes it if necessary."""
        if not tensor.shape:
            order = ()
        if tensor.array is not None:
            return self.constant(tensor.array.transpose(order))
        names = self.names(tensor)
        if order not in names:
            source, name = next(iter(names.items()))
            if _moved(tensor.shape, source) == _moved(tensor.shape, order):
                names[order] = self.reshape(name, *(
                    [tensor.shape[axis] for axis in axes] for axes in (source, order)
                ))
            else:
                permutation = [source.index(axis) for axis in order]
                names[order] = self.node("Transpose", [name], perm=permutation)
        return names[order]

    def common_order(self, tensors: Sequence[Tensor]) -> Order:
        """The order in which the fewest elements of the tensors have to be transposed."""
        stored = [x for x in tensors if x.array is None and x.shape]
        candidates = [order for x in stored for order in self.names(x)]
        if not candidates:
            return identity(max(len(x.shape) for x in tensors))

        def elements_to_move(order: Order) -> int:
            return sum(x.size for x in stored if not any(
                _moved(x.shape, have) == _moved(x.shape, order) for have in x.names
            ))

        return min(candidates, key=elements_to_move)

    def any_order(self, tensor: Tensor) -> tuple[Order, str]:
        """A stored form of a tensor."""
        return next(iter(self.names(tensor).items()))

    def expanded(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """The tensor with its broadcast axes repeated, so that it has this shape."""
        shape = tuple(shape)
        if tensor.shape == shape:
            return tensor
        if tensor.array is not None:
            array = np.broadcast_to(tensor.array, shape)
            return Tensor(shape, tensor.dtype, array=array)
        order, name = self.any_order(tensor)
        # A size of 1 leaves the axis as it is.
        sizes = [1 if shape[axis] == tensor.shape[axis] else shape[axis] for axis in order]
        name = self.node("Expand", [name, self.integers(sizes)])
        return Tensor(shape, tensor.dtype, {order: name})

    def for_each_clip(self, tensor: Tensor) -> Tensor:
        """A constant that is the same for each clip of a batch of any size; others as they are."""
        array = tensor.array
        if not self.any_batch or array is None or (array != array[:1]).any():
            return tensor
        if self._batch is None:
            shape = self.node("Shape", [self._inputs[0].name], start=0, end=1)
            self._batch = shape
        rest = self.integers((1,) * (array.ndim - 1))
        sizes = self.node("Concat", [self._batch, rest], axis=0)
        name = self.node("Expand", [self.constant(array[:1]), sizes])
        return Tensor(tensor.shape, tensor.dtype, {identity(array.ndim): name})

    def reshaped(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """The tensor with another shape; nothing is added to the graph before it is needed."""
        shape = tuple(shape)
        if tensor.array is not None:
            return Tensor(shape, tensor.dtype, array=tensor.array.reshape(shape))
        if tensor.base is not None and (not tensor.names or tensor.base.shape == shape):
            tensor = tensor.base
        return tensor if tensor.shape == shape else Tensor(shape, tensor.dtype, base=tensor)

    def _reshape(self, tensor: Tensor) -> None:
        base = tensor.base
        orders = list(self.names(base))
        orders.append(mergeable_order(base.shape, orders[0], tensor.shape))
        for order in orders:
            new = reshaped_order(base.shape, order, tensor.shape)
            if new is not None:
                break
        tensor.names[new] = self.reshape(
            self.stored(base, order), [base.shape[axis] for axis in order],
            [tensor.shape[axis] for axis in new],
        )

    def unsqueezed(self, tensor: Tensor, axes: Sequence[int]) -> Tensor:
        """The tensor with further axes of size 1, at these positions of its new shape."""
        rank = len(tensor.shape) + len(axes)
        kept = [axis for axis in range(rank) if axis not in axes]
        shape = [1] * rank
        for axis, size in zip(kept, tensor.shape, strict=True):
            shape[axis] = size
        if tensor.array is not None or not axes:
            return self.reshaped(tensor, shape)
        order, name = self.any_order(tensor)
        new = inserted([kept[axis] for axis in order], rank)
        name = self.reshape(
            name, [tensor.shape[axis] for axis in order], [shape[axis] for axis in new]
        )
        return Tensor(tuple(shape), tensor.dtype, {new: name})

    def model(self, outputs: dict[str, Tensor], title: str, text: str) -> onnx.ModelProto:
        """The finished model with these outputs, in the order of axes that the network has."""
        infos = []
        for name, tensor in outputs.items():
            stored = self.stored(tensor, identity(len(tensor.shape)))
            self._rename(stored, name)
            infos.append(self._described(name, tensor.shape, tensor.dtype))
        graph = helper.make_graph(
            self._nodes, title, self._inputs, infos, list(self._constants.values()), text
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
            producer_name="slowfast_jax",
        )

    def _described(
        self, name: str, shape: Sequence[int], dtype: np.dtype
    ) -> onnx.ValueInfoProto:
        sizes = ["batch", *shape[1:]] if self.any_batch else shape
        return helper.make_tensor_value_info(name, _code(dtype), sizes)

    def _rename(self, old: str, new: str) -> None:
        """Renames the result of a node; an input or a constant is passed on by a new node."""
        if not any(old in node.output for node in self._nodes):
            self._nodes.append(helper.make_node("Identity", [old], [new], new))
        for node in self._nodes:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    if name == old:
                        names[i] = new

    def _unique(self, name: str) -> str:
        count = self._used[name] = self._used.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"


def _moved(shape: Sequence[int], order: Order) -> tuple[int, ...]:
    """The axes above 1 as stored: if two orders agree on them, a reshape leads to the other."""
    return tuple(axis for axis in order if shape[axis] != 1)


def _code(dtype: np.dtype) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
