"""Compiles ONNX graphs with OpenVINO, which keeps what it compiled in the user's cache folder."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from io import BytesIO
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from slowfast_jax.compilation_cache import cache_folder

if TYPE_CHECKING:
    import onnx

    from slowfast_jax.backends.graph_predictor import Run

HINTS = {"float32": "f32", "bfloat16": "bf16"}  # OpenVINO's names of the dtypes
FOLDER = "openvino"  # in the cache folder
MOST_BYTES = 4 << 30  # of the compiled graphs in the folder


@cache
def _core() -> Any:
    return import_openvino().Core()


def import_openvino() -> ModuleType:
    """OpenVINO, imported without its usage statistics.

    Its import would fork a process that sends them over the network. A fork can hang, because JAX
    has threads.
    """
    statistics = "openvino_telemetry"
    if statistics in sys.modules or "openvino" in sys.modules:
        import openvino

        return openvino
    sys.modules[statistics] = None  # as if it were not installed
    try:
        import openvino
    finally:
        del sys.modules[statistics]
    return openvino


def compile_graph(graph: "onnx.ModelProto", dtype: str) -> "Run":
    """The graph, compiled for the CPU and computed in `dtype`: "float32" or "bfloat16"."""
    # OpenVINO would choose bfloat16 by itself where the processor has it.
    options = {"INFERENCE_PRECISION_HINT": HINTS[dtype], "PERFORMANCE_HINT": "LATENCY"}
    folder = _writable_cache()
    if folder:
        options["CACHE_DIR"] = folder
    model = _core().read_model(BytesIO(graph.SerializeToString()))
    compiled = _core().compile_model(model, "CPU", options)
    if folder:
        remove_oldest(folder, MOST_BYTES)
    request = compiled.create_infer_request()
    read = {port.any_name for port in compiled.inputs}  # without those that nothing depends on

    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        used = {name: value for name, value in inputs.items() if name in read}
        return request.infer(used, share_inputs=True)[compiled.output(0)].copy()

    return run


def remove_oldest(folder: str | os.PathLike, most: int) -> None:
    """Removes the files of a folder that were not used for the longest time, until the others have
    `most` bytes or less. What another process removes at the same time is skipped."""
    files = []
    for file in os.scandir(folder):
        with suppress(OSError):
            state = file.stat()
            files.append((max(state.st_atime, state.st_mtime), state.st_size, file.path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= most:
            return
        with suppress(OSError):
            os.unlink(path)
        total -= size


def _writable_cache() -> str:
    """The folder for compiled graphs; "" if nothing can be kept."""
    try:
        root = cache_folder()
        if root is None:
            return ""
        folder = root / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        return ""
    return os.fspath(folder) if os.access(folder, os.W_OK) else ""
