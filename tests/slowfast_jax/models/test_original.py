"""One network of each family against PySlowFast's recorded outputs, training step included.

The outputs are in tests/fixtures, so these tests run on any clone; test_parity.py has many more
cases. The networks are small, with all kinds of layers of the published ones.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from convert import names
from convert.layouts import to_torch
from convert.trees import flatten
from slowfast_jax.tasks.base import supervised
from slowfast_jax.training.losses import LOSSES
from slowfast_jax.training.optim import make_optimizer
from slowfast_jax.training.state import create_state
from slowfast_jax.training.step import make_train_step
from slowfast_jax.weights import variable_shapes
from tests.support import original
from tests.support.compiling import FAST
from tests.support.paths import needs_parity

DESCRIBED, RECORDED = original.load()
QUICK_FORWARD, QUICK_STEP = ("C2D", "detection"), ("X3D",)


def marked(families, quick):
    return [pytest.param(f, marks=[] if f in quick else [pytest.mark.slow]) for f in families]


def under_their_names(params):
    """{PySlowFast's name: parameter in PyTorch's layout}."""
    leaves = {path: np.asarray(leaf) for (_, path), leaf in flatten({"params": params}).items()}
    family = names.family_of(leaves)
    return {names.to_pyslowfast(path, family): to_torch(leaf) for path, leaf in leaves.items()}


def in_double_precision(array):
    return jnp.asarray(array, jnp.float64 if array.dtype == np.float32 else None)


@pytest.mark.parametrize("family", marked(DESCRIBED["forward"], QUICK_FORWARD))
def test_outputs(family):
    case = DESCRIBED["forward"][family]
    model = original.network(case)
    variables = original.weights(variable_shapes(model), case)
    boxes, mask = original.boxes_of(case)
    _, out = jax.jit(model.apply, compiler_options=FAST)(
        variables, original.clip_of(case), boxes
    )
    mask = slice(None) if mask is None else mask
    expected = RECORDED[f"{family}/logits"]
    logits = np.asarray(out["logits"])[mask].reshape(expected.shape)  # at all positions
    assert np.abs(logits - expected).max() < 1e-4 * expected.std()
    assert np.abs(np.asarray(out["probs"])[mask] - RECORDED[f"{family}/probs"]).max() < 1e-5


@pytest.mark.parametrize("family", marked(DESCRIBED["step"], QUICK_STEP))
def test_training_step(family):
    """Loss, gradients and the parameters after one step of SGD.

    In double precision, as recorded: single precision leaves noise in the gradients of the stem.
    """
    with jax.enable_x64(True):
        check_training_step(family)


def check_training_step(family):
    case = DESCRIBED["step"][family]
    model = original.network(case).clone(dtype=jnp.float64)
    boxes, mask = original.boxes_of(case)
    labels = np.array(case["labels"])
    batch = {"clip": original.clip_of(case), "label": labels}
    if boxes is not None:
        batch |= {"boxes": boxes, "box_mask": mask}
        batch["label"] = np.zeros((*mask.shape, labels.shape[1]), np.float32)
        batch["label"][mask] = labels

    def objective(logits, endpoints, batch):
        return LOSSES[case["loss"]](logits, batch["label"], batch.get("box_mask")), {}

    optimizer = optax.chain(
        optax.GradientTransformation(  # keeps the gradients as its state
            lambda params: jax.tree.map(jnp.zeros_like, params),
            lambda gradients, state, params=None: (gradients, gradients),
        ),
        make_optimizer("sgd", is_norm=model.is_norm, **case["optimizer"]),
    )
    variables = original.weights(variable_shapes(model), case)
    variables, batch = jax.tree.map(in_double_precision, (variables, batch))
    step = make_train_step(model, optimizer, supervised(objective))
    state, metrics = jax.jit(step, compiler_options=FAST)(
        create_state(variables, optimizer), batch, case["lr"], jax.random.key(0)
    )
    expected = {
        key.removeprefix(f"{family}/step/"): value for key, value in RECORDED.items()
        if key.startswith(f"{family}/step/")
    }
    np.testing.assert_allclose(metrics["loss"], expected["loss"], rtol=1e-6)
    np.testing.assert_allclose(metrics["grad_norm"], expected["grad_norm"], rtol=1e-6)
    gradients, params = under_their_names(state.opt_state[0]), under_their_names(state.params)
    largest = np.nanmax(np.abs(expected["gradients"]))
    for number, name in enumerate(case["names"]):
        found = np.linalg.norm(gradients[name])
        np.testing.assert_allclose(
            found, expected["grad_norms"][number], rtol=1e-6, atol=1e-6 * largest, err_msg=name
        )
        for key, ours, atol in (
            ("gradients", gradients, 1e-6 * largest), ("params", params, 1e-6)
        ):
            np.testing.assert_allclose(
                original.samples(name, ours[name]), expected[key][number], rtol=1e-6, atol=atol,
                err_msg=f"{key} of {name}",
            )


@needs_parity
def test_the_fixtures_are_what_was_recorded(tmp_path, monkeypatch):
    files = ("original.json", "original.npz")
    assert sum((original.FIXTURES / name).stat().st_size for name in files) < 300_000
    monkeypatch.setattr(original, "FIXTURES", tmp_path)
    original.record()
    described, arrays = original.load()
    assert described == DESCRIBED and set(arrays) == set(RECORDED)
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, RECORDED[key], key)
