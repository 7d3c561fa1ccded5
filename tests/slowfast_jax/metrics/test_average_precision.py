import json

import numpy as np
import pytest

from slowfast_jax.metrics.average_precision import average_precision, mean_average_precision
from tests.support.paths import PARITY, needs_parity


@needs_parity
@pytest.mark.parametrize("case", ["plain", "ties", "constant_scores", "one_class_all_positive"])
def test_equals_scikit_learn_as_the_original_calls_it(case):
    expected = json.loads((PARITY / "eval/meters.json").read_text())[f"get_map_{case}"]
    data = np.load(PARITY / "eval/meters.npz")
    mean, per_class = mean_average_precision(
        data[f"map_{case}_preds"], data[f"map_{case}_labels"]
    )
    assert mean == pytest.approx(expected["map"], abs=1e-12)
    kept = np.flatnonzero(~np.isnan(per_class))
    assert kept.tolist() == expected["classes_kept"]
    np.testing.assert_allclose(
        per_class[kept], expected["per_class_ap_of_classes_with_positives"], atol=1e-12
    )


def test_by_hand():
    # Ranked as true, false, true, false: precision 1 at recall 1/2, then 2/3 at recall 1.
    assert average_precision([0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0]) == pytest.approx((1 + 2 / 3) / 2)


def test_order_of_equal_scores_does_not_matter():
    assert average_precision([0.5, 0.5, 0.1], [1, 0, 0]) == average_precision(
        [0.5, 0.5, 0.1], [0, 1, 0]
    )


def test_without_positives_the_mean_is_zero_and_classes_are_nan():
    mean, per_class = mean_average_precision(np.zeros((4, 3)), np.zeros((4, 3)))
    assert mean == 0.0 and np.isnan(per_class).all()


def test_invalid_input_is_an_error():
    with pytest.raises(ValueError, match=r"\(N, K\)"):
        mean_average_precision(np.zeros((4, 3)), np.zeros(4))
    with pytest.raises(ValueError, match="needs finite scores"):
        average_precision([np.nan, 1.0], [1, 0])
