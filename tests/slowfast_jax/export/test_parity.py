"""Exported networks against what the original program computed, number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert import load_variables
from convert.torch_file import write_pyth
from convert.trees import flatten
from slowfast_jax.weights import variable_shapes
from tests.slowfast_jax.export.runtimes import convolutions_after_transposes, kinds, run
from tests.slowfast_jax.models import cases
from tests.support.paths import needs_parity

pytest.importorskip("onnx")

from slowfast_jax.export.onnx_network import to_onnx

pytestmark = needs_parity
QUICK = ("TINY_X3D-onnxruntime",)
RUNTIMES = ("onnxruntime", "openvino")
NAMES = [*cases.convolutional(), *cases.transformers()]


def both(endpoints):
    """Probabilities and logits side by side."""
    logits = endpoints["logits"]
    places = tuple(range(1, logits.ndim - 1)) if endpoints["probs"].ndim == 2 else ()
    return jnp.concatenate([endpoints["probs"], logits.mean(places)], -1)


@pytest.mark.parametrize("name, runtime", [
    pytest.param(
        name, runtime, marks=[] if f"{name}-{runtime}" in QUICK else [pytest.mark.slow],
        id=f"{name}-{runtime}",
    ) for name in NAMES for runtime in RUNTIMES
])
def test_pyslowfast(name, runtime, tmp_path):
    case, recorded = cases.manifest("models", name), cases.outputs("models", name)
    model = cases.network(case["cfg"])
    clip, boxes = cases.clip_and_boxes(case)
    write_pyth(tmp_path / "case.pyth", cases.load_rule().make_weights(case))
    variables = load_variables(tmp_path / "case.pyth", variable_shapes(model))

    inputs = [clip] if boxes is None else [clip, boxes]
    number = 0 if boxes is None else boxes.shape[1]
    exported = to_onnx(
        model, variables, clip.shape, boxes=number, dtype=clip.dtype, output=both
    )
    result = run(runtime, exported, *inputs)
    if boxes is not None:
        result = cases.rows_of(case, result)
    probs, logits = np.split(result, 2, -1)
    expected = recorded["logits"].reshape(len(logits), -1, logits.shape[-1]).mean(1)
    assert np.abs(probs - recorded["probs"].reshape(probs.shape)).max() < 1e-5
    assert np.abs(logits - expected).max() < 1e-4

    found = kinds(exported)
    kernels = [leaf for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim == 5]
    # A stage transition of a reversible network pools its skip connection as it does the queries,
    # with the same kernel.
    assert found["Conv"] == len(kernels) + len(getattr(model, "transitions", ()))
    assert not found["Dropout"] and not found["BatchNormalization"]
    # A non-local block puts all positions into one axis and back.
    nonlocal_blocks = any("/nonlocal" in path for _, path in flatten(variables))
    if name in cases.convolutional() and not nonlocal_blocks:
        assert not convolutions_after_transposes(exported)
