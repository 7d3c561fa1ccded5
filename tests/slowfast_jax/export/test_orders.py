import itertools

import numpy as np
import pytest

from slowfast_jax.export.orders import (
    channels_first,
    identity,
    inserted,
    mergeable_order,
    reshaped_order,
    without,
)

SHAPES = [(2, 3, 4, 5), (2, 12, 5), (6, 4, 5), (2, 3, 20), (24, 5), (2, 1, 3, 4, 5), (1, 24, 5, 1)]


@pytest.mark.parametrize("old, new", itertools.permutations(SHAPES, 2))
def test_reshapes_of_the_stored_form(old, new):
    x = np.arange(120).reshape(old)
    found = 0
    for order in itertools.permutations(range(len(old))):
        result = reshaped_order(old, order, new)
        if result is not None:
            found += 1
            assert sorted(result) == list(range(len(new)))
            stored = x.transpose(order).reshape([new[axis] for axis in result])
            np.testing.assert_array_equal(stored, x.reshape(new).transpose(result))
        near = mergeable_order(old, order, new)
        assert sorted(near) == list(range(len(old)))
        assert reshaped_order(old, near, new) is not None
    assert reshaped_order(old, identity(len(old)), new) is not None
    assert found


def test_a_map_becomes_tokens_without_being_moved():
    order = channels_first(5)
    assert order == (0, 4, 1, 2, 3)
    assert reshaped_order((2, 4, 7, 7, 96), order, (2, 196, 96)) == (0, 2, 1)
    assert reshaped_order((2, 4, 7, 7, 96), order, (2, 4, 7, 7, 3, 32)) == (0, 4, 5, 1, 2, 3)
    # heads and their channels are merged
    assert mergeable_order((2, 7, 3, 32), (0, 2, 1, 3), (2, 7, 96)) == (0, 1, 2, 3)
    # the channels would have to come between the frames and the rows
    assert reshaped_order((2, 4, 7, 7, 96), order, (2, 4, 7, 672)) is None


def test_axes_that_come_and_go():
    assert without((0, 4, 1, 2, 3), (1, 2, 3)) == (0, 1)
    assert without((0, 3, 1, 2), (1,)) == (0, 2, 1)
    assert inserted([0, 4], 5) == (0, 1, 2, 3, 4)
    assert inserted([2, 0], 3) == (2, 0, 1)
