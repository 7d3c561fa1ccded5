"""Every lowering of conv3d against the direct one, forward and gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.ops.conv import LOWERINGS, choose_lowering, conv3d
from tests.support.compiling import FAST

# (T, H, W, Cin), (kT, kH, kW), Cout, strides, dilation, groups: every kind of layer in the networks
LAYERS = {
    "fast stem": ((8, 12, 14, 3), (5, 7, 7), 4, (1, 2, 2), (1, 1, 1), 1),
    "slow stem": ((3, 12, 14, 3), (1, 7, 7), 6, (1, 2, 2), (1, 1, 1), 1),
    "X3D stem": ((3, 11, 12, 3), (1, 3, 3), 6, (1, 2, 2), (1, 1, 1), 1),
    "odd stem": ((5, 9, 11, 3), (5, 7, 7), 4, (1, 2, 2), (1, 1, 1), 1),
    "1x1x1": ((3, 5, 6, 8), (1, 1, 1), 4, (1, 1, 1), (1, 1, 1), 1),
    "strided 1x1x1": ((3, 7, 8, 8), (1, 1, 1), 4, (1, 2, 2), (1, 1, 1), 1),
    "1x3x3": ((3, 7, 8, 8), (1, 3, 3), 8, (1, 1, 1), (1, 1, 1), 1),
    "odd 1x3x3": ((2, 5, 7, 4), (1, 3, 3), 8, (1, 1, 1), (1, 1, 1), 1),
    "strided 1x3x3": ((3, 7, 8, 8), (1, 3, 3), 8, (1, 2, 2), (1, 1, 1), 1),
    "dilated 1x3x3": ((3, 7, 8, 8), (1, 3, 3), 8, (1, 1, 1), (1, 2, 2), 1),
    "grouped 1x3x3": ((3, 7, 8, 8), (1, 3, 3), 8, (1, 1, 1), (1, 1, 1), 2),
    "3x1x1": ((5, 4, 6, 8), (3, 1, 1), 4, (1, 1, 1), (1, 1, 1), 1),
    "lateral": ((8, 4, 6, 4), (7, 1, 1), 8, (4, 1, 1), (1, 1, 1), 1),
    "dilated 3x1x1": ((7, 4, 6, 8), (3, 1, 1), 4, (1, 1, 1), (2, 1, 1), 1),
    "dilated lateral": ((9, 4, 6, 4), (5, 1, 1), 8, (2, 1, 1), (3, 1, 1), 1),
    "lateral over odd frames": ((10, 4, 6, 4), (5, 1, 1), 8, (4, 1, 1), (1, 1, 1), 1),
    "3x3x3": ((5, 7, 6, 4), (3, 3, 3), 8, (1, 2, 2), (1, 1, 1), 1),
    "3x3x3 strided in time": ((5, 7, 6, 4), (3, 3, 3), 8, (2, 1, 1), (1, 1, 1), 1),
    "depthwise 3x3x3": ((5, 7, 6, 8), (3, 3, 3), 8, (1, 1, 1), (1, 1, 1), 8),
    "strided depthwise": ((5, 7, 6, 8), (3, 3, 3), 8, (1, 2, 2), (1, 1, 1), 8),
    "large depthwise": ((4, 66, 64, 16), (3, 3, 3), 16, (1, 1, 1), (1, 1, 1), 16),
    "depthwise 5x1x1": ((6, 3, 4, 8), (5, 1, 1), 8, (1, 1, 1), (1, 1, 1), 8),
}


def layer(name):
    shape, size, out, strides, dilation, groups = LAYERS[name]
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, *shape)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((*size, shape[-1] // groups, out)), jnp.float32)
    return x, kernel, dict(strides=strides, dilation=dilation, groups=groups)


def applies(lowering, x, kernel, options):
    try:
        jax.eval_shape(lambda x, k: conv3d(x, k, lowering=lowering, **options), x, kernel)
    except ValueError:
        return False
    return True


CASES = [
    (name, lowering)
    for name in LAYERS
    for lowering in LOWERINGS
    if lowering != "direct" and applies(lowering, *layer(name))
]


@pytest.mark.parametrize("name, lowering", CASES)
def test_lowering_equals_direct(name, lowering):
    x, kernel, options = layer(name)

    def outputs(lowering, x, kernel):
        y, pullback = jax.vjp(
            lambda x, k: conv3d(x, k, lowering=lowering, **options), x, kernel
        )
        cotangent = jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
        return y, *pullback(cotangent)

    run = jax.jit(outputs, static_argnums=0, compiler_options=FAST)
    for ours, direct in zip(run(lowering, x, kernel), run("direct", x, kernel), strict=True):
        assert ours.shape == direct.shape
        scale = float(jnp.abs(direct).max())
        np.testing.assert_allclose(ours, direct, atol=2e-6 * scale, rtol=0)


def test_every_lowering_is_tested():
    assert {lowering for _, lowering in CASES} == set(LOWERINGS) - {"direct"}


@pytest.mark.parametrize("backend", ["cpu", "gpu", "tpu"])
@pytest.mark.parametrize("name", LAYERS)
def test_chosen_lowering_applies(name, backend):
    x, kernel, options = layer(name)
    chosen = choose_lowering(x.shape, kernel.shape, **options, backend=backend)
    assert applies(chosen, x, kernel, options)


def test_errors_name_shapes_and_lowerings():
    x, kernel, options = layer("1x3x3")
    with pytest.raises(ValueError, match="unknown lowering 'fast'; expected one of direct"):
        conv3d(x, kernel, lowering="fast")
    with pytest.raises(ValueError, match=r"\(2, 3, 7, 8, 4\)"):
        conv3d(x[..., :4], kernel, **options)
    with pytest.raises(ValueError, match="'pointwise' takes a dense 1x1x1 kernel"):
        conv3d(x, kernel, lowering="pointwise")
