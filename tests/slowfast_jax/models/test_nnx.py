"""Networks in flax.nnx, by the code of docs/model_zoo.md."""

import jax
import numpy as np
from flax import nnx
from flax.nnx.bridge.variables import linen_vars_to_nnx_attrs

from slowfast_jax.models import zoo
from tests.support.network_checks import Probe
from tests.support.tiny_models import TinyNorm


def in_nnx(model, variables):
    network = nnx.bridge.ToNNX(model)
    for name, value in linen_vars_to_nnx_attrs(variables).items():
        setattr(network, name, nnx.data(value))
    return network


def test_a_network_in_nnx_gives_equal_logits():
    probe = Probe(zoo.create(
        "kinetics/slow_8x8_r50", depth=(1, 1, 1, 1), width=4, num_classes=4, num_frames=2,
        crop_size=32,
    ))
    network = in_nnx(probe.model, probe.variables)
    logits, endpoints = nnx.jit(lambda network, clip: network(clip))(network, probe.clip)
    expected, _ = jax.jit(probe.model.apply)(probe.variables, probe.clip)
    np.testing.assert_array_equal(logits, expected)
    assert endpoints["probs"].shape == (4, 4)
    assert set(nnx.state(network, nnx.Param)["head"]) == {"projection"}


def test_training_in_nnx_updates_the_statistics():
    probe = Probe(TinyNorm(4))
    network = in_nnx(probe.model, probe.variables)
    network(
        probe.clip, train=True, mutable=["batch_stats"], rngs=nnx.Rngs(dropout=0)
    )
    before, after = probe.variables["batch_stats"], nnx.state(network, nnx.BatchStat)
    assert not np.array_equal(before["a_bn"]["mean"], after["a_bn"]["mean"].get_value())
