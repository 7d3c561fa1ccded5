import numpy as np
import pytest

from data_pipelines.loading.batches import batches, batches_in_order
from data_pipelines.loading.order import Order
from data_pipelines.video.decoding import VideoError


def load(index, generator):
    draw = -1.0 if generator is None else generator.random()
    return {"clip": np.full((2, 3), index, np.uint8), "draw": np.float64(draw)}


def take(order, count, load=load, **options):
    stream = batches(order, load, **options)
    return [next(stream) for _ in range(count)]


def same(a, b):
    return all(
        x.keys() == y.keys() and all(np.array_equal(x[k], y[k]) for k in x)
        for x, y in zip(a, b, strict=True)
    )


def test_an_epoch_has_each_element_at_most_once_and_epochs_differ():
    got = take(Order(10, batch_size=3, seed=0), 6)
    epochs = [np.concatenate([b["index"] for b in got[i:i + 3]]) for i in (0, 3)]
    for epoch in epochs:
        assert len(set(epoch)) == 9 and set(epoch) <= set(range(10))
    assert list(epochs[0]) != list(epochs[1])
    assert got[0]["clip"].shape == (3, 2, 3) and (got[0]["clip"][:, 0, 0] == got[0]["index"]).all()


def test_a_resumed_run_has_the_same_batches():
    whole = take(Order(10, batch_size=2, seed=3), 12)
    for first in (1, 5, 9):
        resumed = take(Order(10, batch_size=2, seed=3, first_step=first), 3, threads=2)
        assert same(resumed, whole[first:first + 3])
    assert not same(take(Order(10, batch_size=2, seed=4), 3), whole[:3])


def test_processes_share_the_rows_of_each_batch():
    whole = take(Order(12, batch_size=4, seed=1), 6)
    parts = [take(Order(12, batch_size=4, seed=1, process=p, processes=2), 6) for p in (0, 1)]
    for step, batch in enumerate(whole):
        for name in ("index", "clip", "draw"):
            joined = np.concatenate([part[step][name] for part in parts])
            np.testing.assert_array_equal(joined, batch[name])


def test_broken_elements_are_replaced_and_reported():
    def some_broken(index, generator):
        if index % 3 == 0:
            raise VideoError(f"{index}.mp4", "is broken")
        return load(index, generator)

    order = Order(9, batch_size=3, seed=0)
    got = take(order, 3, some_broken)
    assert all(b["index"].shape == (3,) and (b["index"] % 3 != 0).all() for b in got)
    named = {index for b in got for index, _ in b["broken"]}
    assert named >= {0, 3, 6} and "0.mp4: is broken" in {r for b in got for _, r in b["broken"]}
    assert same(got, take(order, 3, some_broken))


def test_missing_data_raises():
    def none(index, generator):
        raise VideoError(f"{index}.mp4", "no such file")

    with pytest.raises(RuntimeError, match="no such file"):
        take(Order(9, batch_size=3, seed=0), 1, none)


def test_batch_sizes_alternate():
    order = Order(22, batch_size=(8, 4, 2), seed=7)
    assert order.steps_per_epoch == 4  # 8 + 4 + 2 + 8
    got = take(order, 8, [lambda i, g, t=t: {**load(i, g), "turn": t} for t in range(3)])
    assert [len(b["index"]) for b in got] == [8, 4, 2, 8] * 2
    assert [set(b["turn"]) for b in got] == [{0}, {1}, {2}, {0}] * 2
    for epoch in (got[:4], got[4:]):
        assert len(set(np.concatenate([b["index"] for b in epoch]))) == 22
    for first in (2, 5):
        resumed = take(Order(22, batch_size=(8, 4, 2), seed=7, first_step=first), 3, [load] * 3)
        for ours, theirs in zip(resumed, got[first:first + 3], strict=True):
            np.testing.assert_array_equal(ours["draw"], theirs["draw"])
    halves = [
        take(Order(22, batch_size=(8, 4, 2), seed=7, process=p, processes=2), 8, [load] * 3)
        for p in (0, 1)
    ]
    for step, batch in enumerate(got):
        joined = np.concatenate([half[step]["draw"] for half in halves])
        np.testing.assert_array_equal(joined, batch["draw"])


def test_an_order_ends_at_its_last_step():
    for first in (0, 2, 7):
        for processes in (1, 2):
            order = Order(
                22, batch_size=(8, 4, 2), seed=7, first_step=first, last_step=9,
                processes=processes,
            )
            got = list(batches(order, [load] * 3))
            assert len(got) == 9 - first and sum(len(b["index"]) for b in got) == len(order)


def test_an_order_can_begin_at_a_later_epoch():
    """Random numbers depend only on epoch and position, not on batch sizes."""
    whole = take(Order(10, batch_size=5, seed=3), 8)
    later = take(Order(10, batch_size=(2, 3), seed=3, first_epoch=2), 8, [load] * 2)
    for name in ("index", "draw"):
        np.testing.assert_array_equal(
            np.concatenate([b[name] for b in later]), np.concatenate([b[name] for b in whole[4:]])
        )


@pytest.mark.parametrize(("size", "batch", "processes", "message"), [
    (3, 4, 1, "3 examples do not fill one batch of 4"),
    (8, 4, 3, "batch of 4 cannot be split over 3 processes"),
])
def test_invalid_batch_sizes(size, batch, processes, message):
    with pytest.raises(ValueError, match=message):
        Order(size, batch_size=batch, seed=0, processes=processes)


def test_evaluation_reads_everything_once_and_pads():
    got = list(batches_in_order(5, load, batch_size=2))
    assert [list(b["index"]) for b in got] == [[0, 1], [2, 3], [4, 4]]
    assert [list(b["mask"]) for b in got] == [[True, True], [True, True], [True, False]]
    assert (got[0]["draw"] == -1).all()


def test_evaluation_batches_by_shape_and_reports_broken_elements():
    def shapes(index, generator):
        if index in (1, 5):
            raise VideoError(f"{index}.mp4", "is broken")
        return {"clip": np.zeros((2 if index < 3 else 4,))}

    got = list(batches_in_order(6, shapes, batch_size=2))
    assert [list(b["index"]) for b in got if "index" in b] == [[0, 2], [3, 4]]
    assert [index for b in got for index, _ in b["broken"]] == [1, 5]
