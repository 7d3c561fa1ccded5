"""The small networks of these tests take longer to optimize than to run."""

import jax
import pytest

OPTION = "jax_disable_most_optimizations"


@pytest.fixture(autouse=True)
def unoptimized():
    before = jax.config.read(OPTION)
    jax.config.update(OPTION, True)
    yield
    jax.config.update(OPTION, before)
