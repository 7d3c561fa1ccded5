"""YOLOX: the prepared picture, and persons from outputs whose boxes are known."""

import numpy as np
import pytest

from slowfast_jax.detectors import yolox
from slowfast_jax.detectors.detections import suppress
from tests.support.detector_files import yolox_output

ONE = ((30.0, 20.0, 24.0, 16.0), 0.9)
OTHER = ((70.0, 40.0, 10.0, 30.0), 0.6)


def test_a_picture_is_scaled_in_proportion_and_padded_below():
    picture = np.zeros((50, 100, 3), np.uint8)
    picture[..., 0], picture[..., 2] = 200, 10
    tensor = yolox.prepare(picture, 64, 96)
    assert tensor.shape == (1, 3, 64, 96) and tensor.dtype == np.float32
    assert (tensor[0, :, :48].reshape(3, -1).T == [10, 0, 200]).all()  # BGR
    assert (tensor[0, :, 48:] == 114).all()


@pytest.mark.parametrize("decoded", [False, True])
@pytest.mark.parametrize("height, width", [(64, 96), (416, 416)])
def test_boxes_are_fractions_of_the_picture(height, width, decoded):
    output = yolox_output(height, width, [OTHER, ONE], decoded=decoded)[0]
    assert yolox.is_decoded(output, width) == decoded
    shape = (height, 2 * width, 3)  # scaled by a half, so the lower half of the input is padding
    boxes, scores = yolox.decode(output, height, width, shape, 0.4, decoded=decoded)
    np.testing.assert_allclose(scores, [0.9, 0.6], atol=1e-6)
    corners = np.array([[18, 12, 42, 28], [65, 25, 75, 55]])
    expected = np.clip(corners / [width, height / 2, width, height / 2], 0, 1)
    np.testing.assert_allclose(boxes, expected, atol=1e-5)
    assert boxes.dtype == scores.dtype == np.float32


def test_boxes_below_the_threshold_and_of_other_classes_are_dropped():
    output = yolox_output(64, 96, [ONE, OTHER])[0]
    assert len(yolox.decode(output, 64, 96, (64, 96, 3), 0.7, decoded=False).boxes) == 1
    output[:, 5:] = np.roll(output[:, 5:], 1, axis=1)  # bicycles
    boxes, scores = yolox.decode(output, 64, 96, (64, 96, 3), 0.1, decoded=False)
    assert boxes.shape == (0, 4) and scores.shape == (0,)


def test_the_best_of_overlapping_boxes_remains():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 4], [20, 20, 30, 30]])
    scores = np.array([0.5, 0.9, 0.8, 0.7])
    assert suppress(boxes, scores, 0.45).tolist() == [1, 2, 3]
    assert suppress(boxes, scores, 0.4).tolist() == [1, 3]
    assert suppress(np.zeros((2, 4)), scores[:2], 0.45).tolist() == [1, 0]  # no area


def test_numbers_of_a_wrong_network_give_no_boxes():
    output = yolox_output(64, 96, [ONE, OTHER])[0]
    output[:, 2:4] = 1e9
    assert not len(yolox.decode(output, 64, 96, (64, 96, 3), 0.4, decoded=False).boxes)
    output[:] = np.nan
    assert not len(yolox.decode(output, 64, 96, (64, 96, 3), 0.4, decoded=False).boxes)


def test_very_wide_and_very_high_pictures():
    for shape in [(1, 4000, 3), (4000, 1, 3)]:
        assert yolox.prepare(np.zeros(shape, np.uint8), 64, 96).shape == (1, 3, 64, 96)
