import threading
import time

import pytest

from data_pipelines.loading.background import NAME, read_ahead


def running():
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def test_each_item_of_every_source_comes_once():
    assert list(read_ahead([])) == []
    assert list(read_ahead([iter("abc")])) == ["a", "b", "c"]
    found = list(read_ahead([range(0, 50), range(50, 80), range(80, 80)], ahead=3))
    assert sorted(found) == list(range(80)) and not running()
    assert [n for n in found if n < 50] == list(range(50))


def test_threads_wait_when_the_queue_is_full():
    made, closed = [], []

    def source(name):
        try:
            for number in range(100):
                made.append((name, number))
                yield number
        finally:
            closed.append(name)

    stream = read_ahead([source("a"), source("b")], ahead=4)
    next(stream)
    deadline = time.monotonic() + 10
    while len(made) < 7 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    assert len(made) == 1 + 4 + 2  # in use, queued, waiting in each thread
    stream.close()
    assert sorted(closed) == ["a", "b"] and not running()


def test_an_exception_in_one_source_ends_all():
    def fails():
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        for _ in read_ahead([fails(), iter(lambda: 2, 3)]):
            pass
    assert not running()
