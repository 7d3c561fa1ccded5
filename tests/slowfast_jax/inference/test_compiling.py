"""What is said about a program that is compiled, or read from the cache."""

import jax

from slowfast_jax.inference.compiling import COMPILED, READ, announced


def said(compiled, read):
    """What `announced` says if JAX reports these seconds for several programs."""
    sentences = []
    with announced("the network", sentences.append):
        for event, seconds in ((COMPILED, compiled), (READ, read)):
            for one in seconds:
                jax.monitoring.record_event_duration_secs(event, one)
    return sentences


def test_a_program_from_the_cache():
    assert said([9.0, 0.5], [8.9])[1] == "read the network from the cache in 0.0 s"


def test_a_program_that_is_compiled():
    before, after = said([20.0, 0.5], [0.4])
    assert before.startswith("compiling the network (about a minute")
    assert after == "compiled the network in 0.0 s"
