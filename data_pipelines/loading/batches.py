"""Elements in the order of training, read ahead in threads or processes, stacked into batches.

    for batch in batches(len(samples), load, batch_size=64, seed=0, first_step=1200): ...

The batch of a step is a function of (seed, step) alone: element i of an epoch is drawn by a
permutation of (seed, epoch), and its random numbers come from (seed, epoch, i). So a run that is
resumed at a step sees the batches it would have seen, whatever number of threads and processes
load them, and the only state to keep is the step.
"""

import bisect
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cache, lru_cache
from typing import Any, NamedTuple

import grain
import numpy as np

from data_pipelines.loading.workers import held_by_worker, in_processes
from data_pipelines.video.decoding import VideoError

Element = dict[str, Any]
Load = Callable[[int, np.random.Generator | None], Element]
FOREVER = 2**40  # elements, or steps: who reads them knows when to stop
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


class Place(NamedTuple):
    """Where an element stands: `index` in the data, what its random numbers come from, and which
    of the order's batch sizes its batch has."""

    index: int
    seed: tuple[int, ...]
    turn: int


class Order:
    """The sequence of elements of training for one of `processes`, each row of which it can tell.

    An epoch is as many whole batches of a permutation of its own as there are (what is left over
    comes to its turn in another epoch). Process p of P has rows p * batch_size / P and on of each
    batch.

    Args:
      batch_size: of all processes. Several sizes take turns, the first of them in the first step
        of every epoch (the short cycle of multigrid training).
      first_step: steps that were made before.
      first_position: elements of epoch 0 that were seen before its first step: where the run goes
        on that changes its batch sizes within an epoch (`position` of the order before).
      first_epoch: the number of the epoch in which the steps begin to count, where they go on from
        an order with other batch sizes: no epoch of the two has the same permutation.
      last_step: where the order ends, counted as `first_step` is; None: never.
    """

    def __init__(
        self, size: int, *, batch_size: int | Sequence[int], seed: int | tuple[int, ...],
        first_step: int = 0, first_position: int = 0, first_epoch: int = 0,
        last_step: int | None = None, shuffle: bool = True, process: int = 0, processes: int = 1,
    ):
        sizes = (batch_size,) if isinstance(batch_size, int) else tuple(batch_size)
        for one in sizes:
            if one % processes:
                raise ValueError(
                    f"a batch of {one} does not split over {processes} processes; take a multiple "
                    f"of {processes}"
                )
        if size < max(sizes):
            raise ValueError(
                f"there are {size} examples, which do not fill one batch of {max(sizes)}; take a "
                f"batch size of at most {size}"
            )
        self.size, self._sizes, self._starts = size, sizes, (0, *itertools.accumulate(sizes))
        self._seed = (seed,) if isinstance(seed, int) else tuple(seed)
        self._shuffle, self._process, self._processes = shuffle, process, processes
        self.first_step, self.last_step = first_step, last_step
        self._first_position, self._first_epoch = first_position, first_epoch
        self._steps0 = self._whole_batches(size - first_position)
        self.steps_per_epoch = self._whole_batches(size)

    def _whole_batches(self, elements: int) -> int:
        cycles, rest = divmod(elements, self._starts[-1])
        return cycles * len(self._sizes) + sum(start <= rest for start in self._starts[1:])

    def _within(self, steps: int) -> int:
        """Elements of the first steps of an epoch."""
        cycles, turn = divmod(steps, len(self._sizes))
        return cycles * self._starts[-1] + self._starts[turn]

    def position(self, step: int) -> tuple[int, int]:
        """(epoch, elements of it seen before) of a step, counted as `first_step` is; `first_epoch`
        is 0 here."""
        if step < self._steps0:
            return 0, self._first_position + self._within(step)
        epoch, step = divmod(step - self._steps0, self.steps_per_epoch)
        return epoch + 1, self._within(step)

    def turn(self, step: int) -> int:
        """Which of the batch sizes a step has."""
        if step >= self._steps0:
            step = (step - self._steps0) % self.steps_per_epoch
        return step % len(self._sizes)

    def rows(self, step: int) -> int:
        """Rows of this process in the batch of a step."""
        return self._sizes[self.turn(step)] // self._processes

    def __len__(self) -> int:
        if self.last_step is None:
            return FOREVER
        return (self._before(self.last_step) - self._before(self.first_step)) // self._processes

    def _before(self, step: int) -> int:
        """Elements of all epochs before a step."""
        epoch, seen = self.position(step)
        if epoch:
            whole = self._within(self.steps_per_epoch)
            seen += self._first_position + self._within(self._steps0) + (epoch - 1) * whole
        return seen

    def __getitem__(self, number: int) -> Place:
        """Element `number` of this process, counted from its first row of `first_step` on."""
        epoch, seen = self.position(self.first_step)
        seen += number * self._processes
        ends = self._first_position + self._within(self._steps0), self._within(self.steps_per_epoch)
        if epoch == 0 and seen >= ends[0]:
            epoch, seen = 1, seen - ends[0]
        if epoch:
            epoch, seen = epoch + seen // ends[1], seen % ends[1]
        before = self._first_position if epoch == 0 else 0
        cycles, rest = divmod(seen - before, self._starts[-1])
        turn = bisect.bisect_right(self._starts, rest) - 1
        row = (rest - self._starts[turn]) // self._processes
        position = before + cycles * self._starts[-1] + self._starts[turn] + row
        position += self._process * (self._sizes[turn] // self._processes)
        epoch += self._first_epoch
        index = position
        if self._shuffle:
            index = int(_permutation(self.size, self._seed, epoch)[position])
        return Place(index, (*self._seed, epoch, position), turn)


@lru_cache(maxsize=2)
def _permutation(size: int, seed: tuple[int, ...], epoch: int) -> np.ndarray:
    return np.random.default_rng((*seed, epoch)).permutation(size)


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
