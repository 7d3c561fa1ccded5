"""Vision transformers against what the original program computed, number by number."""

import jax
import numpy as np
import pytest

from convert import load_variables
from convert.torch_file import write_pyth
from slowfast_jax.models.cost import count, totals
from slowfast_jax.weights import variable_shapes
from tests.slowfast_jax.models import cases, taps
from tests.support.compiling import FAST
from tests.support.paths import needs_parity

pytestmark = needs_parity

CASES = [
    pytest.param(name, marks=[] if name.startswith("TINY_") else [pytest.mark.slow])
    for name in cases.transformers() if "REV" not in name
]


def relative(ours, recorded):
    return float(np.abs(np.asarray(ours) - recorded).max() / recorded.std())


@pytest.mark.parametrize("name", CASES)
def test_pyslowfast(name, tmp_path):
    case, recorded = cases.manifest("models", name), cases.outputs("models", name)
    model = cases.network(case["cfg"])
    clip, boxes = cases.clip_and_boxes(case)
    write_pyth(tmp_path / "case.pyth", cases.load_rule().make_weights(case))
    variables = load_variables(tmp_path / "case.pyth", variable_shapes(model))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == case["param_count"]

    apply = jax.jit(model.apply, compiler_options=FAST if "TINY" in name else None)
    _, endpoints = apply(variables, clip, boxes)
    endpoints = {k: np.asarray(v) for k, v in endpoints.items()}
    if boxes is not None:
        for key in list(endpoints):
            if key in ("logits", "probs", "features") or key.startswith(("head/roi",)):
                endpoints[key] = cases.rows_of(case, endpoints[key])
    assert relative(endpoints["logits"], recorded["logits"]) < 1e-4
    assert np.abs(endpoints["probs"] - recorded["probs"]).max() < 1e-5
    for tap in taps.names(recorded):
        ours = endpoints[taps.endpoint_of(tap, endpoints)]
        assert taps.compare(recorded, tap, ours) < 1e-4, tap


@pytest.mark.parametrize("name", CASES)
def test_costs(name):
    case = cases.manifest("models", name)
    recorded = case["stats"]["train_crop"]
    model = cases.network(case["cfg"])
    ours = totals(count(model, case["cfg"]["DATA"]["NUM_FRAMES"], recorded["crop"]))
    assert ours["params"] == case["param_count"]
    assert ours["macs"] / 1e9 == pytest.approx(recorded["gflops"], rel=0.01)
    assert ours["activations"] / 1e6 == pytest.approx(recorded["mactivations"], rel=0.01)
