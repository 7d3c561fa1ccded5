"""Losses on a head's logits, computed in float32 or wider whatever the network's dtype.

Each takes `(logits, targets, mask=None)` and returns a scalar: the mean over all elements, or over
the rows where `mask` is true. A row is indexed by all axes but the last: `(N, B, K)` logits of
padded boxes have a mask `(N, B)`. If no row is left, the loss is 0.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from slowfast_jax.ops.precision import widen

# PyTorch's BCELoss clamps its logarithms here.
LOWEST_LOG = -100.0


def cross_entropy(
    logits: jax.Array, labels: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    """Minus the log of the softmax at the label; labels: integers `(...)` for logits `(..., K)`."""
    logs = jax.nn.log_softmax(widen(logits))
    chosen = jnp.take_along_axis(logs, labels[..., None], -1)
    return _mean(-chosen, mask)


def soft_cross_entropy(
    logits: jax.Array, targets: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    """Minus the sum over classes of target times log of the softmax.

    targets: `(..., K)`, used as they are (rows need not sum to one), or integer labels `(...)`.
    """
    logs = jax.nn.log_softmax(widen(logits))
    if targets.ndim < logits.ndim:
        targets = jax.nn.one_hot(targets, logits.shape[-1], dtype=logs.dtype)
    return _mean(-(targets * logs).sum(-1, keepdims=True), mask)


def bce_logits(logits: jax.Array, targets: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Binary cross entropy of `sigmoid(logits)`; targets `(..., K)` in 0..1."""
    logits = widen(logits)
    yes, no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return _mean(-(targets * yes + (1 - targets) * no), mask)


def bce(logits: jax.Array, targets: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """`bce_logits` with logarithms clamped at -100, as PyTorch's BCELoss on `sigmoid(logits)`.

    The original's AVA head returns probabilities in training, too, and its loss takes those. The
    function of the logits is the same, but here the gradient survives where a probability rounds
    to 0 or 1 (in float32 from a logit of 17 on); the original's is 0 there even if the prediction
    is wrong. With a mask this is MindSpore's loss on padded boxes, averaged over boxes and
    classes.
    """
    logits = widen(logits)
    yes, no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    yes, no = jnp.maximum(yes, LOWEST_LOG), jnp.maximum(no, LOWEST_LOG)
    return _mean(-(targets * yes + (1 - targets) * no), mask)


def bce_positive_rows(
    logits: jax.Array, targets: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    """`bce_logits` over the rows with at least one class: boxes without an action are ignored.

    This is MMAction2's and PaddleVideo's loss on AVA. Their heads have 81 columns, of which the
    first (background) is unused: drop it from logits and targets.
    """
    positive = (targets > 0).any(-1)
    return bce_logits(logits, targets, positive if mask is None else positive & mask)


def mse(predictions: jax.Array, targets: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Mean squared error; both arguments are `(..., K)`."""
    return _mean(jnp.square(widen(predictions) - targets), mask)


# Keys: the values of `train.loss` in recipes.
LOSSES: dict[str, Callable[..., jax.Array]] = {
    "cross_entropy": cross_entropy,
    "soft_cross_entropy": soft_cross_entropy,
    "bce": bce,
    "bce_logits": bce_logits,
    "bce_positive_rows": bce_positive_rows,
    "mse": mse,
}


def _mean(values: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Mean of `(..., K)` over the rows where `mask (...)` is true."""
    if mask is None:
        return values.mean()
    total = jnp.where(mask[..., None], values, 0).sum()
    return total / jnp.maximum(mask.sum() * values.shape[-1], 1)
