"""Stages that are recomputed for the gradient."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.models import zoo
from slowfast_jax.models.blocks import Bottleneck, Conv3D, Stage, remat_table
from slowfast_jax.models.norm import BatchNorm
from tests.support.compiling import FAST


class Two(nn.Module):
    """A stage of two blocks."""

    remat: str

    @nn.compact
    def __call__(self, x):
        wrap = remat_table((f"stage:{self.remat}",) if self.remat else (), ("stage",))["stage"]
        block = partial(
            wrap(Bottleneck), features=8, inner=4, temporal_kernel=3, conv=Conv3D,
            norm=partial(BatchNorm, train=True),
        )
        return Stage({"block0": block, "block1": block}, name="stage")(x)[0]


@pytest.mark.parametrize("remat", ["blocks", "norms"])
def test_the_gradients_are_the_same_and_more_is_computed(remat):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 2, 6, 6, 8)), jnp.float32)
    variables = jax.jit(Two("").init, compiler_options=FAST)(jax.random.key(0), x)

    def gradients(how):
        def loss(params):
            y, updated = Two(how).apply(
                variables | {"params": params}, x, mutable=["batch_stats"]
            )
            return jnp.square(y).sum(), updated

        return jax.grad(loss, has_aux=True)

    found, expected = (
        jax.jit(gradients(how), compiler_options=FAST)(variables["params"]) for how in (remat, "")
    )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    programs = [str(jax.make_jaxpr(gradients(how))(variables["params"])) for how in (remat, "")]
    convolutions = [program.count("conv_general_dilated[") for program in programs]
    assert "checkpoint" in programs[0] or "remat" in programs[0]
    if remat == "blocks":
        assert convolutions[0] > convolutions[1]
    else:
        assert convolutions[0] == convolutions[1]


@pytest.mark.parametrize("name, remat, named", [
    ("kinetics/slow_8x8_r50", "res9", "remat has res9; expected one of res2, res3, res4, res5"),
    ("kinetics/slowfast_8x8_r50", "res2", "expected one of slow_res2"),
    ("kinetics/x3d_xs", "res2:all", "remat has res2:all"),
])
def test_unknown_stages(name, remat, named):
    model = zoo.create(name, remat=(remat,))
    clip = jnp.zeros((1, model.num_frames, 64, 64, 3), jnp.uint8)
    with pytest.raises(ValueError, match=named):
        jax.eval_shape(model.init, jax.random.key(0), clip)
