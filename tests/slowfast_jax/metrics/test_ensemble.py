import json

import numpy as np
import pytest

from slowfast_jax.metrics.average_precision import mean_average_precision
from slowfast_jax.metrics.ensemble import ensemble
from slowfast_jax.metrics.topk import top_k_accuracy
from tests.support.paths import PARITY, needs_parity

VIEWS = 30


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def per_video(view_scores, method):
    return np.stack([ensemble(v, method) for v in view_scores])


@needs_parity
@pytest.mark.parametrize("method", ["sum", "max"])
@pytest.mark.parametrize("scores", ["logits", "softmax"])
def test_single_label_equals_the_original(scores, method):
    expected = json.loads((PARITY / "eval/meters.json").read_text())
    expected = expected[f"multiview_{scores}_{method}"]
    data = np.load(PARITY / "eval/meters.npz")
    views = data["mv_logits"] if scores == "logits" else softmax(data["mv_logits"])
    videos = per_video(views.reshape(20, VIEWS, -1), method)
    original = data[f"mv_preds_{scores}_{method}"]
    if method == "sum":
        np.testing.assert_allclose(videos * VIEWS, original, atol=2e-5)
    else:
        np.testing.assert_allclose(np.maximum(videos, 0), original, atol=1e-6)
    for k, name, correct in zip(
        (1, 5), ("top1_acc", "top5_acc"), expected["correct_top1_top5"], strict=True
    ):
        accuracy = top_k_accuracy(videos, data["mv_labels"], k)
        assert f"{100 * accuracy:.2f}" == expected[name]
        assert accuracy * 20 == pytest.approx(correct)


@needs_parity
def test_multi_label_max_equals_the_original_and_sum_keeps_its_scores():
    expected = json.loads((PARITY / "eval/meters.json").read_text())
    data = np.load(PARITY / "eval/meters.npz")
    views = data["ch_probs"].reshape(25, VIEWS, -1)
    videos = per_video(views, "max")
    np.testing.assert_array_equal(videos, data["ch_video_preds_max"])
    mean, _ = mean_average_precision(videos, data["ch_labels"])
    assert mean == pytest.approx(expected["charades_meter_max"]["map"], abs=1e-12)
    # The original's sum loses all scores in float32 and gives 0.2, the chance level.
    mean, _ = mean_average_precision(per_video(views, "sum"), data["ch_labels"])
    assert mean > 0.5


def test_max_keeps_negative_scores():
    np.testing.assert_array_equal(ensemble([[-3.0, -2.0], [-1.0, -4.0]], "max"), [-1.0, -2.0])


def test_invalid_input_is_an_error():
    with pytest.raises(ValueError, match="sum, max"):
        ensemble(np.zeros((2, 3)), "mean")
    with pytest.raises(ValueError, match="V >= 1"):
        ensemble(np.zeros((0, 3)))
