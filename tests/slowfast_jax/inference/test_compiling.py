"""What is said about a program that is compiled, or read from the cache."""

import jax

from slowfast_jax.inference.compiling import SAVED, announced


def said(saved):
    """What `announced` says if JAX reports that its cache saved this many seconds."""
    sentences = []
    with announced("the network", sentences.append):
        jax.monitoring.record_event_duration_secs(SAVED, saved)
    return sentences


def test_a_program_from_the_cache():
    assert said(20.0)[1] == "read the network from the cache in 0.0 s"


def test_a_program_that_is_compiled():
    before, after = said(0.0)
    assert before.startswith("compiling the network (about a minute")
    assert after == "compiled the network in 0.0 s"
