"""Five steps of training against the original program's.

In double precision, ours differ from the recorded values by at most EXACT times their largest
magnitude (measured: 1e-14 or less); sampled gradients and the parameters after the first step were
stored in float32. In single precision, ours may differ from them by SINGLE_PRECISION_FACTOR times
what the original's own float32 run does, because sums are in another order.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.training.precise_bn import make_precise_step, precise_batch_stats
from tests.slowfast_jax.models import cases
from tests.slowfast_jax.training import runs
from tests.support.compiling import FAST
from tests.support.paths import needs_parity

EXACT = 1e-12
STORED_IN_FLOAT32 = 1e-7
SINGLE_PRECISION_FACTOR, SINGLE_PRECISION_FLOOR = 2, 3e-7
CASES = (
    "slowfast_sgd", "slowfast_sgd_steps_no_nesterov", "slowfast_clip_l2", "slowfast_clip_value",
    "slowfast_frozen_bn", "slowfast_ava", "x3d_sgd", "slowfast_bce_logit",
    "slowfast_detach_final_fc", "slow_adam", "slow_lars", "slow_lars_zero_wd_1d", "slowfast_subbn2",
    "mvit1_adamw", "mvit2_adamw", "mvit2_adamw_layerdecay",
)
# Gradients this small next to all gradients together are rounding noise: a bias of the keys adds
# the same to all logits of a query. Adam divides such a gradient by its 1e-8 at least, and steps.
NOISE, NOISE_STEPS = 1e-13, 1e-10

pytestmark = needs_parity


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_five_steps(name, tmp_path):
    case, recorded = cases.manifest("train", name), reference(name)
    with jax.enable_x64(True):
        run = runs.run(case, recorded["epoch_exact"], jnp.float64, tmp_path)
        assert run.lrs == recorded["lr"].tolist()
        assert_close([m["loss"] for m in run.metrics], recorded["loss"])
        norms = [m["grad_norm"] for m in run.metrics]
        assert_close(norms, recorded["grad_norm_reported"])
        assert_first_predictions(case, run, recorded)
        assert_first_gradients(case, run, recorded)
        for step in (1, 5):
            assert_parameters(case, run, recorded, step)
            assert_statistics(case, run, recorded, step)
        stats = run.states[-1].batch_stats
        assert_predictions(case, run, stats, recorded["eval_preds_on_step1_input"])
        if "precise_bn_fvcore" in recorded:
            assert_precise(case, run, recorded)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slowfast_sgd", "x3d_sgd"])
def test_five_steps_in_single_precision(name, tmp_path):
    case, exact, theirs = cases.manifest("train", name), reference(name), reference(name, "f32")
    noise = reference(name, "f32maxdiff")
    noise |= {k: np.abs(theirs[k] - exact[k]).max() for k in ("loss", "grad_norm_reported")}
    run = runs.run(case, exact["epoch_exact"], jnp.float32, tmp_path)
    ours = runs.under_their_names(run.states[-1].variables)
    gradients = runs.under_their_names({"params": run.states[0].opt_state[0]})
    found = {
        "loss": [m["loss"] for m in run.metrics],
        "grad_norm_reported": [m["grad_norm"] for m in run.metrics],
        "step1_param_grad_samples": [runs.samples(n, gradients[n]) for n in case["param_names"]],
        "params_after_step5_samples": [runs.samples(n, ours[n]) for n in case["param_names"]],
        "bn_after_step5": np.concatenate([ours[n] for n in case["bn_buffer_names"]]),
    }
    for key, values in found.items():
        floor = SINGLE_PRECISION_FLOOR * np.abs(exact[key]).max()
        allowed = max(SINGLE_PRECISION_FACTOR * noise[key], floor)
        assert np.abs(values - exact[key]).max() <= allowed, key


def reference(name, precision="f64"):
    """The recorded arrays of one precision, without its prefix."""
    prefix = f"{precision}__"
    arrays = cases.outputs("train", name)
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def assert_close(ours, recorded, tolerance=EXACT):
    """Checks that values differ by at most `tolerance` times the largest recorded magnitude."""
    np.testing.assert_allclose(ours, recorded, rtol=0, atol=tolerance * np.abs(recorded).max())


def in_recorded_order(case, per_clip):
    """Outputs in the recorded order, which `runs.batches` changed; those of boxes as rows."""
    if per_clip.ndim == 3:
        return cases.rows_of(case["steps"][0], per_clip)
    splits = case["cfg"]["BN"]["NUM_SPLITS"]
    return per_clip[np.arange(len(per_clip)).reshape(splits, -1).T.ravel()]


def assert_first_predictions(case, run, recorded):
    logits = in_recorded_order(case, run.metrics[0]["logits"])
    if case["cfg"]["DETECTION"]["ENABLE"]:  # its head applies the sigmoid in training too
        logits = np.asarray(jax.nn.sigmoid(logits))
    assert_close(logits, recorded["step1_preds"])


def assert_first_gradients(case, run, recorded):
    """Checks the gradients that the optimizer got; they were recorded before clipping."""
    ours = runs.under_their_names({"params": run.states[0].opt_state[0]})
    solver = case["cfg"]["SOLVER"]
    most, scale = float(solver["CLIP_GRAD_VAL"] or np.inf), 1.0
    if solver["CLIP_GRAD_L2NORM"]:
        total = recorded["grad_norm_reported"][0]
        scale = min(1, float(solver["CLIP_GRAD_L2NORM"]) / (total + 1e-6))
    for name, samples, norm in zip(
        case["param_names"], recorded["step1_param_grad_samples"],
        recorded["step1_param_grad_norm"], strict=True,
    ):
        found = runs.samples(name, ours[name])
        if np.isnan(norm):  # the original has no gradient there
            assert not ours[name].any()
            continue
        if norm < NOISE * recorded["grad_norm_reported"][0]:
            assert np.linalg.norm(ours[name]) < NOISE * recorded["grad_norm_reported"][0]
            continue
        expected = np.clip(samples * scale, -most, most)
        assert_close(found, expected, STORED_IN_FLOAT32)
        if most == np.inf:
            assert_close(np.linalg.norm(ours[name]), norm * scale)


def assert_parameters(case, run, recorded, step):
    ours = runs.under_their_names(run.states[step - 1].variables)
    samples = np.stack([runs.samples(n, ours[n]) for n in case["param_names"]])
    stored = EXACT if step == 5 else STORED_IN_FLOAT32
    norms = recorded["step1_param_grad_norm"]
    noisy = (norms > 0) & (norms < NOISE * recorded["grad_norm_reported"][0])
    assert not noisy.any() or case["cfg"]["SOLVER"]["OPTIMIZING_METHOD"] == "adamw"
    expected = recorded[f"params_after_step{step}_samples"]
    assert_close(samples[~noisy], expected[~noisy], stored)
    np.testing.assert_allclose(samples[noisy], expected[noisy], rtol=0, atol=max(
        NOISE_STEPS, stored * np.abs(expected).max()
    ))
    if step == 5:
        for key, measure in (("sum", np.sum), ("abs", lambda a: np.abs(a).sum())):
            totals = np.array([measure(ours[n]) for n in case["param_names"]])
            assert_close(totals[~noisy], recorded[f"params_after_step5_{key}"][~noisy])


def assert_statistics(case, run, recorded, step):
    """Checks running statistics. For split norms, ours are the ones that the original makes of its
    splits' before it evaluates."""
    ours = runs.under_their_names(run.states[step - 1].variables)
    theirs = runs.statistics(case, recorded[f"bn_after_step{step}"])
    theirs |= runs.aggregated(theirs)
    for name, array in theirs.items():
        if "split_bn" not in name:
            assert_close(ours[name.replace("bn.bn.", "bn.")], array)
    if step == 5 and "bn_after_aggregate" in recorded:
        for name, array in runs.statistics(case, recorded["bn_after_aggregate"]).items():
            if "split_bn" not in name:
                assert_close(ours[name.replace("bn.bn.", "bn.")], array)


def assert_predictions(case, run, batch_stats, recorded):
    params, batch = run.states[-1].params, run.batches[0]

    def predict(params, batch_stats, batch):
        variables = {"params": params, "batch_stats": batch_stats}
        return run.model.apply(variables, batch["clip"], batch.get("boxes"))[1]["probs"]

    probs = jax.jit(predict, compiler_options=FAST)(params, batch_stats, batch)
    probs = np.asarray(probs)
    assert_close(in_recorded_order(case, probs), recorded)


def assert_precise(case, run, recorded):
    """Checks precise statistics over the first four batches, with the final weights."""
    step = jax.jit(make_precise_step(run.model), compiler_options=FAST)
    state = run.states[-1]
    stats = precise_batch_stats(step, state.params, state.batch_stats, run.batches[:4])
    ours = runs.under_their_names({"params": state.params, "batch_stats": stats})
    for name, array in runs.statistics(case, recorded["precise_bn_fvcore"]).items():
        if "split_bn" not in name:
            assert_close(ours[name.replace("bn.bn.", "bn.")], array)
    assert_predictions(case, run, stats, recorded["precise_bn_fvcore_eval_preds"])
