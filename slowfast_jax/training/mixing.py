"""Clips of a batch mixed with each other, and soft targets, inside the jitted step.

Mixup (https://arxiv.org/abs/1710.09412) adds two clips, cutmix (https://arxiv.org/abs/1905.04899)
pastes a box of one into the other through all frames; the targets are mixed in the same shares. As
in the original (datasets/mixup.py), the clips of a group are mixed with those of the same group in
reverse order, all by one draw.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from slowfast_jax.ops.normalize import normalize

Batch = Mapping[str, jax.Array]


class Mix(NamedTuple):
    """`weights` (H,W): the share of its own pixels that a clip keeps; `share` (): of its target."""

    weights: jax.Array
    share: jax.Array


def draw(
    key: jax.Array,
    height: int,
    width: int,
    *,
    mixup_alpha: float,
    cutmix_alpha: float,
    prob: float = 1.0,
    switch_prob: float = 0.5,
) -> Mix:
    """How to mix clips of `height` x `width`.

    Args:
      mixup_alpha, cutmix_alpha: the share is drawn from Beta(alpha, alpha); 0 leaves the form out.
      prob: of mixing at all.
      switch_prob: of cutmix, where both are possible.
    """
    keys = jax.random.split(key, 6)
    pasted = jnp.asarray(not mixup_alpha)
    if mixup_alpha and cutmix_alpha:
        pasted = jax.random.uniform(keys[0]) < switch_prob
    shares = [
        jax.random.beta(k, alpha, alpha) if alpha else jnp.ones(())
        for k, alpha in zip(keys[1:3], (mixup_alpha, cutmix_alpha), strict=True)
    ]
    share = jnp.where(jax.random.uniform(keys[3]) < prob, jnp.where(pasted, *shares[::-1]), 1.0)
    middle = [
        jax.random.randint(k, (), 0, side)
        for k, side in zip(keys[4:], (height, width), strict=True)
    ]
    cut = pasting(share, *middle, height, width)
    whole = blending(share, height, width)
    return Mix(*(jnp.where(pasted, a, b) for a, b in zip(cut, whole, strict=True)))


def blending(share: jax.Array, height: int, width: int) -> Mix:
    """Mixup: every pixel keeps `share` of its own."""
    return Mix(jnp.broadcast_to(share, (height, width)), share)


def pasting(
    share: jax.Array, row: jax.Array, column: jax.Array, height: int, width: int
) -> Mix:
    """Cutmix: a box around `row`, `column` with 1 - `share` of the area comes from the other clip.

    The share of the target is corrected by what of the box lies within the frame.
    """
    ratio = jnp.sqrt(1 - share)
    inside, area = jnp.ones((height, width), bool), 1
    for axis, (middle, side) in enumerate(((row, height), (column, width))):
        half = (side * ratio).astype(jnp.int32) // 2
        low, high = jnp.clip(middle - half, 0, side), jnp.clip(middle + half, 0, side)
        places = jnp.expand_dims(jnp.arange(side), 1 - axis)
        inside &= (low <= places) & (places < high)
        area *= high - low
    return Mix(jnp.where(inside, 0.0, 1.0), 1 - area / (height * width))


def apply(clips: jax.Array, targets: jax.Array, mix: Mix) -> tuple[jax.Array, jax.Array]:
    """Float clips (N,T,H,W,3) and targets (N,K) mixed with those in reverse order."""
    weights = mix.weights[:, :, None]
    return (
        clips * weights + clips[::-1] * (1 - weights),
        targets * mix.share + targets[::-1] * (1 - mix.share),
    )


def soft_targets(labels: jax.Array, classes: int, smoothing: float = 0.0) -> jax.Array:
    """(N,) integers -> (N,K) float32: `smoothing` spread over all classes, the rest at the label.

    Szegedy et al. 2016 (https://arxiv.org/abs/1512.00567), section 7.
    """
    return smoothing / classes + jax.nn.one_hot(labels, classes) * (1 - smoothing)


def make_mixer(
    model: Any,
    *,
    group_size: int,
    label_smoothing: float = 0.0,
    **options: float,
) -> Callable[[jax.Array, Batch], dict[str, jax.Array]]:
    """(key, batch) -> the batch with "clip" mixed and "label" (N,K) soft.

    Args:
      model: tells `mean`, `std`, `dtype` and `num_classes`: clips are mixed normalised.
      group_size: neighbours in the batch that are mixed with each other, by a draw of their own
        (one GPU's clips in the original). Less than a batch holds where it does not divide it.
      **options: of `draw`.

    Raises ValueError, at the first call, where there is but one clip in a group.
    """

    def mix_batch(key: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        clips = normalize(batch["clip"], model.mean, model.std)
        targets = soft_targets(batch["label"], model.num_classes, label_smoothing)
        if options["mixup_alpha"] or options["cutmix_alpha"]:
            count, _, height, width, _ = clips.shape
            members = min(group_size, count)
            if members < 2:
                raise ValueError("mixup and cutmix need groups of two clips or more")
            groups = count // members
            mixes = jax.vmap(lambda k: draw(k, height, width, **options))(
                jax.random.split(key, groups)
            )
            together = jax.vmap(apply)(
                clips.reshape(groups, members, *clips.shape[1:]),
                targets.reshape(groups, members, -1), mixes,
            )
            clips, targets = (a.reshape(count, *a.shape[2:]) for a in together)
        return dict(batch) | {"clip": clips.astype(model.dtype), "label": targets}

    return mix_batch
