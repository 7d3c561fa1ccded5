"""The lowering of `conv3d` for depthwise kernels."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from slowfast_jax.ops.fusion_barrier import materialize
from slowfast_jax.ops.lowering import require
from slowfast_jax.ops.precision import wide_dtype

LARGE_FRAME = 2**16  # elements of a frame of the output, 256 KiB in float32


def shifts(x, kernel, strides, padding, dilation, groups):
    """For depthwise kernels: the sum of shifted copies, each times one weight per channel."""
    require(groups == x.shape[-1] == kernel.shape[-1], "shifts", "a depthwise kernel")
    # Materialized, because otherwise the gradient pads again for every weight.
    x = materialize(jnp.pad(x, ((0, 0), *((p, p) for p in padding), (0, 0))))
    return _sum_of_shifts(x, kernel, tuple(strides), tuple(dilation))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _sum_of_shifts(x, kernel, strides, dilation):
    """The sum for an `x` that is already padded.

    The gradient that JAX derives would add up one padded map per weight.
    """
    parts = _shifted(x, kernel.shape[:3], strides, dilation)
    return sum(part * kernel[index][0] for index, part in parts)


def _sum_of_shifts_forward(x, kernel, strides, dilation):
    return _sum_of_shifts(x, kernel, strides, dilation), (x, kernel)


def _sum_of_shifts_backward(strides, dilation, saved, dy):
    x, kernel = saved
    dy = materialize(dy)
    dkernel = _kernel_gradient(x, dy, kernel.shape[:3], strides, dilation)
    # Gradient of the input: dy, spread by the strides, convolved with the flipped kernel.
    reach = [d * (k - 1) for d, k in zip(dilation, kernel.shape, strict=False)]
    spread = [s * (n - 1) + 1 for s, n in zip(strides, dy.shape[1:4], strict=True)]
    room = [(r, n - m, s - 1) for r, n, m, s in
            zip(reach, x.shape[1:4], spread, strides, strict=True)]
    dy = lax.pad(dy, jnp.zeros((), dy.dtype), [(0, 0, 0), *room, (0, 0, 0)])
    dx = _sum_of_shifts(dy, kernel[::-1, ::-1, ::-1], (1, 1, 1), dilation)
    return dx, dkernel.reshape(kernel.shape).astype(kernel.dtype)


_sum_of_shifts.defvjp(_sum_of_shifts_forward, _sum_of_shifts_backward)


def _kernel_gradient(x, dy, size, strides, dilation):
    """Gradient of the kernel, `(weights, C)` in float32 (or wider).

    It is the sum of `dy` times the slice of `x` that the weight reads. Large maps are processed
    frame by frame, so that what the weights read stays in the cache.
    """

    def of_frames(x, dy):
        parts = _shifted(x, size, strides, dilation)
        return jnp.stack([(part * dy).sum((0, 1, 2, 3), wide_dtype(x)) for _, part in parts])

    if dy[:, 0].size < LARGE_FRAME:
        return of_frames(x, dy)
    reach = dilation[0] * (size[0] - 1) + 1

    def add_frame(total, t):
        seen = lax.dynamic_slice_in_dim(x, t * strides[0], reach, 1)
        return total + of_frames(seen, lax.dynamic_slice_in_dim(dy, t, 1, 1)), None

    total = jnp.zeros((np.prod(size), x.shape[-1]), wide_dtype(x))
    return lax.scan(add_frame, total, jnp.arange(dy.shape[1]))[0]


def _shifted(x, size, strides, dilation):
    """Yields each weight's index and the slice of the padded input that the weight reads."""
    frames = [
        (n - d * (k - 1) - 1) // s + 1
        for n, d, k, s in zip(x.shape[1:4], dilation, size, strides, strict=True)
    ]
    for index in np.ndindex(*size):
        start = [i * d for i, d in zip(index, dilation, strict=True)]
        stop = [b + s * (n - 1) + 1 for b, s, n in zip(start, strides, frames, strict=True)]
        yield index, lax.slice(
            x, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), (1, *strides, 1)
        )
