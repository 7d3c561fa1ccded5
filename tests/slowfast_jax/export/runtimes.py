"""Runs ONNX models in the programs that have them, and describes their graphs."""

import importlib.util
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support.paths import ROOT

OURS = "slowfast_jax data_pipelines convert flax orbax optax ml_collections absl".split()


def run(runtime: str, model, *inputs: np.ndarray) -> np.ndarray:
    """The output of a model for its inputs; skips the test if the program is not installed."""
    names = [value.name for value in model.graph.input]
    feeds = dict(zip(names, inputs, strict=True))
    if importlib.util.find_spec(runtime) is None:
        pytest.skip(f"{runtime} is not installed")
    if runtime == "onnxruntime":
        from slowfast_jax.backends.onnxruntime_graph import compile_graph
    else:
        from slowfast_jax.backends.openvino_graph import compile_graph
    return compile_graph(model, "float32")(feeds)


def kinds(model) -> Counter:
    """How many nodes of each kind a model has."""
    return Counter(node.op_type for node in model.graph.node)


def convolutions_after_transposes(model) -> list[str]:
    """Names of the convolutions that read, directly or not, what was transposed within the graph.

    The transpose of the clip itself does not count.
    """
    moved, found = set(), []
    for node in model.graph.node:
        transposes = node.op_type == "Transpose" and node.input[0] != "clip"
        if transposes or moved.intersection(node.input):
            moved.update(node.output)
            found += [node.name] * (node.op_type == "Conv")
    return found


def run_example(which: str, *arguments: str | Path, allowed: Sequence[str] = ()) -> str:
    """What the example of docs/deploy.md that contains `which` prints, without this project and
    the packages that it needs, except for those that are `allowed`."""
    text = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (code,) = [example for example in examples if which in example]
    names = [name for name in OURS if name not in allowed]
    blocked = f"import sys\nsys.modules.update(dict.fromkeys({names}))\n"
    result = subprocess.run(
        [sys.executable, "-c", blocked + code, *map(str, arguments)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
