"""Losses: PyTorch's values and gradients, masks, saturated probabilities, half precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.training.losses import LOSSES, bce, bce_logits, bce_positive_rows, cross_entropy
from tests.slowfast_jax.models import cases
from tests.slowfast_jax.training.test_optim import randn
from tests.support.paths import needs_parity

LABELS = jnp.asarray([0, 4, 2, 2, 1, 3])
# Recorded case -> our loss and the recorded array of its targets; None: LABELS.
RECORDED = {
    "cross_entropy": ("cross_entropy", None),
    "bce_on_sigmoid": ("bce", "multi_labels"),
    "bce_logit": ("bce_logits", "multi_labels"),
    "soft_cross_entropy_1_0": ("soft_cross_entropy", "soft_target_1_0"),
    "soft_cross_entropy_1_0.1": ("soft_cross_entropy", "soft_target_1_0.1"),
    "soft_cross_entropy_0.3_0.1": ("soft_cross_entropy", "soft_target_0.3_0.1"),
    "soft_cross_entropy_0.3_0": ("soft_cross_entropy", "soft_target_0.3_0"),
    "soft_cross_entropy_unnormalised_targets": ("soft_cross_entropy", "multi_labels"),
    "soft_cross_entropy_hard_labels": ("soft_cross_entropy", None),
    "mse": ("mse", "target"),
}


@needs_parity
@pytest.mark.parametrize("case", RECORDED)
def test_values_and_gradients(case):
    values = cases.manifest("train", "losses_bn_opt")
    arrays = cases.outputs("train", "losses_bn_opt") | {"target": randn("loss/target", 6, 5)}
    name, targets = RECORDED[case]
    targets = LABELS if targets is None else jnp.asarray(arrays[targets])
    loss, gradient = jax.value_and_grad(LOSSES[name])(jnp.asarray(arrays["logits"]), targets)
    assert float(loss) == pytest.approx(values[case], rel=3e-7)
    np.testing.assert_allclose(gradient, arrays[f"{case}_grad"], rtol=3e-6, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_masked_rows_are_ignored(name):
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.standard_normal((2, 4, 5)), jnp.float32)
    targets = rng.random((2, 4, 5)).astype(np.float32)
    if name == "cross_entropy":
        targets = targets.argmax(-1)
    mask = jnp.asarray([[True, True, False, False], [True, False, False, False]])
    masked, gradient = jax.value_and_grad(LOSSES[name])(logits, targets, mask)
    kept = np.asarray(mask)
    assert float(masked) == pytest.approx(float(LOSSES[name](logits[kept], targets[kept])))
    assert not gradient[~kept].any() and gradient[kept].all()
    assert LOSSES[name](logits, targets, jnp.zeros_like(mask)) == 0


def test_three_losses_of_boxes_on_one_batch():
    """PySlowFast's on all boxes, MindSpore's on padded boxes, PaddleVideo's on boxes with a class.

    PaddleVideo's drops the background, which is the first of its 81 columns (here, of 3).
    """
    probs = np.array([[[0.1, 0.75, 0.5], [0.9, 0.5, 0.25]], [[0.2, 0.2, 0.6], [0.3, 0.99, 0.01]]])
    targets = np.array([[[0, 1, 0], [1, 0, 0]], [[1, 0, 1], [0, 0, 1]]], np.float32)
    mask = np.array([[True, True], [True, False]])
    first, second, third = (
        -np.log([0.75, 1 - 0.5]), -np.log([1 - 0.5, 1 - 0.25]), -np.log([1 - 0.2, 0.6])
    )
    boxes = np.array([first, second, third])  # the last row of the batch is padding
    logits = np.log(probs / (1 - probs))[..., 1:]
    targets = targets[..., 1:]

    logits, unpadded = jnp.asarray(logits), jnp.asarray(logits[mask])
    assert bce(unpadded, targets[mask]) == pytest.approx(boxes.mean(), rel=1e-6)
    padded = np.stack([[first, second], [third, [123.0, 456.0]]])
    by_hand = (padded * mask[..., None]).sum() / mask.sum() / 2
    assert bce(logits, targets, mask) == pytest.approx(by_hand, rel=1e-6)
    positive = (first + third).sum() / 4
    assert bce_positive_rows(unpadded, targets[mask]) == pytest.approx(positive, rel=1e-6)
    assert bce_positive_rows(logits, targets, mask) == pytest.approx(positive, rel=1e-6)


def test_rows_without_a_class_have_no_gradient():
    logits, targets = jnp.asarray([[1.0, -2.0], [3.0, 0.5]]), jnp.asarray([[0.0, 1.0], [0.0, 0.0]])
    gradient = jax.grad(bce_positive_rows)(logits, targets)
    np.testing.assert_array_equal(gradient[0], jax.grad(bce_logits)(logits[:1], targets[:1])[0])
    assert not gradient[1].any()
    value, gradient = jax.value_and_grad(bce_positive_rows)(logits, jnp.zeros((2, 2)))
    assert value == 0 and not gradient.any()


def test_focal_loss():
    """MMAction2's: `alpha * (1 - exp(-loss)) ** gamma * loss` of every element, then the mean."""
    logits, targets = jnp.asarray([[1.0, -2.0], [3.0, 0.5]]), jnp.asarray([[0.0, 1.0], [0.0, 0.0]])
    plain = np.log1p(np.exp([1.0, 2.0]))
    focal = 3 * (1 - np.exp(-plain)) ** 2 * plain
    found = bce_positive_rows(logits, targets, focal=(3.0, 2.0))
    assert found == pytest.approx(focal.mean(), rel=1e-6)
    plain = bce_positive_rows(logits, targets)
    assert bce_positive_rows(logits, targets, focal=(1.0, 0.0)) == plain
    gradient = jax.grad(lambda x: bce_positive_rows(x, targets, focal=(1.0, 1.0)))(
        jnp.asarray([[-90.0, 90.0], [0.0, 0.0]])
    )
    assert np.isfinite(gradient).all()


