"""The file of an ONNX graph that says, in its own metadata, how to use it."""

import json
from dataclasses import asdict, replace

import onnx

from data_pipelines.atomic_files import whole
from data_pipelines.paths import PathLike
from slowfast_jax.export.metadata import Metadata

FORMAT = "slowfast_jax ONNX 1"
OF_PROGRAMS = {"platforms", "sha256"}  # fields that say nothing about a graph


def write_onnx(path: PathLike, graph: onnx.ModelProto, metadata: Metadata) -> None:
    """Writes the graph atomically.

    Its `metadata_props` get the fields of the metadata, each as JSON. The dtype is float32, in
    which `to_onnx` computes.
    """
    described = asdict(replace(metadata, dtype="float32", format=FORMAT))
    onnx.helper.set_model_props(graph, {
        name: json.dumps(value) for name, value in described.items() if name not in OF_PROGRAMS
    })
    with whole(path) as part:
        part.write_bytes(graph.SerializeToString())
