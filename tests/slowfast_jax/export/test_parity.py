"""Exported networks against what the programs they come from computed, number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert import load_variables
from convert.trees import flatten
from slowfast_jax.models.mvit import MViT
from slowfast_jax.models.reversible import RevMViT
from slowfast_jax.weights import variable_shapes
from tests.slowfast_jax.export.runtimes import convolutions_after_transposes, kinds, run
from tests.slowfast_jax.models import recorded_cases
from tests.slowfast_jax.models.recordings import assert_close
from tests.support.paths import needs_parity

pytest.importorskip("onnx")

from slowfast_jax.export.onnx_network import to_onnx

pytestmark = needs_parity
RUNTIMES = ("onnxruntime", "openvino")
QUICK = ("models-TINY_X3D-onnxruntime",)
CASES = [
    (folder, name, runtime)
    for folder, names in recorded_cases.NAMES.items() for name in names for runtime in RUNTIMES
]


def both(endpoints):
    """Probabilities and logits side by side, the logits as means over the places of the head."""
    logits = endpoints["logits"]
    places = tuple(range(1, logits.ndim - 1)) if endpoints["probs"].ndim == 2 else ()
    return jnp.concatenate([endpoints["probs"], logits.mean(places)], -1)


@pytest.mark.parametrize("folder, name, runtime", [
    pytest.param(*case, marks=[] if "-".join(case) in QUICK else [pytest.mark.slow],
                 id="-".join(case))
    for case in CASES
])
def test_as_recorded(folder, name, runtime, tmp_path):
    case = recorded_cases.load(folder, name, tmp_path)
    model, clip, boxes = case.model, case.clip, case.boxes
    variables = load_variables(case.weights, variable_shapes(model))
    inputs = [clip] if boxes is None else [clip, boxes]
    exported = to_onnx(
        model, variables, clip.shape, boxes=0 if boxes is None else boxes.shape[1],
        dtype=clip.dtype, output=both,
    )
    probs, logits = np.split(run(runtime, exported, *inputs), 2, -1)
    places = tuple(range(1, case.logits.ndim - 1))
    assert_close(case._replace(logits=case.logits.mean(places)), probs, logits)
    assert np.abs(case.rows(logits) - case.logits.mean(places)).max() < 1e-4

    found = kinds(exported)
    kernels = [leaf for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim == 5]
    # A stage transition of a reversible network pools its skip connection as it does the queries,
    # with the same kernel.
    assert found["Conv"] == len(kernels) + len(getattr(model, "transitions", ()))
    assert not found["Dropout"] and not found["BatchNormalization"]
    # A non-local block puts all positions into one axis and back.
    nonlocal_blocks = any("/nonlocal" in path for _, path in flatten(variables))
    if not isinstance(model, (MViT, RevMViT)) and not nonlocal_blocks:
        assert not convolutions_after_transposes(exported)
