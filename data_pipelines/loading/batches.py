"""Elements in the order of training, read ahead in threads or processes, stacked into batches.

    for batch in batches(len(samples), load, batch_size=64, seed=0, first_step=1200): ...

The batch of a step is a function of (seed, step) alone: element i of an epoch is drawn by a
permutation of (seed, epoch), and its random numbers come from (seed, epoch, i). So a run that is
resumed at a step sees the batches it would have seen, whatever number of threads and processes
load them, and the only state to keep is the step.
"""

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cache
from typing import Any, NamedTuple

import grain
import numpy as np

from data_pipelines.loading.order import FOREVER, Order, Place
from data_pipelines.loading.workers import held_by_worker, in_processes
from data_pipelines.video.decoding import VideoError

Element = dict[str, Any]
Load = Callable[[int, np.random.Generator | None], Element]
AHEAD = 2  # batches that are kept ready
SUBSTITUTES = 8  # elements tried in the place of one that cannot be read
logger = logging.getLogger(__name__)


class Examples(NamedTuple):
    """A data set to train on: `size` examples, of which `load` makes arrays and `name` tells which
    it is. Each gives `clips` clips; where that is more than one, its arrays begin with that axis.
    """

    size: int
    load: Load
    name: Callable[[int], str]
    clips: int = 1


def always_the_first(examples: Examples) -> Examples:
    """As many examples, each of which is the first one, which each process reads and keeps."""

    @cache
    def first(**changes: Any) -> Element:
        return examples.load(0, np.random.default_rng(0), **changes)

    def load(index: int, generator: np.random.Generator | None, **changes: Any) -> Element:
        return dict(first(**changes))

    return examples._replace(load=load)


def batches(
    order: Order, load: Load | Sequence[Load], *, clips: int = 1, threads: int = 4,
    workers: int = 0, ahead: int = AHEAD,
) -> Iterator[Element]:
    """Batches of `order` to its end: arrays stacked along a new first axis.

    An element that raises VideoError is replaced by another one, drawn by its own random numbers;
    "broken" of the batch lists (index, reason) of those.

    Args:
      load: (index, generator) -> {name: array}, always of the same shapes; one for each of the
        order's batch sizes where it has several.
      clips: of an element, see Examples; those of all elements make one axis of the batch.
      threads: that load at once; decoding and NumPy release Python's lock.
      workers: processes that load, each with so many threads, where threads of one process get in
        each other's way; 0 loads in this one. See workers.py.
      ahead: batches that are kept ready.

    Yields:
      What `load` gives, stacked; "index" (rows,) of the elements of each clip; "broken".

    Raises:
      RuntimeError: elements drawn one after the other cannot be read; a process died.
    """
    loads = load if isinstance(load, Sequence) else (load,)
    elements = grain.MapDataset.source(order).map(_Loader(loads, order.size))
    rows = max(order.rows(step) for step in range(len(loads)))
    with closing(_read(elements, threads, workers, ahead * rows)) as stream:
        last = FOREVER if order.last_step is None else order.last_step
        for step in range(order.first_step, last):
            yield stack(list(itertools.islice(stream, order.rows(step))), clips)


def most_held(rows: int, *, threads: int, workers: int, ahead: int = AHEAD) -> int:
    """The most elements in memory at once: those that are loaded and those stacked to `rows`."""
    loaded = ahead * rows
    if workers:
        loaded = workers * held_by_worker(-(-loaded // workers), threads)
    return loaded + 2 * rows


def _read(
    elements: grain.MapDataset, threads: int, workers: int, ahead: int
) -> Iterator[Element]:
    """The elements in their order, read ahead."""
    if not workers:
        return iter(elements.to_iter_dataset(grain.ReadOptions(threads, ahead)))
    options = grain.ReadOptions(threads, threads)
    return in_processes(elements.to_iter_dataset(options), workers, -(-ahead // workers))


class _Loader:
    """`load` of a place, with a substitute where it cannot be read."""

    def __init__(self, loads: Sequence[Load], size: int):
        self._loads, self._size = loads, size

    def __call__(self, place: Place) -> Element:
        load = self._loads[place.turn]
        generator = np.random.default_rng(place.seed)
        index, broken = place.index, []
        for _ in range(SUBSTITUTES):
            try:
                element = load(index, generator)
                return {**element, "index": index, "broken": broken}
            except VideoError as error:
                broken.append((index, str(error)))
                index = int(generator.integers(self._size))
        raise RuntimeError(
            f"{SUBSTITUTES} examples drawn one after the other cannot be read, so the data is not "
            f"there or is broken; the first: {broken[0][1]}"
        )


def stack(elements: Sequence[Element], clips: int = 1) -> Element:
    """Elements of so many clips each as a batch, see `batches`; takes "broken" out of them."""
    batch = {"broken": list(itertools.chain.from_iterable(e.pop("broken") for e in elements))}
    for name in elements[0]:
        rows = np.stack([element[name] for element in elements])
        if clips > 1:  # rows of clips instead of rows of elements
            several = name != "index"
            rows = rows.reshape(-1, *rows.shape[2:]) if several else np.repeat(rows, clips)
        batch[name] = rows
    return batch


def batches_in_order(
    size: int, load: Load, *, batch_size: int, threads: int = 4, workers: int = 0,
    ahead: int = AHEAD,
) -> Iterator[Element]:
    """All elements once, in batches of one shape each, the last of a shape filled up.

    Elements that follow each other and have the same shapes share a batch. Rows that fill up
    repeat the last element and are False in "mask".

    Yields:
      As `batches`, with "mask" (batch_size,) bool. Elements that raise VideoError are in "broken"
      and nowhere else; a batch may hold nothing but "broken".
    """
    elements = grain.MapDataset.range(size).map(_Reader(load))
    with closing(_read(elements, threads, workers, ahead * batch_size)) as stream:
        yield from _in_order(stream, batch_size)


def _in_order(elements: Iterator[Element], batch_size: int) -> Iterator[Element]:
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
