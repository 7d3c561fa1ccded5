"""Parts of the examples, and what a single process does instead of waiting."""

import pytest

from slowfast_jax import processes


@pytest.mark.parametrize("count", [1, 2, 3, 8, 13])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 64])
def test_each_example_is_in_one_share(monkeypatch, size, count):
    monkeypatch.setattr(processes, "count", lambda: count)
    shares = []
    for index in range(count):
        monkeypatch.setattr(processes, "index", lambda index=index: index)
        shares.append(processes.share(size))
    assert [number for share in shares for number in share] == list(range(size))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_a_single_process_waits_for_nobody():
    value = object()
    assert processes.first() and processes.count() == 1
    assert processes.gather(value) == [value] and processes.local_copy(value) is value
    assert processes.anyone(True) and not processes.anyone(False)
    wishes = processes.Wishes()
    assert not wishes.any(False) and wishes.any(True)
    processes.at("nowhere")
    processes.alive()
    processes.barrier("nowhere")
    processes.fail(ValueError("it goes on"), 1)
    processes.finish()
