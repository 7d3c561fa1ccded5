"""Compiles ONNX graphs with onnxruntime, for the CPU and in float32."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from data_pipelines.cores import available_cores

if TYPE_CHECKING:
    import onnx

    from slowfast_jax.backends.graph_predictor import Run


def compile_graph(graph: "onnx.ModelProto", dtype: str) -> "Run":
    """The graph, prepared by onnxruntime; `dtype` is "float32"."""
    options = onnxruntime.SessionOptions()
    # By default there is a thread for each core of the machine, allowed or not.
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        return session.run(None, dict(inputs))[0]

    return run
