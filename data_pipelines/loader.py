"""Elements in the order of training, read ahead in threads, stacked into batches.

    for batch in batches(len(samples), load, batch_size=64, seed=0, first_step=1200): ...

The batch of a step is a function of (seed, step) alone: element i of an epoch is drawn by a
permutation of (seed, epoch), and its random numbers come from (seed, epoch, i). So a run that is
resumed at a step sees the batches it would have seen, and the only state to keep is the step.
"""

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import grain
import numpy as np

from data_pipelines.video import VideoError

Element = dict[str, Any]
Load = Callable[[int, np.random.Generator | None], Element]
FOREVER = 2**40  # elements: the loop that reads them knows when to stop
SUBSTITUTES = 8  # elements tried in the place of one that cannot be read
logger = logging.getLogger(__name__)


class Examples(NamedTuple):
    """A data set to train on: `size` examples, of which `load` makes arrays and `name` tells which
    it is."""

    size: int
    load: Load
    name: Callable[[int], str]


class Place(NamedTuple):
    """Where an element stands: `index` in the data, and what its random numbers come from."""

    index: int
    seed: tuple[int, ...]


class Order:
    """The sequence of elements of training for one of `processes`, each row of which it can tell.

    An epoch is size // batch_size whole batches of a permutation of its own (what is left over
    comes to its turn in another epoch). Process p of P has rows p * batch_size / P and on of each
    batch.
    """

    def __init__(
        self, size: int, *, batch_size: int, seed: int | tuple[int, ...], first_step: int = 0,
        shuffle: bool = True,
        process: int = 0, processes: int = 1,
    ):
        if batch_size % processes:
            raise ValueError(
                f"a batch of {batch_size} does not split over {processes} processes; take a "
                f"multiple of {processes}"
            )
        if size < batch_size:
            raise ValueError(
                f"there are {size} examples, which do not fill one batch of {batch_size}; take a "
                f"batch size of at most {size}"
            )
        self.steps_per_epoch = size // batch_size
        self.rows = batch_size // processes
        self.size, self._batch_size = size, batch_size
        self._seed = (seed,) if isinstance(seed, int) else tuple(seed)
        self._first_step, self._shuffle, self._process = first_step, shuffle, process

    def __len__(self) -> int:
        return FOREVER

    def __getitem__(self, number: int) -> Place:
        step, row = divmod(number, self.rows)
        epoch, step = divmod(step + self._first_step, self.steps_per_epoch)
        position = step * self._batch_size + self._process * self.rows + row
        index = position
        if self._shuffle:
            index = int(_permutation(self.size, self._seed, epoch)[position])
        return Place(index, (*self._seed, epoch, position))


@lru_cache(maxsize=2)
def _permutation(size: int, seed: tuple[int, ...], epoch: int) -> np.ndarray:
    return np.random.default_rng((*seed, epoch)).permutation(size)


def batches(
    order: Order, load: Load, *, threads: int = 4, ahead: int = 2
) -> Iterator[Element]:
    """Batches of `order` for ever: arrays stacked along a new first axis.

    An element that raises VideoError is replaced by another one, drawn by its own random numbers;
    "broken" of the batch lists (index, reason) of those.

    Args:
      load: (index, generator) -> {name: array}, always of the same shapes.
      threads: that load at once; decoding and NumPy release Python's lock.
      ahead: batches that are kept ready.

    Yields:
      What `load` gives, stacked; "index" (rows,) of the elements; "broken".
    """
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead * order.rows)
    elements = grain.MapDataset.source(order).map(_Loader(load, order.size))
    return iter(elements.to_iter_dataset(options).batch(order.rows, batch_fn=_stack))


class _Loader:
    """`load` of a place, with a substitute where it cannot be read."""

    def __init__(self, load: Load, size: int):
        self._load, self._size = load, size

    def __call__(self, place: Place) -> Element:
        generator = np.random.default_rng(place.seed)
        index, broken = place.index, []
        for _ in range(SUBSTITUTES):
            try:
                element = self._load(index, generator)
                return {**element, "index": index, "broken": broken}
            except VideoError as error:
                broken.append((index, str(error)))
                index = int(generator.integers(self._size))
        raise RuntimeError(
            f"{SUBSTITUTES} examples drawn one after the other cannot be read, so the data is not "
            f"there or is broken; the first: {broken[0][1]}"
        )


def _stack(elements: Sequence[Element]) -> Element:
    batch = {"broken": list(itertools.chain.from_iterable(e.pop("broken") for e in elements))}
    for name in elements[0]:
        batch[name] = np.stack([element[name] for element in elements])
    return batch


def batches_in_order(
    size: int, load: Load, *, batch_size: int, threads: int = 4, ahead: int = 2
) -> Iterator[Element]:
    """All elements once, in batches of one shape each, the last of a shape filled up.

    Elements that follow each other and have the same shapes share a batch. Rows that fill up
    repeat the last element and are False in "mask".

    Yields:
      As `batches`, with "mask" (batch_size,) bool. Elements that raise VideoError are in "broken"
      and nowhere else; a batch may hold nothing but "broken".
    """
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead * batch_size)
    elements = grain.MapDataset.range(size).map(_Reader(load)).to_iter_dataset(options)
    rows, broken = [], []
    for element in elements:
        if "error" in element:
            broken.append((element["index"], element["error"]))
            continue
        if rows and _shapes(rows[0]) != _shapes(element):
            yield _fill(rows, batch_size, broken)
            rows, broken = [], []
        rows.append(element)
        if len(rows) == batch_size:
            yield _fill(rows, batch_size, broken)
            rows, broken = [], []
    if rows:
        yield _fill(rows, batch_size, broken)
    elif broken:
        yield {"broken": broken}


class _Reader:
    """`load` without random numbers; an error comes as an element, to be reported."""

    def __init__(self, load: Load):
        self._load = load

    def __call__(self, index: int) -> Element:
        try:
            return {**self._load(index, None), "index": index}
        except VideoError as error:
            return {"index": index, "error": str(error)}


def _shapes(element: Element) -> list[tuple]:
    return [(name, np.shape(value)) for name, value in element.items()]


def _fill(rows: list[Element], batch_size: int, broken: list) -> Element:
    mask = np.arange(batch_size) < len(rows)
    rows = rows + [rows[-1]] * (batch_size - len(rows))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]} | {
        "mask": mask, "broken": broken,
    }
