"""Clips of several requests run in batches of fixed sizes; each request gets its own scores."""

import threading
import time
from concurrent.futures import CancelledError

import numpy as np
import pytest

from slowfast_jax.serve.batcher import Batcher


class Network:
    """Scores a clip by its first pixel; waits in each batch while `gate` is closed."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()
        self.error = None

    def __call__(self, clips):
        self.gate.wait(10)
        self.batches.append(len(clips))
        if self.error:
            error, self.error = self.error, None
            raise error
        return clips[:, 0, 0, 0, :1].astype(np.float32)


def clips(*values):
    return np.array(values, np.uint8)[:, None, None, None, None].repeat(3, -1)


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def batcher(network):
    batcher = Batcher(network, [4, 1])
    batcher.start([(clips(0),)])
    network.batches.clear()
    yield batcher
    network.gate.set()
    batcher.close()


def gathered(network, batcher, *requests):
    """Submits the requests while a first one keeps the network busy."""
    network.gate.clear()
    first = batcher.submit(clips(0))
    while batcher._waiting:  # until the first is taken
        time.sleep(0.001)
    futures = [batcher.submit(one) for one in requests]
    return first, futures


def test_all_sizes_are_compiled_before_the_first_request(network):
    batcher = Batcher(network, [8, 2])
    batcher.start([(clips(0),)])
    assert network.batches == [2, 8]
    batcher.close()


def test_requests_share_batches(network, batcher):
    _, futures = gathered(network, batcher, clips(1, 2), clips(3), clips(4, 5, 6))
    network.gate.set()
    assert [f.result(10)[:, 0].tolist() for f in futures] == [[1, 2], [3], [4, 5, 6]]
    assert network.batches == [1, 4, 4]  # 0; 1 2 3 4; 5 6 and padding


def test_a_request_may_fill_several_batches(network, batcher):
    values = list(range(11))
    assert batcher.submit(clips(*values)).result(10)[:, 0].tolist() == values
    assert network.batches == [4, 4, 4]


def test_a_cancelled_request_is_not_run(network, batcher):
    first, (cancelled, other) = gathered(network, batcher, clips(*range(9)), clips(7))
    cancelled.cancel()
    network.gate.set()
    assert other.result(10)[0, 0] == 7 and first.result(10)[0, 0] == 0
    with pytest.raises(CancelledError):
        cancelled.result(0)
    assert network.batches == [1, 1]


def test_an_error_reaches_those_of_the_batch_and_no_others(network, batcher):
    network.error = MemoryError("too large")
    with pytest.raises(MemoryError, match="too large"):
        batcher.submit(clips(*range(9))).result(10)
    assert batcher.submit(clips(3)).result(10)[0, 0] == 3


def test_closing_finishes_what_was_submitted(network, batcher):
    _, futures = gathered(network, batcher, clips(1), clips(2, 3))
    closing = threading.Thread(target=batcher.close)
    closing.start()
    network.gate.set()
    closing.join(10)
    assert [f.result(0)[:, 0].tolist() for f in futures] == [[1], [2, 3]]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(clips(1))


def test_batches_are_observed(network):
    seen = []
    batcher = Batcher(network, [4], lambda count, size: seen.append((count, size)))
    batcher.start([(clips(0),)])
    batcher.submit(clips(1, 2, 3)).result(10)
    batcher.close()
    assert seen == [(3, 4)]


def test_clips_of_another_shape_are_in_another_batch(network, batcher):
    def wide(*values):
        return clips(*values).repeat(2, axis=3)

    _, futures = gathered(network, batcher, clips(1), wide(2), clips(3), wide(4, 5))
    network.gate.set()
    assert [f.result(10)[:, 0].tolist() for f in futures] == [[1], [2], [3], [4, 5]]
    assert network.batches == [1, 4, 4]  # 0; 1 3; 2 4 5


def test_boxes_go_with_their_clips():
    batcher = Batcher(lambda clips, boxes: boxes + clips[:, 0, 0, 0, :1, None], [4])
    batcher.start([(clips(0), np.zeros((1, 2, 4)))])
    futures = [
        batcher.submit(clips(*values), np.float32(values).repeat(8).reshape(-1, 2, 4))
        for values in ([1, 2], [3])
    ]
    assert [f.result(10)[:, 1, 3].tolist() for f in futures] == [[2, 4], [6]]
    batcher.close()
