"""Compiles ONNX graphs with onnxruntime, for the CPU and in float32."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from slowfast_jax.onnxruntime_session import open_session, session_options

if TYPE_CHECKING:
    import onnx

    from slowfast_jax.backends.graph_predictor import Run


def compile_graph(graph: "onnx.ModelProto", dtype: str) -> "Run":
    """The graph, prepared by onnxruntime; `dtype` is "float32"."""
    session = open_session(graph.SerializeToString(), session_options())

    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        return session.run(None, dict(inputs))[0]

    return run
