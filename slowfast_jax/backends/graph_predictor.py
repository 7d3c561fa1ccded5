"""Runs a network as an ONNX graph that another program has compiled."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from absl import logging

from data_pipelines.cores import available_cores
from slowfast_jax.inference.compiling import announced
from slowfast_jax.inference.predict_step import Output
from slowfast_jax.models.base import VideoNetwork

if TYPE_CHECKING:
    import onnx

# inputs of a graph by name -> its output
Run = Callable[[Mapping[str, np.ndarray]], np.ndarray]
# (graph, name of the dtype to compute in) -> the compiled graph
Compile = Callable[["onnx.ModelProto", str], Run]


class GraphPredictor:
    """Takes the place of `inference.predict_step.Predictor`; computes on the CPU.

    Batches are computed in parts of as many clips as there are cores: each core then has a clip of
    its own, and more feature maps would not fit the caches (docs/performance.md has the times).

    Attributes:
      model: the network.
      devices: 1; a batch is not split.
      say: see `Predictor`.
    """

    devices = 1

    def __init__(self, model: VideoNetwork, output: Output, compile_graph: Compile):
        self.model = model
        self.say: Callable[[str], None] = logging.info
        self._output = output
        self._compile = compile_graph
        self._variables: Mapping[str, Any] | None = None  # those of the compiled graphs
        self._compiled: dict[tuple, Run] = {}  # by shapes and dtypes of the inputs

    def place(self, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """The variables as they are: they become part of the graph."""
        return variables

    def __call__(
        self, variables: Mapping[str, Any], clips: Any, boxes: Any = None
    ) -> np.ndarray:
        """The output, by default probabilities (N, K), or (N, B, K) with boxes.

        A graph is compiled for each shape of a part, and again for other variables.
        """
        inputs = {"clip": np.asarray(clips)}
        if boxes is not None:
            inputs["boxes"] = np.asarray(boxes, np.float32)
        if np.issubdtype(inputs["clip"].dtype, np.floating):
            inputs["clip"] = inputs["clip"].astype(np.float32, copy=False)
        if variables is not self._variables:
            self._variables, self._compiled = variables, {}
        part, count = available_cores(), len(inputs["clip"])
        return np.concatenate([
            self._run({name: value[begin:begin + part] for name, value in inputs.items()})
            for begin in range(0, count, part)
        ])

    def _run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        key = tuple((value.shape, value.dtype.str) for value in inputs.values())
        if key not in self._compiled:
            shape = " x ".join(map(str, inputs["clip"].shape))
            with announced(f"the network for batches of {shape}", self.say, kept=False):
                self._compiled[key] = self._build(inputs)
        return self._compiled[key](inputs)

    def _build(self, inputs: Mapping[str, np.ndarray]) -> Run:
        from slowfast_jax.export.onnx_network import to_onnx  # onnx is an extra

        clips, boxes = inputs["clip"], inputs.get("boxes")
        graph = to_onnx(
            self.model, self._variables, clips.shape, boxes=0 if boxes is None else boxes.shape[1],
            dtype=clips.dtype, output=self._output,
        )
        return self._compile(graph, jnp.dtype(self.model.dtype).name)
