"""Sharding on one device, and on four in a subprocess: JAX fixes their number at startup."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass

import jax
import numpy as np
import pytest

from slowfast_jax.training.sharding import (
    make_mesh,
    over_batch,
    put_batch,
    replicated,
    state_shardings,
)
from tests.support.paths import ROOT


def run_on(devices: int, script: str, *arguments) -> str:
    """Runs a script in a process with this number of CPU devices; returns its output."""
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    result = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], cwd=ROOT, capture_output=True,
        text=True, env=os.environ | {"JAX_PLATFORMS": "cpu"} | flags,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def run_on_four(script: str, *arguments) -> str:
    return run_on(4, script, *arguments)


def test_one_device_holds_everything():
    mesh = make_mesh()
    assert mesh.axis_names == ("data", "fsdp", "spatial") and mesh.size == len(jax.devices())
    batch = {"clip": np.arange(24, dtype=np.uint8).reshape(4, 6), "label": np.arange(4)}
    placed = put_batch(batch, mesh)
    for name, rows in batch.items():
        assert placed[name].sharding == over_batch(mesh)
        np.testing.assert_array_equal(placed[name], rows)
    assert replicated(mesh).is_fully_replicated


PLACES = """
import numpy as np
from slowfast_jax.training.sharding import make_mesh, put_batch
mesh = make_mesh()
clip = put_batch({"clip": np.arange(8).reshape(8, 1)}, mesh)["clip"]
rows = {s.device.id: s.data.ravel().tolist() for s in clip.addressable_shards}
assert rows == {0: [0, 1], 1: [2, 3], 2: [4, 5], 3: [6, 7]}, rows
try:
    put_batch({"clip": np.zeros((6, 1))}, mesh)
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_each_device_has_contiguous_examples():
    printed = run_on_four(PLACES)
    assert "a batch of 6 cannot be split over 4 devices; use a multiple of 4" in printed


NORMS = """
import re
import jax
import numpy as np
from slowfast_jax.models.norm import BatchNorm
from slowfast_jax.training.sharding import make_mesh, put_batch, replicated

mesh, random = make_mesh(), np.random.default_rng(0)
for batch, group in ((8, 1), (8, 2), (16, 2), (8, 4), (16, 8), (8, 8), (8, None), (24, 8)):
    norm = BatchNorm(group)
    clip = random.normal(random.normal(), 2, (batch, 2, 6, 6, 16)).astype(np.float32)
    weight = random.normal(size=clip.shape).astype(np.float32)
    variables = norm.init(jax.random.key(0), clip, True)

    @jax.jit
    def step(variables, batch):
        def loss(params, clip):
            y, updated = norm.apply(
                variables | {"params": params}, clip, True, mutable=["batch_stats"]
            )
            return (y * batch["weight"]).sum(), (y, updated)

        return jax.grad(loss, (0, 1), has_aux=True)(variables["params"], batch["clip"])

    here = {"clip": clip, "weight": weight}
    spread = jax.device_put(variables, replicated(mesh)), put_batch(here, mesh)
    one = jax.device_put((variables, here), jax.devices()[0])
    (found, expected) = (jax.device_get(step(*arguments)) for arguments in (spread, one))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4), found, expected
    )
    text = step.lower(*spread).compile().as_text()
    moves = re.findall("all-gather|all-to-all|collective-permute", text)
    print(batch, group, "sums" if "all-reduce" in text else "", "clips" if moves else "")
"""


@pytest.fixture(scope="module")
def norms():
    return [line.split(" ", 2) for line in run_on_four(NORMS).splitlines()]


@pytest.mark.slow
def test_group_norms_do_not_depend_on_the_device_layout(norms):
    assert len(norms) == 8  # the script compares each case with one device


@pytest.mark.slow
def test_devices_exchange_sums_but_no_clips(norms):
    """If groups divide evenly among devices, or devices among groups."""
    moved = {(batch, group) for batch, group, what in norms if "clips" in what}
    assert moved == {("24", "8")}


@dataclass(frozen=True)
class Device:
    id: int
    process_index: int = 0


@pytest.mark.parametrize("sizes, shape", [
    ((), (8, 1, 1)), ((-1, 4), (2, 4, 1)), ((2, 2, 2), (2, 2, 2)), ((1, -1, 2), (1, 4, 2)),
])
def test_an_axis_of_size_minus_1_takes_the_remaining_devices(sizes, shape):
    mesh = make_mesh(*sizes, devices=[Device(i) for i in range(8)])
    assert tuple(mesh.shape.values()) == shape
    assert [device.id for device in mesh.devices.ravel()] == list(range(8))


@pytest.mark.parametrize("sizes, message", [
    ((-1, 3), "fsdp 3 x spatial 1 makes 3, which does not fit 8 devices"),
    ((2, 2), "data 2 x fsdp 2 x spatial 1 makes 4, which does not fit 8 devices"),
    ((-1, -1), "mesh.data and mesh.fsdp are -1, expected at most one"),
    ((0,), "mesh.data is 0, expected 1 or more"),
    ((1, 1, 8), "mesh.spatial is 8, expected a divisor of 4, the number of devices per process"),
])
def test_sizes_that_do_not_fit(sizes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_mesh(*sizes, devices=[Device(i, i // 4) for i in range(8)])


def test_large_arrays_are_split_along_their_largest_side():
    mesh = make_mesh(-1, 4, devices=[Device(i) for i in range(8)])
    shapes = {
        "kernel": (1, 3, 3, 64, 128), "small": (64,), "odd": (5, 999), "scalar": (),
        "wide": (3, 2048, 6),
    }
    tree = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in shapes.items()}
    specs = {name: tuple(s.spec) for name, s in state_shardings(tree, mesh).items()}
    assert specs == {
        "kernel": (None, None, None, None, "fsdp"), "small": (), "odd": (), "scalar": (),
        "wide": (None, "fsdp"),
    }
