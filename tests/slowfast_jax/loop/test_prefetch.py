import threading
import time

import pytest

from data_pipelines.loading.background import NAME
from slowfast_jax.loop.prefetch import prefetched


class Source:
    """Counts the items taken, and ends or fails after a given number."""

    def __init__(self, items, error=None):
        self.taken, self.closed, self._items, self._error = 0, False, items, error

    def __iter__(self):
        return self

    def __next__(self):
        if self.taken == self._items:
            raise self._error or StopIteration
        self.taken += 1
        return self.taken

    def close(self):
        self.closed = True


def test_items_come_in_order_and_the_source_is_closed():
    source = Source(5)
    assert list(prefetched(source, lambda item: 10 * item)) == [10, 20, 30, 40, 50]
    assert source.closed


def test_one_is_ready_while_another_is_in_use():
    source = Source(100)
    stream = prefetched(source, lambda item: item)
    assert next(stream) == 1
    deadline = time.monotonic() + 10
    while source.taken < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    assert source.taken == 3  # in use, ready, waiting for room
    stream.close()
    assert source.closed and not [t for t in threading.enumerate() if t.name == NAME]


@pytest.mark.parametrize("of_source", [True, False])
def test_errors_reach_the_loop(of_source):
    error = OSError("gone")

    def put(item):
        if not of_source and item == 3:
            raise error
        return item

    stream = prefetched(Source(2 if of_source else 9, error), put)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(OSError, match="gone"):
        next(stream)
