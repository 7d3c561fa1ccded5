"""The time of each part."""

import pytest

from slowfast_jax.demo import timing as module
from slowfast_jax.demo.timing import Timing


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless a test sets its first item."""
    now = [10.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def test_parts_add_up_and_come_in_the_order_of_the_work(clock):
    timing = Timing()
    for part, seconds in (("encode", 1.0), ("decode", 2.0), ("encode", 0.5)):
        with timing.part(part):
            clock[0] += seconds
    assert list(timing.by_part().items()) == [("decode", 2.0), ("encode", 1.5)]
    assert timing.elapsed() == 3.5
    timing.stop()
    clock[0] += 5
    assert timing.elapsed() == 3.5


def test_only_the_making_of_items_counts(clock):
    def items():
        for number in range(3):
            clock[0] += 1
            yield number

    timing, found = Timing(), []
    for item in timing.each("decode", items()):
        clock[0] += 10
        found.append(item)
    assert found == [0, 1, 2] and timing.seconds == {"decode": 3.0}


def test_a_part_that_fails_counts(clock):
    timing = Timing()
    with pytest.raises(OSError), timing.part("draw"):
        clock[0] += 2
        raise OSError
    assert timing.seconds == {"draw": 2.0}
