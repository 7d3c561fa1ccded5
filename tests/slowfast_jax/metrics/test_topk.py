import json

import numpy as np
import pytest

from slowfast_jax.metrics.topk import (
    label_ranks,
    mean_class_accuracy,
    per_class_accuracy,
    top_k,
    top_k_accuracy,
)
from tests.support.paths import PARITY, needs_parity


@needs_parity
def test_equals_the_original():
    expected = json.loads((PARITY / "eval/meters.json").read_text())["topk"]
    data = np.load(PARITY / "eval/meters.npz")
    scores, labels = data["topk_preds"], data["topk_labels"]
    for k, accuracy, correct in zip(
        (1, 5), expected["accuracies_1_5"], expected["correct"], strict=True
    ):
        ours = top_k_accuracy(scores, labels, k)
        assert ours * len(labels) == pytest.approx(correct)
        assert 100 * ours == pytest.approx(accuracy, abs=1e-4)


def test_ranks_equal_brute_force_with_ties():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (200, 7)) / 4  # plenty of ties
    labels = rng.integers(0, 7, 200)
    ranks = label_ranks(scores, labels)
    for row, label, rank in zip(scores, labels, ranks, strict=True):
        order = sorted(range(7), key=lambda k: (-row[k], k))
        assert order.index(label) == rank
    values, indices = top_k(scores, 3)
    np.testing.assert_array_equal(np.take_along_axis(scores, indices, 1), values)
    np.testing.assert_array_equal((indices == labels[:, None]).any(1), ranks < 3)


def test_ties_go_to_the_lower_class_index():
    scores = np.full((3, 4), 0.25)
    np.testing.assert_array_equal(label_ranks(scores, np.array([0, 1, 3])), [0, 1, 3])
    np.testing.assert_array_equal(top_k(scores, 2)[1], [[0, 1]] * 3)


def test_rows_with_nan_are_wrong_even_if_k_is_the_number_of_classes():
    scores = np.array([[np.nan, 0.5, 0.1], [0.1, 0.5, 0.2]])
    assert top_k_accuracy(scores, np.array([0, 1]), 3) == 0.5


def test_top_k_with_a_large_k_returns_all_classes():
    assert top_k(np.zeros((2, 3)), 5)[1].shape == (2, 3)


def test_mean_class_accuracy_differs_from_accuracy_on_unbalanced_classes():
    labels = np.array([0] * 8 + [1, 1])
    scores = np.tile([0.6, 0.4, 0.0], (10, 1))  # always class 0
    assert top_k_accuracy(scores, labels) == pytest.approx(0.8)
    assert mean_class_accuracy(scores, labels) == pytest.approx(0.5)
    np.testing.assert_array_equal(per_class_accuracy(scores, labels), [1.0, 0.0, np.nan])


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_a_label_outside_the_classes_is_an_error(labels):
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.2"):
        label_ranks(np.zeros((2, 3)), np.array(labels))


def test_invalid_shapes_and_empty_input_are_errors():
    with pytest.raises(ValueError, match=r"\(N, K\)"):
        label_ranks(np.zeros(3), np.zeros(3, int))
    with pytest.raises(ValueError, match="0 examples"):
        top_k_accuracy(np.zeros((0, 3)), np.zeros(0, int))
