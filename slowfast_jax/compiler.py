"""Compiler options of inference, by network and backend."""

from functools import cache
from typing import Any

import flax.linen as nn
import jax

CONCURRENT = "xla_cpu_enable_concurrency_optimized_scheduler"


def options(model: nn.Module) -> dict[str, Any]:
    """What `jax.jit(..., compiler_options=...)` takes to run this network's forward pass fast.

    The two pathways of SlowFast are independent between laterals: on CPU, scheduling them side by
    side fills the cores while one of them is in a layer too narrow to share. Networks with one
    pathway lose by it (docs/performance.md has the figures).
    """
    two_pathways = hasattr(model, "alpha")
    if two_pathways and jax.default_backend() == "cpu" and _known(CONCURRENT):
        return {CONCURRENT: True}
    return {}


@cache
def _known(option: str) -> bool:
    """Whether the installed XLA has the option; they come and go between versions."""
    try:
        jax.jit(lambda: 0, compiler_options={option: True}).lower().compile()
    except (jax.errors.JaxRuntimeError, RuntimeError, ValueError):
        return False
    return True
