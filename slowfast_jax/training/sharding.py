"""How a training step is spread over devices: a mesh with the axes data, fsdp and spatial.

The clips of a batch are split along `data` and `fsdp`, their height along `spatial`; the compiler
adds the rows that a convolution needs from its neighbors. Parameters and the optimizer's state
are sharded along `fsdp` and gathered for the step, as in ZeRO
(https://arxiv.org/abs/1910.02054); along the other axes they are replicated.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXES = ("data", "fsdp", "spatial")
BATCH = ("data", "fsdp")
# Smaller arrays are replicated along `fsdp`: they are many, but take little memory together.
LEAST_SPLIT = 4096  # elements
CLIP_DIMENSIONS = 5  # (N, T, H, W, C), of clips and of feature maps

Tree = Any


def make_mesh(
    data: int = -1, fsdp: int = 1, spatial: int = 1, *, devices: Sequence[Any] | None = None
) -> Mesh:
    """The mesh (data, fsdp, spatial) of `devices`, by default all devices of all processes.

    An axis of size -1 takes all remaining devices.

    The devices of a process are adjacent, so that it loads adjacent rows of the batch.

    Raises ValueError, naming the field, if the sizes do not fit the devices or a process would hold
    only part of a clip's height.
    """
    devices = list(jax.devices() if devices is None else devices)
    sizes = {"data": data, "fsdp": fsdp, "spatial": spatial}
    for name, size in sizes.items():
        if size < 1 and size != -1:
            raise ValueError(f"mesh.{name} is {size}, expected 1 or more, or -1 (all remaining)")
    open_axes = [name for name, size in sizes.items() if size == -1]
    if len(open_axes) > 1:
        raise ValueError(f"mesh.{' and mesh.'.join(open_axes)} are -1, expected at most one")
    taken = int(np.prod([size for size in sizes.values() if size != -1]))
    if len(devices) % taken or (not open_axes and taken != len(devices)):
        product = " x ".join(f"{name} {size}" for name, size in sizes.items() if size != -1)
        raise ValueError(
            f"mesh: {product} makes {taken}, which does not fit {len(devices)} devices; set one "
            "axis to -1 and the others to sizes whose product divides the number of devices"
        )
    shape = [len(devices) // taken if size == -1 else size for size in sizes.values()]
    local = sum(device.process_index == devices[0].process_index for device in devices)
    if local % shape[2]:
        raise ValueError(
            f"mesh.spatial is {shape[2]}, expected a divisor of {local}, the number of devices per "
            "process, because each process loads whole clips"
        )
    return Mesh(np.array(devices).reshape(shape), AXES)


def replicated(mesh: Mesh) -> NamedSharding:
    """Sharding with a copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh, shape: Sequence[int] = ()) -> NamedSharding:
    """Sharding of a batch: contiguous examples and, for clips of this `shape`, contiguous rows."""
    if len(shape) == CLIP_DIMENSIONS and shape[2] % mesh.shape["spatial"] == 0:
        return NamedSharding(mesh, PartitionSpec(BATCH, None, "spatial"))
    return NamedSharding(mesh, PartitionSpec(BATCH))


def row_shards(mesh: Mesh) -> int:
    """Number of parts that the examples of a batch are split into."""
    return mesh.shape["data"] * mesh.shape["fsdp"]


def state_shardings(tree: Tree, mesh: Mesh) -> Tree:
    """Shardings of parameters, statistics or optimizer state.

    An array is split along `fsdp` in its largest divisible dimension, if it has one and is not
    small; otherwise it is replicated.
    """
    size = mesh.shape["fsdp"]

    def of(leaf: Any) -> NamedSharding:
        sides = [side if side % size == 0 else 0 for side in leaf.shape]
        if size == 1 or np.prod(leaf.shape, dtype=int) < LEAST_SPLIT or not any(sides):
            return replicated(mesh)
        largest = int(np.argmax(sides))
        return NamedSharding(mesh, PartitionSpec(*(None,) * largest, "fsdp"))

    return jax.tree.map(of, tree)


def put_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Makes global arrays from this process's part of a batch. The transfer is asynchronous.

    Raises ValueError if the rows cannot be split over this process's devices, or the height of the
    clips along `spatial`.
    """
    spatial = mesh.shape["spatial"]
    devices = len(mesh.local_devices) // spatial
    for name, rows in batch.items():
        if len(rows) % devices:
            raise ValueError(
                f"{name}: a batch of {len(rows)} cannot be split over {devices} devices; use a "
                f"multiple of {devices} (config.train.batch_size)"
            )
        if rows.ndim == CLIP_DIMENSIONS and rows.shape[2] % spatial:
            raise ValueError(
                f"{name}: {rows.shape[2]} rows of pixels cannot be split over {spatial} devices; "
                f"use a crop that is a multiple of {spatial}, or another config.mesh.spatial"
            )
    return {
        name: jax.make_array_from_process_local_data(over_batch(mesh, rows.shape), rows)
        for name, rows in batch.items()
    }


def gathered(tree: Tree, mesh: Mesh) -> Tree:
    """Gathers arrays that are sharded along `fsdp`; also works within a jitted function."""
    if mesh.shape["fsdp"] == 1:
        return tree
    return jax.lax.with_sharding_constraint(tree, replicated(mesh))


@contextmanager
def spread_maps(mesh: Mesh) -> Iterator[None]:
    """Feature maps of networks traced in this context are sharded like their clips."""
    constrain: Callable = partial(_constrained, mesh=mesh)
    with nn.intercept_methods(constrain):
        yield


def _constrained(call: Callable, args: tuple, kwargs: dict, context: Any, *, mesh: Mesh) -> Any:
    y = call(*args, **kwargs)
    if mesh.size == 1 or not isinstance(y, jax.Array) or y.ndim != CLIP_DIMENSIONS:
        return y
    if y.shape[0] % row_shards(mesh):
        return y
    return jax.lax.with_sharding_constraint(y, over_batch(mesh, y.shape))
