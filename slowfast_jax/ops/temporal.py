"""The lowering of `conv3d` for kernels of size 1 in space, with its own gradient."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from slowfast_jax.ops.lowering import convolve, require


def temporal_2d(x, kernel, strides, padding, dilation, groups):
    """For kT x 1 x 1 kernels: a rank-4 convolution over (T, H * W)."""
    require(kernel.shape[1:3] == (1, 1), "temporal_2d", "kernel size 1 in space")
    require(not any(padding[1:]), "temporal_2d", "no padding in space")
    x = x[:, :, :: strides[1], :: strides[2]]
    n, t, h, w, c = x.shape
    x, kernel = x.reshape(n, t, h * w, c), kernel[:, 0, 0]
    options = (strides[0], padding[0], dilation[0])
    y = _convolve(x, kernel, *options, groups) if groups > 1 else _dense(x, kernel, *options)
    return y.reshape(n, y.shape[1], h, w, y.shape[-1])


def _convolve(x, kernel, stride, padding, dilation, groups):
    return convolve(x, kernel[:, None], (stride, 1), (padding, 0), (dilation, 1), groups)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _dense(x, kernel, stride, padding, dilation):
    """`x (N, T, P, C)` and `kernel (kT, C, O)` -> `(N, T', P, O)`.

    XLA's gradients of this convolution transpose whole maps. Written as matmuls over the channels
    of every position, they do not.
    """
    return _convolve(x, kernel, stride, padding, dilation, 1)


def _forward(x, kernel, stride, padding, dilation):
    return _dense(x, kernel, stride, padding, dilation), (x, kernel)


def _backward(stride, padding, dilation, saved, dy):
    if stride > 1:
        return _strided_gradients(*saved, dy, stride, padding, dilation)
    return _plain_gradients(*saved, dy, padding, dilation)


_dense.defvjp(_forward, _backward)


def _plain_gradients(x, kernel, dy, padding, dilation):
    """Gradients for stride 1, one matmul each.

    All output frames that an input frame contributed to lie beside each other in the channels.
    """
    (taps, c, out), t = kernel.shape, x.shape[1]
    reach = dilation * (taps - 1)
    # The output frame of tap i for input frame f is f + padding - dilation * i.
    wide = lax.pad(
        dy, jnp.zeros((), dy.dtype),
        [(0, 0, 0), (reach - padding, t + padding - dy.shape[1], 0), (0, 0, 0), (0, 0, 0)],
    )
    seen = [wide[:, reach - dilation * i :][:, :t] for i in range(taps)]
    seen = jnp.concatenate(seen, -1).reshape(-1, taps * out)
    dx = seen @ kernel.transpose(0, 2, 1).reshape(taps * out, c)
    dkernel = _contract_positions(x.reshape(-1, c), seen).reshape(c, taps, out)
    return dx.reshape(x.shape), dkernel.transpose(1, 0, 2)


def _strided_gradients(x, kernel, dy, stride, padding, dilation):
    """Gradients for a stride above 1, one matmul per tap.

    Input frames are grouped by the remainder of their index divided by the stride.
    """
    taps, c, out = kernel.shape
    n, t, places, _ = x.shape
    frames = dy.shape[1]
    padded = jnp.pad(x, ((0, 0), (padding, padding), (0, 0), (0, 0)))
    flat = dy.reshape(-1, out)
    dkernel = jnp.stack([
        _contract_positions(
            lax.slice_in_dim(padded, i, i + stride * (frames - 1) + 1, stride, 1).reshape(-1, c),
            flat,
        )
        for i in range(0, dilation * taps, dilation)
    ])
    # Tap i of output m reads frame stride * (m + (d * i) // stride) + (d * i) % stride, padding
    # counted.
    rows = -(-padded.shape[1] // stride)
    phases = [jnp.zeros((n, rows, places, c), dy.dtype)] * stride
    for i in range(taps):
        offset, phase = divmod(dilation * i, stride)
        part = (flat @ kernel[i].T).reshape(n, frames, places, c)
        room = (offset, rows - frames - offset, 0)
        phases[phase] += lax.pad(
            part, jnp.zeros((), dy.dtype), [(0, 0, 0), room, (0, 0, 0), (0, 0, 0)]
        )
    dx = jnp.stack(phases, 2).reshape(n, rows * stride, places, c)
    return dx[:, padding : padding + t], dkernel


def _contract_positions(a, b):
    """`a.T @ b`, without a transposed copy of `a`."""
    return lax.dot_general(a, b, (((0,), (0,)), ((), ())))
