"""Batch normalization over `(N, T, H, W)` with PyTorch's running statistics."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from slowfast_jax.models.parameters import Layer
from slowfast_jax.ops.batch_norm import batch_norm, normalize_by
from slowfast_jax.ops.layout import PLAIN, MapLayout, in_layout
from slowfast_jax.ops.norm_statistics import SPLIT_MEANS

EPSILON = 1e-5
SUFFIX = "_bn"  # the batch norm after the convolution "a" is named "a_bn"


def is_norm_path(path: str) -> bool:
    """Whether a parameter's path, such as "res2/block0/a_bn/scale", is that of a batch norm."""
    return path.rpartition("/")[0].endswith(SUFFIX)


class BatchNorm(Layer):
    """Batch normalization with statistics per group of examples.

    The result is the same on 1 or 256 devices: under `jax.jit` over a sharded batch, groups are
    groups of the global batch.

    In each step, running = momentum * running + (1 - momentum) * new, where `new` is the average of
    the groups' means or unbiased variances. Flax's momentum 0.9 is PyTorch's 0.1. As in PyTorch,
    the running variance is unbiased, although training normalizes with the biased one.

    Groups stand for GPUs of the original, or for the splits of a GPU's batch (its sub-BN, used in
    multigrid training). In a checkpoint of the original, the variance of GPUs is that of one GPU;
    the variance of splits is the mean of their variances plus the variance of their running means.
    With `splits`, if the collection "split_means" is mutable, the splits' running means are kept
    there as `(splits, C)`, less their mean and divided by the square root of the number of splits.
    `norm_statistics.aggregate` adds what they contribute to the running variance.

    If the collection "batch_moments" is mutable, the mean and biased variance of the whole batch
    are stored there, under the same names as the running ones. In evaluation, the collection
    "input_moments" receives those of the input.

    Attributes:
      group_size: number of contiguous examples that share their statistics. In the published
        recipes that is 8, the clips of one GPU. None: the whole batch.
      splits: number of groups in the batch of one GPU of the original; None: it is not split. The
        running means of splits are those of the first GPU, as in the original.
      train: normalizes with the batch's statistics instead of the running ones; can be passed to
        `__call__` instead.
      folded: the norm is part of the convolution before it (see `models/fold.py`), so this module
        has no parameters and changes no value.
      layout: of the maps that it is given.
    """

    group_size: int | None = None
    momentum: float = 0.9
    epsilon: float = EPSILON
    train: bool | None = None
    folded: bool = False
    layout: MapLayout = PLAIN
    scale_init: Any = nn.initializers.ones
    splits: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool | None = None) -> jax.Array:
        """`(N, T, H, W, C)` -> the same shape and dtype; statistics in float32.

        Raises ValueError for a batch that cannot be divided into groups.
        """
        if self.folded:
            return in_layout(x, self.layout)
        channels = self.layout.channels(x)
        scale = self.param("scale", self.scale_init, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,))
        if not nn.merge_param("train", self.train, train):
            if self.is_mutable_collection("input_moments") and not self.is_initializing():
                _, mean, var = batch_norm(x[None], scale, bias, self.epsilon, self.layout)
                self.put_variable("input_moments", "mean", mean.reshape(channels))
                self.put_variable("input_moments", "var", var.reshape(channels))
            y = normalize_by(
                x, running_mean.value, running_var.value, scale, bias, self.epsilon, self.layout
            )
            return in_layout(y, self.layout)

        groups = self._groups(x.shape[0])
        grouped = x.reshape(groups, x.shape[0] // groups, *x.shape[1:])
        y, mean, var = batch_norm(grouped, scale, bias, self.epsilon, self.layout)
        if self.is_initializing():
            return in_layout(y.reshape(x.shape), self.layout)
        mean, var = mean.reshape(groups, channels), var.reshape(groups, channels)
        count = x.size // (groups * channels)
        unbiased = var * (count / max(count - 1, 1))
        for running, new in ((running_mean, mean), (running_var, unbiased)):
            running.value = self.momentum * running.value + (1 - self.momentum) * new.mean(0)
        if self.splits and self.is_mutable_collection(SPLIT_MEANS):
            apart = self.variable(SPLIT_MEANS, "mean", jnp.zeros, (self.splits, channels))
            count = min(self.splits, groups)
            of_gpu = mean[:count]
            new = (of_gpu - of_gpu.mean(0)) / count**0.5
            new = self.momentum * apart.value[:count] + (1 - self.momentum) * new
            apart.value = apart.value.at[:count].set(new)
        if self.is_mutable_collection("batch_moments"):
            self.put_variable("batch_moments", "mean", mean.mean(0))
            self.put_variable("batch_moments", "var", var.mean(0) + mean.var(0))
        return in_layout(y.reshape(x.shape), self.layout)

    def _groups(self, batch: int) -> int:
        if self.group_size is None or self.group_size >= batch:
            return 1
        if batch % self.group_size:
            raise ValueError(
                f"a batch of {batch} clips cannot be divided into batch-norm groups of "
                f"{self.group_size}; use a multiple of {self.group_size} or another group_size"
            )
        return batch // self.group_size
