"""Every mesh gives the losses of one device, and fsdp shards the stored state."""

import ast
import json

import numpy as np
import pytest

from tests.slowfast_jax.training import meshes
from tests.slowfast_jax.training.test_sharding import run_on

TOLERANCE = 1e-4
SCRIPT = "import runpy, sys; sys.argv = ['meshes', {name!r}]; " \
         "runpy.run_module('tests.slowfast_jax.training.meshes', run_name='__main__')"


@pytest.fixture(scope="module", params=meshes.NETWORKS)
def runs(request):
    printed = run_on(8, SCRIPT.format(name=request.param))
    found = json.loads(printed.strip().splitlines()[-1])
    return {ast.literal_eval(sizes): result for sizes, result in found.items()}


@pytest.mark.slow
def test_every_mesh_has_the_losses_of_one_device(runs):
    assert set(runs) == set(meshes.MESHES)
    expected = runs[1, 1, 1]["losses"]
    assert expected[-1] < expected[0]
    for sizes, result in runs.items():
        np.testing.assert_allclose(
            result["losses"], expected, rtol=0, atol=TOLERANCE, err_msg=str(sizes)
        )


@pytest.mark.slow
def test_a_device_holds_its_share_of_parameters_optimizer_and_extra_state(runs):
    whole = runs[1, 1, 1]["bytes"]
    for (data, fsdp, spatial), result in runs.items():
        share = result["bytes"] / whole
        # Arrays of less than 4096 elements stay whole, 2 % of these narrow networks.
        assert 1 / fsdp <= share < 1 / fsdp + 0.04, (data, fsdp, spatial)
