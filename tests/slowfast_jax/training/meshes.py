"""Runs the same training steps on many meshes of eight CPU devices, for tests in a subprocess.

    python -m tests.slowfast_jax.training.meshes slowfast

prints {mesh: {"losses", "bytes" of the state on the first device}} as JSON.
"""

import json
import sys
from functools import partial

import jax
import numpy as np

from slowfast_jax.models import zoo
from slowfast_jax.tasks.base import forward
from slowfast_jax.training.losses import cross_entropy
from slowfast_jax.training.optim import make_optimizer
from slowfast_jax.training.sharding import (
    make_mesh,
    over_batch,
    put_batch,
    replicated,
    state_shardings,
)
from slowfast_jax.training.state import create_state
from slowfast_jax.training.step import make_train_step
from tests.support.compiling import FAST

STEPS, LR = 4, 0.01
SHARED = dict(num_classes=4, crop_size=32, dropout=0.0)
NETWORKS = {
    "slowfast": ("kinetics/slowfast_8x8_r50", dict(
        depth=18, width=16, num_frames=8, group_size=4,
    )),
    "x3d": ("kinetics/x3d_xs", dict(num_frames=4, group_size=4)),
    "nonlocal": ("kinetics/i3d_nln_8x8_r50", dict(
        depth=18, width=16, num_frames=4, group_size=4, nonlocal_blocks=((), (1,), (1,), ()),
    )),
    "csn": ("kinetics/csn_32x2_r101", dict(
        depth=(1, 1, 1, 1), width=32, num_frames=4, group_size=4,
    )),
    "r2plus1d": ("kinetics/r2plus1d_16x4_r50", dict(
        depth=(1, 1, 1, 1), width=16, num_frames=4, group_size=4,
    )),
    "mvit": ("kinetics/mvitv2_s_16x4", dict(
        depth=3, width=96, num_frames=4, drop_path=0.0, dim_mul=((1, 2.0),), head_mul=((1, 2.0),),
        q_strides=((0, 1, 1, 1), (1, 1, 2, 2), (2, 1, 1, 1)),
    )),
}
# (data, fsdp, spatial): on one, two, four and eight devices
MESHES = (
    (1, 1, 1), (2, 1, 1), (4, 1, 1), (8, 1, 1), (1, 2, 1), (1, 4, 1), (1, 8, 1), (2, 2, 1),
    (2, 4, 1), (1, 1, 2), (2, 1, 2), (2, 2, 2),
)


def run(name: str, sizes: tuple[int, int, int], **options) -> dict:
    """Losses and memory of a few steps on a mesh; `options` are passed to `make_train_step`."""
    zoo_name, keywords = NETWORKS[name]
    model = zoo.create(zoo_name, **SHARED | keywords)
    mesh = make_mesh(*sizes, devices=jax.devices()[: int(np.prod(sizes))])
    rng = np.random.default_rng(0)
    clip = (8, model.num_frames, model.crop_size, model.crop_size, 3)
    batch = {
        "clip": rng.integers(0, 256, clip, np.uint8), "label": np.arange(8, dtype=np.int32) % 4,
    }
    init = jax.jit(partial(model.init, jax.random.key(0)), compiler_options=FAST)
    optimizer = make_optimizer(weight_decay=1e-3, is_norm=model.is_norm)
    variables = init(batch["clip"])
    state = create_state(variables, optimizer, extra={"encoder": variables["params"]})
    places = state_shardings(state, mesh)
    state = jax.device_put(state, places)
    batch = put_batch(batch, mesh)
    assert batch["clip"].sharding == over_batch(mesh, clip)

    def loss(model, variables, extra, batch, rngs):
        """Cross entropy; a momentum encoder follows the parameters."""
        logits, _, updates = forward(model, variables, batch, rngs)
        encoder = jax.tree.map(
            lambda old, new: 0.9 * old + 0.1 * new, extra["encoder"], variables["params"]
        )
        value = cross_entropy(logits, batch["label"])
        return value, {}, updates | {"extra": {"encoder": encoder}}

    step = make_train_step(model, optimizer, loss, mesh=mesh, **options)
    step = jax.jit(step, out_shardings=(places, replicated(mesh)))
    arguments = np.float32(LR), jax.random.key(0)
    step = step.lower(state, batch, *arguments).compile(compiler_options=FAST)
    arguments = jax.device_put(arguments, replicated(mesh))
    losses = []
    for _ in range(STEPS):
        state, metrics = step(state, batch, *arguments)
        losses.append(float(metrics["loss"]))
    held = sum(
        leaf.addressable_shards[0].data.nbytes
        for leaf in jax.tree.leaves((state.params, state.opt_state, state.extra))
    )
    return {"losses": losses, "bytes": held}


if __name__ == "__main__":
    meshes = [tuple(sizes) for sizes in json.loads(sys.argv[2])] if sys.argv[2:] else MESHES
    print(json.dumps({str(sizes): run(sys.argv[1], sizes) for sizes in meshes}))
