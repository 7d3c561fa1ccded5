"""How a training step is spread over devices: clips split along the batch, the rest whole."""

from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def data_mesh() -> Mesh:
    """All devices of all processes in one row, the axis "data"."""
    return Mesh(np.array(jax.devices()), ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on each device: parameters, statistics, the optimiser's state."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """Contiguous examples to each device."""
    return NamedSharding(mesh, PartitionSpec("data"))


def put_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This process's rows of a batch as arrays over the whole mesh. Returns before they are there.

    Raises ValueError where the rows do not split over this process's devices.
    """
    devices = len(mesh.local_devices)
    for name, rows in batch.items():
        if len(rows) % devices:
            raise ValueError(
                f"{name}: a batch of {len(rows)} does not split over {devices} devices; take a "
                f"multiple of {devices} (config.train.batch_size)"
            )
    sharding = over_batch(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, rows)
        for name, rows in batch.items()
    }
