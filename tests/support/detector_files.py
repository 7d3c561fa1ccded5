"""ONNX files that give the outputs of person detectors, whatever the picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from slowfast_jax.detectors import rfdetr, yolox

# (center, width and height in pixels of the input, score)
Person = tuple[tuple[float, float, float, float], float]


def write_network(
    path: Path, outputs: Mapping[str, np.ndarray], *, shape: Sequence[int | str],
    kind: int = TensorProto.FLOAT,
) -> Path:
    """Writes a network with one input of that shape and these outputs."""
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
            for name, value in outputs.items()
        ],
        "detector",
        [helper.make_tensor_value_info("images", kind, shape)],
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in outputs.items()
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
              path)
    return path


def yolox_output(
    height: int, width: int, persons: Sequence[Person], *, decoded: bool = False
) -> np.ndarray:
    """(1, N, 85) with each person in the cell of its center, on the finest level."""
    cells = np.concatenate([yolox._cells(height, width, stride) for stride in yolox.STRIDES])
    raw = np.zeros((len(cells), yolox.COLUMNS))  # offsets and logarithms
    for (x, y, box_width, box_height), score in persons:
        row = int(y // 8) * (width // 8) + int(x // 8)
        assert not raw[row].any(), "two persons in one cell"
        raw[row, :2] = x / 8 - x // 8, y / 8 - y // 8
        raw[row, 2:4] = np.log(box_width / 8), np.log(box_height / 8)
        raw[row, 4:6] = 1, score
    if decoded:
        raw[:, :2] = (raw[:, :2] + cells[:, :2]) * cells[:, 2:]
        raw[:, 2:4] = np.exp(raw[:, 2:4]) * cells[:, 2:]
    return raw[None].astype(np.float32)


def write_yolox(
    path: Path, persons: Sequence[Person], *, height: int = 64, width: int = 96,
    decoded: bool = False, batch: int | str = 1,
) -> Path:
    """Writes a YOLOX that finds these persons in every picture."""
    output = yolox_output(height, width, persons, decoded=decoded)
    return write_network(path, {"output": output}, shape=[batch, 3, height, width])


def write_rfdetr(
    path: Path, persons: Sequence[Person], *, side: int = 64, masks: bool = False
) -> Path:
    """Writes an RF-DETR that finds these persons, of corners in fractions, in every picture."""
    boxes = np.full((1, 10, 4), 0.5, np.float32)
    logits = np.full((1, 10, rfdetr.CLASSES), -8, np.float32)
    logits[:, 5, 3] = 8  # a car
    for query, (box, score) in enumerate(persons):
        boxes[0, query] = box
        logits[0, query, rfdetr.PERSON] = np.log(score / (1 - score))
    outputs = {"dets": boxes, "labels": logits}
    if masks:
        outputs["masks"] = np.zeros((1, 10, 16, 16), np.float32)
    return write_network(path, outputs, shape=[1, 3, side, side])


def write_decoded(source: Path, target: Path) -> None:
    """Writes the YOLOX of a file with nodes that turn its boxes into pixels."""
    model = onnx.load(source)
    graph = model.graph
    height, width = (side.dim_value for side in graph.input[0].type.tensor_type.shape.dim[2:])
    cells = np.concatenate([yolox._cells(height, width, stride) for stride in yolox.STRIDES])
    constants = {
        "cells": cells[:, :2].astype(np.float32), "strides": cells[:, 2:].astype(np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    (output,) = graph.output
    graph.node.extend([
        helper.make_node(  # of version 11 of the operators, as in the file
            "Split", [output.name], ["xy", "wh", "rest"], axis=2, split=[2, 2, yolox.COLUMNS - 4]
        ),
        helper.make_node("Add", ["xy", "cells"], ["moved"]),
        helper.make_node("Mul", ["moved", "strides"], ["centers"]),
        helper.make_node("Exp", ["wh"], ["exponentials"]),
        helper.make_node("Mul", ["exponentials", "strides"], ["sizes"]),
        helper.make_node("Concat", ["centers", "sizes", "rest"], ["decoded"], axis=2),
    ])
    output.name = "decoded"
    onnx.save(model, target)
