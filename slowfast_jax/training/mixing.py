"""Mixup, cutmix and soft targets, inside the jitted step.

Mixup (https://arxiv.org/abs/1710.09412) adds two clips, cutmix (https://arxiv.org/abs/1905.04899)
pastes a box of one into the other, the same in all frames; targets are mixed in proportion. As in
the original (datasets/mixup.py), a group of clips is mixed with the same group in reverse order,
with the same random numbers for all of its clips.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from slowfast_jax.ops.normalize import normalize

Batch = Mapping[str, jax.Array]


class Mix(NamedTuple):
    """Weights (H,W) of a clip's own pixels in the mix, and the share () of its own target."""

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
    """Draws how to mix clips of `height` x `width`.

    Args:
      mixup_alpha, cutmix_alpha: the share is drawn from Beta(alpha, alpha); 0 disables the method.
      prob: probability that the clips are mixed.
      switch_prob: probability of cutmix if both are enabled.
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
    """Mixup: every pixel keeps `share` of its value."""
    return Mix(jnp.broadcast_to(share, (height, width)), share)


def pasting(
    share: jax.Array, row: jax.Array, column: jax.Array, height: int, width: int
) -> Mix:
    """Cutmix: a box around `row`, `column` with 1 - `share` of the area comes from the other clip.

    The target's share follows from the part of the box that lies within the frame.
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
      model: has `mean`, `std`, `dtype` and `num_classes`; clips are normalized before mixing.
      group_size: number of adjacent clips of the batch that are mixed with each other. Each
        group has its own random numbers (in the original, one GPU's clips are a group).
      **options: of `draw`.

    The returned function raises ValueError if a group has only one clip.
    """

    def mix_batch(key: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        clips = normalize(batch["clip"], model.mean, model.std)
        targets = soft_targets(batch["label"], model.num_classes, label_smoothing)
        if options["mixup_alpha"] or options["cutmix_alpha"]:
            count, _, height, width, _ = clips.shape
            members = min(group_size, count)
            if members < 2:
                raise ValueError(
                    f"mixup and cutmix need groups of at least two clips, found {members}: set "
                    "config.norm.group_size and the batch size to 2 or more"
                )
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
