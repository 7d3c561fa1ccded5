"""How examples are divided among processes; a single process never waits."""

import pytest

from slowfast_jax import distributed


@pytest.mark.parametrize("count", [1, 2, 3, 8, 13])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 64])
def test_each_example_is_in_one_share(monkeypatch, size, count):
    monkeypatch.setattr(distributed, "count", lambda: count)
    shares = []
    for index in range(count):
        monkeypatch.setattr(distributed, "index", lambda index=index: index)
        shares.append(distributed.share(size))
    assert [number for share in shares for number in share] == list(range(size))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_a_single_process_waits_for_nobody():
    value = object()
    assert distributed.first() and distributed.count() == 1
    assert distributed.gather(value) == [value] and distributed.local_copy(value) is value
    assert distributed.anyone(True) and not distributed.anyone(False)
    vote = distributed.StopVote()
    assert not vote.any(False) and vote.any(True)
    distributed.at("nowhere")
    distributed.alive()
    distributed.barrier("nowhere")
    distributed.fail(ValueError("it goes on"), 1)
    distributed.finish()