def test_bce_keeps_its_gradient_where_the_probability_is_exactly_one():
    assert jax.nn.sigmoid(jnp.float32(20)) == 1
    loss, gradient = jax.value_and_grad(bce)(jnp.asarray([[20.0, -20.0]]), jnp.asarray([[0, 1.0]]))
    assert float(loss) == pytest.approx(20, rel=1e-6)
    np.testing.assert_allclose(gradient, [[0.5, -0.5]], rtol=1e-6)


def test_bce_is_at_most_100():
    logits, targets = jnp.asarray([[300.0, -300.0]]), jnp.asarray([[0.0, 1.0]])
    assert bce(logits, targets) == 100
    assert bce_logits(logits, targets) == 300


def test_half_precision_logits_give_a_float32_loss():
    logits = jnp.asarray([[3.0, -1.0, 0.25]], jnp.bfloat16)
    loss, gradient = jax.value_and_grad(cross_entropy)(logits, jnp.asarray([1]))
    assert loss.dtype == jnp.float32 and gradient.dtype == jnp.bfloat16
    assert loss == cross_entropy(logits.astype(jnp.float32), jnp.asarray([1]))


WEIGHTS = np.array([0.5, 2.0, 1.0, 0.0, 3.0], np.float32)
TORCH_LOSSES = {
    "cross_entropy": lambda nn, weights: nn.CrossEntropyLoss(weight=weights),
    "soft_cross_entropy": lambda nn, weights: nn.CrossEntropyLoss(weight=weights),
    "bce_logits": lambda nn, weights: nn.BCEWithLogitsLoss(pos_weight=weights),
    "bce": lambda nn, weights: nn.BCEWithLogitsLoss(pos_weight=weights),
    "bce_positive_rows": lambda nn, weights: nn.BCEWithLogitsLoss(pos_weight=weights),
}


def logits_and_targets(name):
    rng = np.random.default_rng(3)
    logits, targets = rng.standard_normal((6, 5)), rng.random((6, 5)).astype(np.float32)
    if name.startswith("bce"):
        targets = (targets > 0.6).astype(np.float32)
        targets[:, 0] = 1  # every row has a class
    return logits.astype(np.float32), LABELS if name == "cross_entropy" else targets


@pytest.mark.parametrize("name", TORCH_LOSSES)
def test_class_weights_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    logits, targets = logits_and_targets(name)
    theirs = torch.tensor(logits, requires_grad=True)
    labels = np.array(targets)
    loss = TORCH_LOSSES[name](torch.nn, torch.tensor(WEIGHTS))(
        theirs, torch.tensor(labels.astype(np.int64) if labels.ndim == 1 else labels)
    )
    loss.backward()
    value, gradient = jax.value_and_grad(LOSSES[name])(
        jnp.asarray(logits), targets, weights=tuple(WEIGHTS.tolist())
    )
    assert float(value) == pytest.approx(loss.item(), rel=1e-6)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=3e-5, atol=1e-7)


@pytest.mark.parametrize("name", TORCH_LOSSES)
def test_weighted_losses_of_masked_rows(name):
    logits, targets = logits_and_targets(name)
    plain = LOSSES[name](logits, targets)
    assert LOSSES[name](logits, targets, weights=np.ones(5)) == pytest.approx(float(plain))
    kept = np.array([True, True, False, True, False, True])
    masked = LOSSES[name](logits, targets, kept, WEIGHTS)
    rows = LOSSES[name](logits[kept], targets[kept], weights=WEIGHTS)
    assert float(masked) == pytest.approx(float(rows))
    assert LOSSES[name](logits, targets, np.zeros(6, bool), WEIGHTS) == 0
