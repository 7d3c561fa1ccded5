"""Layers with an index, and arrays as pictures."""

import numpy as np
import pytest

from slowfast_jax.config import ConfigError
from slowfast_jax.visualize.indexing import split_index, tiles

KERNEL = ("time", "height", "width", "in", "out")


@pytest.mark.parametrize(("text", "expected"), [
    ("res4", ("res4", ())),
    ("a/kernel[0, :, 1:3]", ("a/kernel", (0, slice(None), slice(1, 3)))),
    ("x[-1, ::2, :4]", ("x", (-1, slice(None, None, 2), slice(None, 4)))),
])
def test_names_and_indices(text, expected):
    assert split_index(text) == expected


@pytest.mark.parametrize("text", ["x[a]", "x[0", "x[0,,1]", "x[__import__('os')]", "x[1.5]"])
def test_anything_else_is_refused(text):
    with pytest.raises(ConfigError, match="no index; expected whole numbers and slices"):
        split_index(text)


def test_kernels_of_colors_are_pictures_in_color():
    kernel = np.arange(2 * 3 * 3 * 3 * 4).reshape(2, 3, 3, 3, 4)
    found = tiles(kernel, KERNEL, (), "k")
    assert found.pictures.shape == (8, 3, 3, 3)
    assert found.captions[:4] == ["out 0, time 0", "out 0, time 1", "out 1, time 0",
                                  "out 1, time 1"]
    assert found.moments == 2
    np.testing.assert_array_equal(found.pictures[3], kernel[1, :, :, :, 1])


def test_an_index_chooses_parts():
    kernel = np.arange(2 * 3 * 3 * 5 * 4).reshape(2, 3, 3, 5, 4)
    found = tiles(kernel, KERNEL, (1, slice(None), slice(None), slice(2, 4), 3), "k")
    assert found.pictures.shape == (2, 3, 3) and found.captions == ["in 0", "in 1"]
    np.testing.assert_array_equal(found.pictures[1], kernel[1, :, :, 3, 3])
    matrix = tiles(kernel, KERNEL, (0, 0, 0), "k")  # no height and width are left
    np.testing.assert_array_equal(matrix.pictures, kernel[None, 0, 0, 0])
    row = tiles(kernel, KERNEL, (0, 0, 0, 0), "k")
    assert row.pictures.shape == (1, 1, 4)


def test_an_index_that_does_not_fit():
    with pytest.raises(ConfigError, match=r"k is 2 x 3 \(time, channel\): .*out of bounds"):
        tiles(np.zeros((2, 3)), ("time", "channel"), (5,), "k")
    with pytest.raises(ConfigError, match="too many indices"):
        tiles(np.zeros((2, 3)), ("time", "channel"), (0, 0, 0), "k")
    with pytest.raises(ConfigError, match="expected a picture"):
        tiles(np.zeros((2, 3)), ("time", "channel"), (slice(2, 2),), "k")
