"""Compares a network with what the original program recorded."""

import numpy as np

from tests.slowfast_jax.models import cases, taps

# Of probabilities. Every program that runs a network is this close to the recording, so no two
# differ by more than 1e-5.
TOLERANCE = 5e-6


def relative(ours, recorded):
    """The largest difference, relative to the spread of the recorded values."""
    return float(np.abs(np.asarray(ours) - recorded).max() / recorded.std())


def assert_as_recorded(case, recorded, endpoints):
    """Logits and taps are equal to 1e-4 of their spread, probabilities to TOLERANCE."""
    endpoints = {key: np.asarray(value) for key, value in endpoints.items()}
    if cases.clip_and_boxes(case)[1] is not None:
        for key in list(endpoints):
            if key in ("logits", "probs", "features") or key.startswith("head/roi"):
                endpoints[key] = cases.rows_of(case, endpoints[key])
    assert relative(endpoints["logits"], recorded["logits"]) < 1e-4
    assert np.abs(endpoints["probs"] - recorded["probs"]).max() < TOLERANCE
    for tap in taps.names(recorded):
        ours = endpoints[taps.endpoint_of(tap, endpoints)]
        assert taps.compare(recorded, tap, ours) < 1e-4, tap


def assert_close(case, probs, logits):
    """The same of a `recorded_cases.Recorded`: outputs `(N, ..., K)` with a row for each box."""
    probs, logits = case.rows(probs), case.rows(logits)
    if len(case.probs) < len(probs):
        probs = probs.mean(0, keepdims=True)
    assert relative(logits.reshape(case.logits.shape), case.logits) < 1e-4
    assert np.abs(probs - case.probs).max() < TOLERANCE
