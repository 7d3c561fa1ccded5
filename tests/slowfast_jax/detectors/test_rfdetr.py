"""RF-DETR: the prepared picture, and persons from outputs whose boxes are known."""

import numpy as np

from slowfast_jax.detectors import rfdetr


def test_a_picture_fills_the_input_and_is_normalized():
    picture = np.zeros((50, 100, 3), np.uint8)
    picture[..., 0] = 255
    tensor = rfdetr.prepare(picture, 32, 32)
    assert tensor.shape == (1, 3, 32, 32) and tensor.dtype == np.float32
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    np.testing.assert_allclose(tensor[0].mean((1, 2)), expected, rtol=1e-5)


def test_scores_are_those_of_persons():
    boxes = np.array([[0.5, 0.5, 0.2, 0.4], [0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 1, 1]], np.float32)
    logits = np.full((3, 91), -1000, np.float32)
    logits[0, 1], logits[1, 1], logits[2, 0] = 0.5, 3, 9  # the class 0 means nothing
    found, scores = rfdetr.decode(boxes, logits, 0.5)
    np.testing.assert_allclose(found, [[0, 0, 0.3, 0.3], [0.4, 0.3, 0.6, 0.7]], atol=1e-6)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp([-3, -0.5])), rtol=1e-6)
    assert len(rfdetr.decode(boxes, logits, 0.7).boxes) == 1
    assert found.dtype == scores.dtype == np.float32
