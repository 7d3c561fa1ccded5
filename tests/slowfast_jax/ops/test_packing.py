"""Operations on maps with packed frames give the same numbers as on plain ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.ops.backend import written_for
from slowfast_jax.ops.batch_norm import batch_norm
from slowfast_jax.ops.conv import conv3d
from slowfast_jax.ops.layout import PLAIN, MapLayout
from slowfast_jax.ops.packing import pack, packed_layout, unpack
from tests.support.compiling import FAST

# frames of the clip, kernel, packed frames, strides, dilation
LAYERS = {
    "stem": (16, (5, 7, 7), 4, (1, 2, 2), (1, 1, 1)),
    "3x1x1": (16, (3, 1, 1), 4, (1, 1, 1), (1, 1, 1)),
    "one position": (4, (3, 1, 1), 4, (1, 1, 1), (1, 1, 1)),
    "1x3x3": (8, (1, 3, 3), 8, (1, 2, 2), (1, 1, 1)),
    "dilated": (8, (1, 3, 3), 2, (1, 1, 1), (1, 2, 2)),
    "1x1x1": (8, (1, 1, 1), 4, (1, 2, 2), (1, 1, 1)),
    "wider than a position": (4, (7, 1, 1), 2, (1, 1, 1), (1, 1, 1)),
    "lateral": (16, (5, 1, 1), 4, (4, 1, 1), (1, 1, 1)),
    "lateral over two positions": (16, (7, 1, 1), 4, (8, 1, 1), (1, 1, 1)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_packed_convolution_equals_a_plain_one(name):
    length, size, frames, strides, dilation = LAYERS[name]
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, length, 6, 8, 3)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((*size, 3, 5)), jnp.float32)
    place, layout = dict(strides=strides, dilation=dilation), MapLayout(frames)

    def packed(x, kernel):
        y = conv3d(pack(x, layout), kernel, layout=layout, **place)
        return unpack(y, layout if strides[0] == 1 else PLAIN)

    def plain(x, kernel):
        return conv3d(x, kernel, **place)

    def outputs(conv, x, kernel):
        y, pullback = jax.vjp(conv, x, kernel)
        return y, *pullback(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape))

    run = jax.jit(outputs, static_argnums=0, compiler_options=FAST)
    for ours, expected in zip(run(packed, x, kernel), run(plain, x, kernel), strict=True):
        assert ours.shape == expected.shape
        scale = float(jnp.abs(expected).max())
        np.testing.assert_allclose(ours, expected, atol=2e-6 * scale, rtol=0)


@pytest.mark.parametrize("options, message", [
    ({"strides": (2, 1, 1)}, "stride 1 or a multiple of 4 in time, not dilation"),
    ({"dilation": (2, 1, 1)}, "stride 1 or a multiple of 4 in time, not dilation"),
    ({"padding": (0, 0, 0)}, "with the default padding and in one group, not padding"),
    ({"groups": 3}, "with the default padding and in one group, not padding"),
])
def test_layers_that_packed_frames_do_not_allow(options, message):
    with pytest.raises(ValueError, match=message):
        conv3d(
            jnp.zeros((1, 2, 4, 4, 12)), jnp.zeros((3, 1, 1, 3, 5)), layout=MapLayout(4), **options
        )


def test_packing_puts_frames_beside_each_other():
    x = jnp.arange(2 * 8 * 2 * 3 * 5.0).reshape(2, 8, 2, 3, 5)
    packed = pack(x, MapLayout(4))
    np.testing.assert_array_equal(packed[1, 1, 0, 2, 5:10], x[1, 5, 0, 2])
    np.testing.assert_array_equal(unpack(packed, MapLayout(4)), x)


def test_statistics_are_shared_by_the_frames():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, 2, 8, 2, 3, 5)), jnp.float32)  # two groups of two
    scale, bias = jnp.linspace(1, 2, 5), jnp.linspace(-1, 1, 5)
    weight = jnp.cos(jnp.arange(x.size)).reshape(x.shape)

    def packed(x, scale, bias):
        layout = MapLayout(4)
        y, mean, var = batch_norm(jax.vmap(lambda c: pack(c, layout))(x), scale, bias, 1e-5, layout)
        return jax.vmap(lambda c: unpack(c, layout))(y), mean, var

    def plain(x, scale, bias):
        return batch_norm(x, scale, bias, 1e-5)

    def outputs(norm, *inputs):
        y, mean, var = norm(*inputs)
        grads = jax.grad(lambda *a: (norm(*a)[0] * weight).sum(), (0, 1, 2))(*inputs)
        return y, mean, var, *grads

    run, inputs = jax.jit(outputs, static_argnums=0, compiler_options=FAST), (x, scale, bias)
    for ours, expected in zip(run(packed, *inputs), run(plain, *inputs), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_only_tpus_pack():
    assert packed_layout(32, 4) == packed_layout(32, 8) == PLAIN
    with written_for("tpu"):
        assert [packed_layout(c, 8).frames for c in (8, 32, 64, 65, 256)] == [8, 4, 2, 1, 1]
        assert packed_layout(8, 6).frames == 2 and packed_layout(8, 3) == PLAIN
