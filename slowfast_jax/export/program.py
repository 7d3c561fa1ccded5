"""A network with its weights as a program of StableHLO, which JAX alone can run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from slowfast_jax.ops.backend import PLAIN_BACKEND, written_for

# Platform -> the backend whose form of the operations it runs best.
BACKENDS = {"cpu": "cpu", "cuda": "gpu", "rocm": "gpu", "tpu": "tpu"}


def export_program(
    model: nn.Module,
    variables: Mapping[str, Any],
    clip: Sequence[int],
    *,
    batch: int | None = None,
    box_count: int | None = None,
    platforms: Sequence[str] = ("cpu",),
) -> bytes:
    """Serializes a network: uint8 clips in, class probabilities out.

    Args:
      model: the network.
      variables: its variables; they become constants of the program.
      clip: (T, H, W) of a clip (N, T, H, W, 3).
      batch: N; None: any number.
      box_count: B of the boxes (N, B, 4) that a detection network takes; None: any number.
      platforms: keys of BACKENDS. For a single one, the operations have the form that is fastest
        there; a program for several has the form of GPUs.

    Returns:
      What `jax.export.deserialize` reads.
    """
    sizes = iter(jax.export.symbolic_shape("n, b"))
    n, b = (next(sizes) if size is None else size for size in (batch, box_count))
    inputs = [jax.ShapeDtypeStruct((n, *clip, 3), jnp.uint8)]
    if model.detection:
        inputs.append(jax.ShapeDtypeStruct((n, b, 4), jnp.float32))
    with written_for(form_for(platforms)):
        scores = jax.jit(scores_function(model, variables))
        exported = jax.export.export(scores, platforms=platforms)(*inputs)
    return bytes(exported.serialize())


def scores_function(
    model: nn.Module, variables: Mapping[str, Any]
) -> Callable[..., jax.Array]:
    """The function `scores(clips)`, or `scores(clips, boxes)`, with the variables as constants."""
    constants = jax.tree.map(np.asarray, variables)

    def scores(*inputs: jax.Array) -> jax.Array:
        return model.apply(constants, *inputs)[1]["probs"].astype(jnp.float32)

    return scores


def form_for(platforms: Sequence[str]) -> str:
    """The form of the operations in a program for these platforms."""
    return BACKENDS[platforms[0]] if len(platforms) == 1 else PLAIN_BACKEND
