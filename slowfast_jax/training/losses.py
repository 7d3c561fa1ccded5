"""Losses on a head's logits, computed in float32 or wider whatever the network's dtype.

Each takes `(logits, targets, mask=None)` and returns a scalar: the mean over all elements, or over
those of the rows where `mask` is true. The mask has the shape of the logits without the last axis:
for `(N, B, K)` logits of padded boxes it is `(N, B)`. If no row is kept, the loss is 0.

All but `mse` also take `weights (K,)`, one for each class. In the cross entropies they are
`weight` of PyTorch's CrossEntropyLoss, in the binary ones `pos_weight` of BCEWithLogitsLoss.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from slowfast_jax.ops.precision import widen

# PyTorch's BCELoss clamps logarithms to at least this.
LOWEST_LOG = -100.0

Weights = Sequence[float] | jax.Array | None


def cross_entropy(
    logits: jax.Array, labels: jax.Array, mask: jax.Array | None = None, weights: Weights = None
) -> jax.Array:
    """Cross entropy of the softmax; integer labels `(...)` for logits `(..., K)`.

    With `weights`, the mean over the rows is weighted by that of each row's label.
    """
    logs = jax.nn.log_softmax(widen(logits))
    chosen = jnp.take_along_axis(logs, labels[..., None], -1)
    if weights is None:
        return _mean(-chosen, mask)
    share = jnp.asarray(weights, logs.dtype)[labels]
    if mask is not None:
        share = jnp.where(mask, share, 0)
    total = share.sum()
    return (-chosen[..., 0] * share).sum() / jnp.where(total > 0, total, 1)


def soft_cross_entropy(
    logits: jax.Array, targets: jax.Array, mask: jax.Array | None = None, weights: Weights = None
) -> jax.Array:
    """Cross entropy of the softmax with soft targets: `-sum_k weight_k * target_k * log softmax_k`.

    Targets are `(..., K)`, whose rows need not sum to one, or integer labels `(...)`.
    """
    logs = jax.nn.log_softmax(widen(logits))
    if targets.ndim < logits.ndim:
        targets = jax.nn.one_hot(targets, logits.shape[-1], dtype=logs.dtype)
    return _mean(-(_times(targets, weights) * logs).sum(-1, keepdims=True), mask)


def bce_logits(
    logits: jax.Array, targets: jax.Array, mask: jax.Array | None = None, weights: Weights = None
) -> jax.Array:
    """Binary cross entropy of `sigmoid(logits)`; targets `(..., K)` in 0..1."""
    return _mean(_binary(logits, targets, weights), mask)


def bce(
    logits: jax.Array, targets: jax.Array, mask: jax.Array | None = None, weights: Weights = None
) -> jax.Array:
    """`bce_logits` with logarithms clamped to at least -100, as in PyTorch's BCELoss.

    The original's AVA head outputs probabilities in training, too, and computes the loss from them.
    The value here is the same, but the gradient does not vanish when a probability rounds to 0 or 1
    (in float32 from a logit of 17 on), as the original's does even if the prediction is wrong. With
    a mask this is MindSpore's loss for padded boxes: the masked sum, divided by the number of boxes
    and classes.
    """
    logits = widen(logits)
    yes, no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    yes, no = jnp.maximum(yes, LOWEST_LOG), jnp.maximum(no, LOWEST_LOG)
    return _mean(-(_times(targets, weights) * yes + (1 - targets) * no), mask)


def bce_positive_rows(
    logits: jax.Array, targets: jax.Array, mask: jax.Array | None = None, weights: Weights = None,
    focal: tuple[float, float] = (1.0, 0.0),
) -> jax.Array:
    """`bce_logits` over the rows that have at least one class: boxes without an action are ignored.

    This is MMAction2's and PaddleVideo's loss on AVA. The first of their heads' 81 columns is the
    background, which their loss ignores: drop it from logits and targets.

    Args:
      logits, targets, mask, weights: as above.
      focal: alpha and gamma of MMAction2's focal loss: each element's loss is multiplied by
        `alpha * (1 - exp(-loss)) ** gamma`. (1, 0): plain binary cross entropy.
    """
    positive = (targets > 0).any(-1)
    losses, (alpha, gamma) = _binary(logits, targets, weights), focal
    if gamma:
        losses = losses * (1 - jnp.exp(-losses)) ** gamma
    return _mean(alpha * losses, positive if mask is None else positive & mask)


def mse(predictions: jax.Array, targets: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Mean squared error; predictions and targets are `(..., K)`."""
    return _mean(jnp.square(widen(predictions) - targets), mask)


# Losses by their name in config.train.loss.
LOSSES: dict[str, Callable[..., jax.Array]] = {
    "cross_entropy": cross_entropy,
    "soft_cross_entropy": soft_cross_entropy,
    "bce": bce,
    "bce_logits": bce_logits,
    "bce_positive_rows": bce_positive_rows,
    "mse": mse,
}


def _binary(logits: jax.Array, targets: jax.Array, weights: Weights) -> jax.Array:
    """Binary cross entropy of each element."""
    logits = widen(logits)
    yes, no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return -(_times(targets, weights) * yes + (1 - targets) * no)


def _times(targets: jax.Array, weights: Weights) -> jax.Array:
    return targets if weights is None else targets * jnp.asarray(weights, jnp.float32)


def _mean(values: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Mean of values `(..., K)` over the rows where the mask `(...)` is true; 0 if none is."""
    if mask is None:
        return values.mean()
    total = jnp.where(mask[..., None], values, 0).sum()
    return total / jnp.maximum(mask.sum() * values.shape[-1], 1)
