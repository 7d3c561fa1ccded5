"""The convolutions and pools of a model, found by tracing it, each of which can be run alone."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp

from slowfast_jax.models import heads, resnet3d, zoo
from slowfast_jax.models.blocks import Conv3D
from slowfast_jax.models.cost import count, totals
from slowfast_jax.ops.conv import conv3d
from slowfast_jax.ops.pool import avg_pool, max_pool

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Conv:
    """A convolution. `kind` is its row in breakdowns, `shape` its input `(N, T, H, W, C)`."""

    kind: str
    shape: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: Triple
    dilation: Triple
    groups: int

    @property
    def macs(self) -> int:
        """Multiply-adds, with padded positions included."""
        size = [-(-n // s) for n, s in zip(self.shape[1:4], self.strides, strict=True)]
        return self.shape[0] * math.prod(size) * math.prod(self.kernel)

    @property
    def label(self) -> str:
        """`kernel/stride Cin->Cout @ TxHxW`."""
        size = "x".join(map(str, self.kernel[:3]))
        stride = "" if self.strides == (1, 1, 1) else "/" + ",".join(map(str, self.strides))
        at = "x".join(map(str, self.shape[1:4]))
        return f"{size}{stride} {self.shape[-1]}->{self.kernel[-1]} @ {at}"

    def operands(self) -> tuple[jax.Array, jax.Array]:
        """A random input and kernel of the right shapes."""
        keys = jax.random.split(jax.random.key(0))
        x = jax.random.normal(keys[0], self.shape)
        kernel = jax.random.normal(keys[1], self.kernel)
        return x, kernel / math.sqrt(math.prod(self.kernel[:4]))

    def compute(self, x: jax.Array, kernel: jax.Array, lowering: str | None = None) -> jax.Array:
        """The convolution of `x`, by one of `ops.conv.LOWERINGS` or the default one."""
        return conv3d(
            x, kernel, strides=self.strides, dilation=self.dilation, groups=self.groups,
            lowering=lowering,
        )

    def alone(self) -> Callable[[], object]:
        """A function that runs the convolution, compiled on its own, on random data."""
        operands, run = self.operands(), jax.jit(self.compute)
        return lambda: run(*operands).block_until_ready()


@dataclass(frozen=True)
class Pool:
    """A pooling layer: its input shape, its function and the remaining arguments."""

    shape: tuple[int, ...]
    function: Callable
    arguments: tuple

    kind = "pool"
    macs = 0

    @property
    def label(self) -> str:
        """`function window C @ TxHxW`."""
        at = "x".join(map(str, self.shape[1:4]))
        return f"{self.function.__name__} {self.arguments[0]} {self.shape[-1]} @ {at}"

    def alone(self) -> Callable[[], object]:
        """A function that runs the pooling, compiled on its own, on random data."""
        x = jax.random.normal(jax.random.key(0), self.shape)
        run = jax.jit(lambda x: self.function(x, *self.arguments))
        return lambda: run(x).block_until_ready()


def clip_shape(name: str, batch: int, size: int | str) -> tuple[int, ...]:
    """`(N, T, H, W, 3)` for a zoo model; `size` in pixels, or "train_crop" or "test_crop"."""
    protocol = zoo.find(name)["protocol"]
    side = protocol[size] if isinstance(size, str) else size
    return (batch, protocol["num_frames"], side, side, 3)


def find(model: nn.Module, clip_shape: tuple[int, ...]) -> Counter:
    """The number of times that each distinct `Conv` and `Pool` runs in a forward pass."""
    found: Counter = Counter()

    def note_conv(call, args, kwargs, context):
        module = context.module
        if isinstance(module, Conv3D) and context.method_name == "__call__":
            (x,) = args
            kernel = (*module.kernel_size, x.shape[-1] // module.groups, module.features)
            kind = _kind("/".join(module.path), module.kernel_size, module.groups)
            found[
                Conv(kind, x.shape, kernel, module.strides, module.dilation, module.groups)
            ] += 1
        return call(*args, **kwargs)

    def noting(pool):
        def noted(x, *arguments):
            found[Pool(x.shape, pool, arguments)] += 1
            return pool(x, *arguments)

        return noted

    clip = jax.ShapeDtypeStruct(clip_shape, jnp.float32)
    with (
        nn.intercept_methods(note_conv),
        mock.patch.object(resnet3d, "max_pool", noting(max_pool)),
        mock.patch.object(heads, "avg_pool", noting(avg_pool)),
    ):
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x), clip)
    return found


def total_macs(model: nn.Module, clip_shape: tuple[int, ...]) -> int:
    """Multiply-adds of one forward pass, see `models.cost`."""
    return clip_shape[0] * totals(count(model, *clip_shape[1:3]))["macs"]


def _kind(path: str, kernel: Triple, groups: int) -> str:
    if "stem" in path:
        return "stem"
    if path.startswith("lateral"):
        return "lateral"
    return "depthwise" if groups > 1 else "x".join(map(str, kernel))
