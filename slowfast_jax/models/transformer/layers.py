"""Layers of the vision transformers, with the original's initial values."""

import math
from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from slowfast_jax.models.parameters import Layer
from slowfast_jax.ops.backend import GRAPH_BACKEND, as_one_operation, backend
from slowfast_jax.ops.conv import add_bias, conv3d
from slowfast_jax.ops.transformer.layer_norm import EPSILON, layer_norm

# The original truncates at 2, a hundred standard deviations.
init_weights = nn.initializers.normal(0.02)
init_biases = nn.initializers.constant(0.02)


class Linear(Layer):
    """`x kernel + bias` on the last axis."""

    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", init_weights, (x.shape[-1], self.features))
        # Rank 2, because with more dimensions XLA transposes whole maps for the kernel's gradient.
        rows = x if backend() == GRAPH_BACKEND else x.reshape(-1, x.shape[-1])
        y = rows @ kernel.astype(x.dtype)
        if self.use_bias:
            y = y + self.param("bias", init_biases, (self.features,)).astype(x.dtype)
        return checkpoint_name(y, "convolution").reshape(*x.shape[:-1], self.features)


class LayerNorm(Layer):
    """Layer normalization of the last axis."""

    epsilon: float = EPSILON

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", init_biases, (x.shape[-1],))
        return layer_norm(x, scale, bias, self.epsilon)


class MLP(nn.Module):
    """fc1, GELU, fc2."""

    hidden: int
    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = as_one_operation(
            "gelu", partial(nn.gelu, approximate=False), Linear(self.hidden, name="fc1")(x)
        )
        return Linear(self.features, name="fc2")(x)


class PatchEmbed(Layer):
    """Convolution from a clip to a map of patches."""

    features: int
    kernel_size: Sequence[int]
    strides: Sequence[int]
    padding: Sequence[int]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`(N, T, H, W, 3)` -> `(N, T', H', W', features)`."""
        size = (*self.kernel_size, x.shape[-1])
        kernel = self.param("kernel", init_weights, (*size, self.features))
        bias = self.param("bias", _uniform(1 / math.sqrt(math.prod(size))), (self.features,))
        y = conv3d(
            x, kernel.astype(x.dtype), strides=tuple(self.strides), padding=tuple(self.padding)
        )
        return add_bias(y, bias.astype(x.dtype))


def _uniform(limit: float) -> nn.initializers.Initializer:
    """PyTorch's default for the bias of a convolution, which the original keeps."""

    def init(key: jax.Array, shape: Sequence[int], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return init


class DropPath(nn.Module):
    """Stochastic depth (https://arxiv.org/abs/1603.09382): clips lose the branch `x (N, L, C)`.

    The branches that are kept are divided by `1 - rate`.
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dropout(self.rate, broadcast_dims=(1, 2), deterministic=False)(x)
