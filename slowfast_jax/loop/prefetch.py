"""Batches are transferred to the devices while the previous step runs."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from data_pipelines.loading.background import read_ahead
from slowfast_jax.training.sharding import put_batch


def prefetched(source: Iterator[Any], put: Callable[[Any], Any], ahead: int = 1) -> Iterator[Any]:
    """Yields `put(item)` for each item of `source`, computed up to `ahead` items early by a thread.

    At most ahead + 2 are held: the one in use, those in the queue and the next one. Closing the
    iterator closes `source`. Exceptions of `source` and `put` are raised here.
    """

    def items() -> Iterator[Any]:
        try:
            for item in source:
                yield put(item)
        finally:
            getattr(source, "close", lambda: None)()

    return read_ahead([items()], ahead)


def on_devices(
    source: Iterator[dict[str, Any]], mesh: Mesh
) -> Iterator[tuple[dict[str, jax.Array], np.ndarray, list]]:
    """Yields (batch on the devices, indices of this process's examples, unreadable examples)."""

    def put(batch: dict[str, Any]) -> tuple[dict[str, jax.Array], np.ndarray, list]:
        broken, index = batch.pop("broken"), batch.pop("index")
        return put_batch(batch, mesh), index, broken

    return prefetched(source, put)
