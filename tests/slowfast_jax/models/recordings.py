"""Compares a network with what the original program recorded."""

import numpy as np

from tests.slowfast_jax.models import cases, taps


def relative(ours, recorded):
    """The largest difference, relative to the spread of the recorded values."""
    return float(np.abs(np.asarray(ours) - recorded).max() / recorded.std())


def assert_as_recorded(case, recorded, endpoints):
    """Logits and taps are equal to 1e-4 of their spread, probabilities to 1e-5."""
    endpoints = {key: np.asarray(value) for key, value in endpoints.items()}
    if cases.clip_and_boxes(case)[1] is not None:
        for key in list(endpoints):
            if key in ("logits", "probs", "features") or key.startswith("head/roi"):
                endpoints[key] = cases.rows_of(case, endpoints[key])
    assert relative(endpoints["logits"], recorded["logits"]) < 1e-4
    assert np.abs(endpoints["probs"] - recorded["probs"]).max() < 1e-5
    for tap in taps.names(recorded):
        ours = endpoints[taps.endpoint_of(tap, endpoints)]
        assert taps.compare(recorded, tap, ours) < 1e-4, tap
