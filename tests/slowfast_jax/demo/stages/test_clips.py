"""Clips out of the most recent frames, by position in time."""

import numpy as np
import pytest

from slowfast_jax.demo.sources.frames import Frame
from slowfast_jax.demo.stages.clips import ClipBuffer


def filled(times, rate=10.0):
    buffer = ClipBuffer(rate, lambda picture: picture[:1, :1])
    for number, time in enumerate(times):
        buffer.push(Frame(time, np.full((2, 2, 3), number, np.uint8)))
    return buffer


def shown(buffer, positions):
    return buffer.clip(positions)[:, 0, 0, 0].tolist()


def test_frames_of_the_rate_are_counted():
    buffer = filled(np.arange(8) / 10 + 1e-9)
    assert buffer.count == 8 and shown(buffer, [0, 3, 3, 7]) == [0, 3, 3, 7]


@pytest.mark.parametrize(("times", "positions"), [
    ([0, 0.1, 0.6, 0.7], [0, 1, 1, 1, 1, 1, 2, 3]),  # a frame is seen until the next one
    (np.arange(6) / 10 + 0.03, [0, 1, 2, 3, 4, 5]),  # a little late
    (np.arange(15) / 20, [0, 2, 4, 6, 8, 10, 12, 14]),  # twice the rate
    (np.arange(4) / 5, [0, 0, 1, 1, 2, 2, 3]),  # half of it
])
def test_other_rates_show_what_is_seen_at_a_time(times, positions):
    buffer = filled(times)
    assert buffer.count == len(positions)
    assert shown(buffer, range(len(positions))) == positions


def test_only_frames_that_are_needed_stay():
    buffer = filled(np.arange(100) / 10)
    assert shown(buffer, [0, 99]) == [0, 99]
    buffer.forget(95.5)
    assert shown(buffer, [95, 99]) == [95, 99] and buffer.count == 100
    assert shown(buffer, [3]) == [95]  # what is left
