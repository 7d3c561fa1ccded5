"""Batch normalisation over `(N, T, H, W)` with PyTorch's running statistics."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from slowfast_jax.ops.batch_norm import batch_norm


class BatchNorm(nn.Module):
    """Batch normalisation with statistics per group of examples.

    `group_size` contiguous examples share their batch statistics: 8 is what the published
    recipes had on one GPU; None is the whole batch (sync BN: under `jax.jit` over a sharded
    batch that is the global batch). It gives the same result on 1 or 256 devices.

    The running mean and variance move by `1 - momentum` a step towards the mean over the groups
    of their means and their unbiased variances. (Flax's momentum 0.9 is PyTorch's 0.1, and
    PyTorch keeps the unbiased variance while it normalises with the biased one.)

    Where the collection "batch_moments" is mutable, mean and biased variance of the whole batch go
    there, under the names of the running ones.

    `frames` frames of the clip lie side by side in the channels (see `ops/packing.py`), and share
    scale, bias and statistics.
    """

    group_size: int | None = None
    momentum: float = 0.9
    epsilon: float = 1e-5
    frames: int = 1
    scale_init: Any = nn.initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """`(N, T, H, W, C)` -> the same shape and dtype; statistics in float32."""
        channels = x.shape[-1] // self.frames
        scale = self.param("scale", self.scale_init, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,))
        if not train:
            factor = scale * jax.lax.rsqrt(running_var.value + self.epsilon)
            shift = bias - running_mean.value * factor
            factor, shift = jnp.tile(factor, self.frames), jnp.tile(shift, self.frames)
            with jax.named_scope("batch_norm"):  # the two operations that models/cost.py counts
                return (x * factor + shift).astype(x.dtype)

        groups = self._groups(x.shape[0])
        grouped = x.reshape(groups, x.shape[0] // groups, *x.shape[1:])
        y, mean, var = batch_norm(
            grouped, scale, bias, self.epsilon, self.frames
        )  # (G, 1, 1, 1, 1, C)
        if self.is_initializing():
            return y.reshape(x.shape)
        mean, var = mean.reshape(groups, channels), var.reshape(groups, channels)
        count = x.size // (groups * channels)
        unbiased = var * (count / max(count - 1, 1))
        for running, new in ((running_mean, mean), (running_var, unbiased)):
            running.value = self.momentum * running.value + (1 - self.momentum) * new.mean(0)
        if self.is_mutable_collection("batch_moments"):
            self.put_variable("batch_moments", "mean", mean.mean(0))
            self.put_variable("batch_moments", "var", var.mean(0) + mean.var(0))
        return y.reshape(x.shape)

    def _groups(self, batch: int) -> int:
        if self.group_size is None or self.group_size >= batch:
            return 1
        if batch % self.group_size:
            raise ValueError(
                f"a batch of {batch} clips does not split into batch-norm groups of "
                f"{self.group_size}; use a multiple of {self.group_size} or another group_size"
            )
        return batch // self.group_size
