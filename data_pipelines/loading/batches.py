"""Batches of training and evaluation, loaded ahead by threads or worker processes.

    order = Order(len(samples), batch_size=64, seed=0, first_step=1200)
    for batch in batches(order, load): ...

The batch of a step depends on (seed, step) alone: a permutation of (seed, epoch) says which example
is number i of an epoch, and its random numbers come from (seed, epoch, i). So a resumed run sees
the batches that it would have seen, however many threads and processes load them, and the step is
the only state to save.

Batches are dicts of arrays with these keys, N being rows and B the boxes of a keyframe:

    clip      uint8 (N,T,H,W,3) RGB
    label     int32 (N,); several labels: float32 (N,K); of boxes: float32 (N,B,K)
    boxes     float32 (N,B,4) x1, y1, x2, y2 in pixels of the clip; detection only
    box_mask  bool (N,B), False where a row has no box; detection only
    index     (N,) numbers of the examples in the data set
    mask      bool (N,), False in rows that pad the last batch; evaluation only
    broken    list of (index, reason) of examples that could not be read
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
AHEAD = 2  # batches loaded in advance
SUBSTITUTES = 8  # examples tried for one row before loading gives up
logger = logging.getLogger(__name__)


class Examples(NamedTuple):
    """A data set to train on.

    size: the number of examples. load: (index, generator) -> dict of arrays; for multigrid training
    it also takes the keyword `shape`, the shape of the step's batch. name: index -> what the
    example is called in messages. clips: clips of one example; if more than one, the arrays of
    `load` have them as first axis.
    """

    size: int
    load: Load
    name: Callable[[int], str]
    clips: int = 1


def always_the_first(examples: Examples) -> Examples:
    """The same number of examples, each a copy of the first one, which is loaded only once."""

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
    """Yields the batches of `order` to its end: arrays stacked along a new first axis.

    An example that raises VideoError is replaced by another one, drawn with the random numbers of
    the first; "broken" of the batch lists it.

    Args:
      load: see Examples; always gives the same shapes. If the order has several batch sizes, one
        `load` for each of them.
      clips: clips of one example, see Examples; all clips of all examples make the first axis of
        the batch.
      threads: the number of threads that load; decoding and NumPy release Python's lock.
      workers: the number of worker processes, each with `threads` threads; for machines on which
        the threads of one process slow each other down. 0 loads in this process. See workers.py.
      ahead: batches loaded in advance.

    Yields:
      The arrays of `load`, stacked, and "index" and "broken"; see the module.

    Raises:
      RuntimeError: SUBSTITUTES examples in a row cannot be read, or a worker process died.
    """
    loads = load if isinstance(load, Sequence) else (load,)
    elements = grain.MapDataset.source(order).map(_Loader(loads, order.size))
    rows = max(order.rows(step) for step in range(len(loads)))
    with closing(_read(elements, threads, workers, ahead * rows)) as stream:
        last = FOREVER if order.last_step is None else order.last_step
        for step in range(order.first_step, last):
            yield stack(list(itertools.islice(stream, order.rows(step))), clips)


def most_held(rows: int, *, threads: int, workers: int, ahead: int = AHEAD) -> int:
    """The largest number of examples in memory at once, both loaded and stacked into a batch."""
    loaded = ahead * rows
    if workers:
        loaded = workers * held_by_worker(-(-loaded // workers), threads)
    return loaded + 2 * rows


def _read(
    elements: grain.MapDataset, threads: int, workers: int, ahead: int
) -> Iterator[Element]:
    """The elements in order, up to `ahead` of them loaded in advance."""
    if not workers:
        options = grain.ReadOptions(min(threads, ahead), ahead)  # more threads would wait
        return iter(elements.to_iter_dataset(options))
    options = grain.ReadOptions(threads, threads)
    return in_processes(elements.to_iter_dataset(options), workers, -(-ahead // workers))


class _Loader:
    """Loads the example of a place, or another one if it cannot be read."""

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
            f"{SUBSTITUTES} examples in a row cannot be read, so the data is missing or broken; "
            f"the first: {broken[0][1]}"
        )


def stack(elements: Sequence[Element], clips: int = 1) -> Element:
    """Stacks elements of `clips` clips each into a batch, see `batches`; pops their "broken"."""
    batch = {"broken": list(itertools.chain.from_iterable(e.pop("broken") for e in elements))}
    for name in elements[0]:
        rows = np.stack([element[name] for element in elements])
        if clips > 1:  # one row for each clip instead of one for each element
            several = name != "index"
            rows = rows.reshape(-1, *rows.shape[2:]) if several else np.repeat(rows, clips)
        batch[name] = rows
    return batch


def batches_in_order(
    size: int, load: Load, *, batch_size: int, threads: int = 4, workers: int = 0,
    ahead: int = AHEAD,
) -> Iterator[Element]:
    """Yields each element once, in order, in batches of `batch_size` rows.

    Successive elements of the same shapes share a batch. A batch with fewer elements is padded with
    copies of the last one, whose "mask" is False.

    Args:
      size: the number of elements.
      load: (index, None) -> dict of arrays.
      threads, workers, ahead: see `batches`.

    Yields:
      The arrays of `load`, stacked, and "index", "mask" and "broken"; see the module. Elements that
      raise VideoError occur in "broken" only; a batch may have no other key.
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
    """Loads without random numbers; a VideoError becomes an element with "error"."""

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
