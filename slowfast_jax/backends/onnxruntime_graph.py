"""Compiles ONNX graphs with onnxruntime, for the CPU and in float32."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    import onnx

    from slowfast_jax.backends.graph_predictor import Run


def compile_graph(graph: "onnx.ModelProto", dtype: str) -> "Run":
    """The graph, prepared by onnxruntime; `dtype` is "float32"."""
    options = onnxruntime.SessionOptions()
    if hasattr(os, "sched_getaffinity"):
        # By default there is a thread for each core of the machine, allowed or not.
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        return session.run(None, dict(inputs))[0]

    return run
