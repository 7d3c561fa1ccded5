"""A network as an ONNX model: pixels of clips in, scores out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import onnx

from slowfast_jax.export.flat_program import Program, flatten
from slowfast_jax.export.graph import Graph
from slowfast_jax.export.orders import channels_first, identity
from slowfast_jax.export.rules import RULES
from slowfast_jax.export.rules.composites import NAMES
from slowfast_jax.export.translation import ExportError, Translation
from slowfast_jax.models.fold import fold_batch_norm
from slowfast_jax.ops.backend import GRAPH_BACKEND, written_for

CLIP, BOXES, SCORES = "clip", "boxes", "scores"  # names of the inputs and of the output


def to_onnx(
    model: nn.Module,
    variables: Mapping[str, Any],
    clip_shape: Sequence[int],
    *,
    boxes: int = 0,
    any_batch: bool = False,
    dtype: Any = np.uint8,
    output: Callable[[Mapping[str, jax.Array]], jax.Array] | None = None,
) -> onnx.ModelProto:
    """The network in evaluation mode, with its weights and the normalization of the pixels.

    Args:
      model, variables: the network; batch norms are folded if they are not yet.
      clip_shape: (N, T, H, W, 3).
      boxes: number of boxes of each clip, for networks that classify boxes.
      any_batch: the model takes batches of any size, whatever N is; not with boxes.
      dtype: of the clip: uint8 for pixels, or float32 if it is already normalized.
      output: endpoints of the network -> the result; by default, the probabilities.

    Returns:
      A model in float32 with the inputs `clip`, and `boxes` (N, B, 4) if there are any, and the
      output `scores`: (N, K), or (N, B, K) with boxes.

    Raises:
      ExportError: the network has an operation that has no form in ONNX, or takes boxes and batches
        of any size.
    """
    if any_batch:
        if boxes:
            raise ExportError("a network that classifies boxes is exported for a fixed batch size")
        # Traced with two, because axes of size 1 are arranged as if they were not there.
        clip_shape = (2, *clip_shape[1:])
    model, variables = fold_batch_norm(model, variables)
    inputs = {CLIP: jax.ShapeDtypeStruct(tuple(clip_shape), dtype)}
    if boxes:
        inputs[BOXES] = jax.ShapeDtypeStruct((clip_shape[0], boxes, 4), jnp.float32)
    program = _traced(model, variables, inputs, output or (lambda endpoints: endpoints["probs"]))
    graph = Graph(any_batch=any_batch)
    translation = Translation(graph, program)
    for (name, struct), symbol in zip(inputs.items(), program.inputs, strict=True):
        tensor = graph.add_input(name, struct.shape, struct.dtype)
        translation.set(symbol, tensor)
        if name == CLIP:  # as the first convolution reads it, while the elements are small
            order = channels_first(5)
            stored = {order: graph.stored(tensor, order)}
            tensor.names = stored | {identity(5): name}
    translation.run(RULES)
    scores = translation.full(program.outputs[0])
    title = type(model).__name__
    return graph.model({SCORES: scores}, title, f"{title} of slowfast_jax, with its weights")


def _traced(
    model: nn.Module, variables: Mapping[str, Any], inputs: Mapping[str, jax.ShapeDtypeStruct],
    output: Callable,
) -> Program:
    leaves, structure = jax.tree.flatten(variables)
    model = model.clone(dtype=jnp.float32)

    def forward(*arguments):
        weights = jax.tree.unflatten(structure, arguments[: len(leaves)])
        return output(model.apply(weights, *arguments[len(leaves):])[1])

    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    with written_for(GRAPH_BACKEND):
        program = jax.make_jaxpr(forward)(*shapes, *inputs.values())
    return flatten(program, leaves, NAMES)
