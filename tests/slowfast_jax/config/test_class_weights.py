"""config.train.class_weights: numbers, a file or the data; each mistake is one line."""

import numpy as np
import pytest

from slowfast_jax.config import ConfigError, check_training, load_config
from slowfast_jax.config.class_weights import balanced_weights, fixed_weights, weights_of


def config_with(weights, **fields):
    config = load_config("kinetics/mini", train=True)
    with config.unlocked():
        config.update_from_flattened_dict({"train.class_weights": weights, **fields})
    return config


def test_numbers_and_files(tmp_path):
    path = tmp_path / "weights.txt"
    path.write_text("1\n\n2.5\n0\n1e-1\n")
    assert fixed_weights((1, 2.5, 0, 0.1), 4) == fixed_weights((str(path),), 4)
    assert fixed_weights((), 4) is None and fixed_weights(("balanced",), 4) is None


def test_balanced_weights_give_all_classes_the_same_total():
    labels = [[0]] * 6 + [[1]] * 3 + [[2]]
    weights = balanced_weights(labels, 4, several=False)
    assert weights == pytest.approx((10 / 24, 10 / 12, 10 / 4, 1))
    np.testing.assert_allclose(np.array(weights[:3]) * [6, 3, 1], 2.5)


def test_balanced_weights_of_several_classes_balance_each_against_its_absence():
    labels = [(0, 1), (0,), (0, 0), (), (1, 2)]
    assert balanced_weights(labels, 4, several=True) == pytest.approx((2 / 3, 3 / 2, 4, 1))
    labels = [(0,), (0, 1), (0, 1)]  # class 0 has nothing to be balanced against
    assert balanced_weights(labels, 3, several=True) == (1, 0.5, 1)


def test_the_labels_are_only_read_for_balanced_weights():
    assert weights_of(config_with(()), None) is None
    assert weights_of(config_with((1, 2, 3, 4)), None) == (1, 2, 3, 4)
    assert weights_of(config_with(("balanced",)), lambda: [[0], [0], [1], [3]])[0] == 0.5


@pytest.mark.parametrize(("weights", "fields", "message"), [
    ((1.0, 2.0), {}, "has 2 weights, expected one for each of the 4 classes"),
    (("nowhere.txt",), {}, "is nowhere.txt, which is not a file; expected numbers, a file"),
    (("ballanced",), {}, "is ballanced, which is not a file.* or balanced"),
    ((1.0, -1.0, 1.0, 1.0), {}, r"is \(1.0, -1.0, 1.0, 1.0\), expected one number of 0 or more"),
    ((0.0, 0.0, 0.0, 0.0), {}, "expected one number of 0 or more per class"),
    ((1.0, "a", 1.0, 1.0), {}, "expected one number of 0 or more per class"),
    ((1.0, float("nan"), 1.0, 1.0), {}, "expected one number of 0 or more per class"),
    ((1.0, 2.0, 1.0, 1.0), {"train.accumulate": 2}, "accumulate is 2, expected 1"),
])
def test_mistakes(weights, fields, message):
    with pytest.raises(ConfigError, match=message) as error:
        check_training(config_with(weights, **fields))
    assert len(error.value.problems) == 1


@pytest.mark.parametrize(("text", "message"), [
    ("1\n2\nx\n4\n", r"weights\.txt:3 is 'x', expected a number of 0 or more"),
    ("1\n2\n-3\n4\n", r"weights\.txt:3 is '-3'"),
    ("1\n2\n", "has 2 weights"),
    ("0\n0\n0\n0\n", "has only zeros"),
])
def test_mistakes_in_files(tmp_path, text, message):
    path = tmp_path / "weights.txt"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        check_training(config_with((str(path),)))
