"""Person detectors in ONNX files, run by onnxruntime (extra [demo]).

A file does not say which network it has: the shapes of its outputs for a gray picture do.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.command import install
from slowfast_jax.detectors import rfdetr, yolox
from slowfast_jax.detectors.detections import Detections, Detector, DetectorError, Find

EXPECTED = (
    "expected YOLOX (input float32 (1, 3, H, W), output (1, N, 85) with N cells of strides 8, 16 "
    "and 32) or RF-DETR (the same input, outputs dets (1, Q, 4) and labels (1, Q, 91)), trained on "
    "COCO"
)
SIDES = range(32, 4097)  # height and width of inputs that are believed
LONGEST = 300  # characters of an error of onnxruntime
FATAL = 4  # onnxruntime's log level; it logs errors that it raises as well


class Network(NamedTuple):
    """An ONNX file that is ready to run. height, width: of its input, in pixels."""

    path: str
    session: Any
    height: int
    width: int

    def run(self, picture: np.ndarray, outputs: Sequence[str] | None = None) -> list[np.ndarray]:
        """The outputs of those names, or all, for a prepared picture (1, 3, height, width)."""
        with _clear_errors(self.path, "cannot be run"):
            return self.session.run(outputs, {self.session.get_inputs()[0].name: picture})


def open_detector(path: str | os.PathLike, threshold: float | None = None) -> Detector:
    """The person detector in an .onnx file.

    Args:
      threshold: minimum score of a box; None: what suits the network.

    Raises:
      DetectorError: onnxruntime is missing or cannot run the file, or it has another network.
    """
    network = _load(path)
    height, width = network.height, network.width
    outputs = network.run(np.full((1, 3, height, width), yolox.GRAY, np.float32))
    names = [output.name for output in network.session.get_outputs()]
    cells = yolox.rows_of(height, width)
    match [_shape(output) for output in outputs]:
        case [(1, rows, yolox.COLUMNS)] if rows == cells:
            return Detector(
                network.path, _yolox(network, names, yolox.is_decoded(outputs[0][0], width),
                                     yolox.THRESHOLD if threshold is None else threshold)
            )
        # Its networks for segmentation also give masks.
        case [(1, boxes, 4), (1, queries, rfdetr.CLASSES), *_] if boxes == queries:
            return Detector(
                network.path, _rfdetr(network, names[:2],
                                      rfdetr.THRESHOLD if threshold is None else threshold)
            )
        case shapes:
            found = " and ".join(map(str, shapes)) or "none"
            raise DetectorError(
                f"{path}: the outputs for an input of {height} x {width} pixels are {found}; "
                f"{EXPECTED}"
            )


def _yolox(network: Network, names: list[str], decoded: bool, threshold: float) -> Find:
    size = network.height, network.width

    def find(picture: np.ndarray) -> Detections:
        (output,) = network.run(yolox.prepare(picture, *size), names)
        return yolox.decode(output[0], *size, picture.shape, threshold, decoded=decoded)

    return find


def _rfdetr(network: Network, names: list[str], threshold: float) -> Find:
    def find(picture: np.ndarray) -> Detections:
        boxes, logits = network.run(
            rfdetr.prepare(picture, network.height, network.width), names
        )
        return rfdetr.decode(boxes[0], logits[0], threshold)

    return find


def import_onnxruntime() -> ModuleType:
    """The module that opens sessions of onnxruntime; DetectorError without that package."""
    try:
        from slowfast_jax import onnxruntime_session
    except ImportError as error:
        raise DetectorError(
            f"person detectors are run by onnxruntime, which cannot be imported ({error}); "
            f"{install('demo')}"
        ) from error
    return onnxruntime_session


def _load(path: str | os.PathLike) -> Network:
    onnxruntime = import_onnxruntime()
    options = onnxruntime.session_options()
    options.log_severity_level = FATAL
    # Threads that wait would otherwise compute in circles, beside those that decode and recognize:
    # with two, YOLOX-nano took 17 ms of CPU time per picture instead of 10.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with _clear_errors(path, "cannot be read as an ONNX file"):
        session = onnxruntime.open_session(os.fspath(path), options)
    return Network(os.fspath(path), session, *_input_size(path, session.get_inputs()))


def _input_size(path: str | os.PathLike, inputs: Sequence[Any]) -> tuple[int, int]:
    """Height and width of the network's input. The size of its batch may be free."""
    found = " and ".join(f"{value.type} {tuple(value.shape)}" for value in inputs) or "none"
    if len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape) == 4:
        batch, channels, height, width = inputs[0].shape
        if (batch == 1 or not isinstance(batch, int)) and channels == 3:
            if height in SIDES and width in SIDES:
                return height, width
            found += f", and height and width must be fixed, {SIDES[0]} to {SIDES[-1]} pixels"
    raise DetectorError(f"{path}: the inputs are {found}; {EXPECTED}")


def _shape(output: Any) -> tuple[int, ...] | str:
    """The shape of an output of floating-point numbers; what it is otherwise."""
    if isinstance(output, np.ndarray) and np.issubdtype(output.dtype, np.floating):
        return output.shape
    return f"{output.dtype} {output.shape}" if isinstance(output, np.ndarray) else "no tensor"


@contextmanager
def _clear_errors(path: str | os.PathLike, problem: str) -> Iterator[None]:
    """Turns onnxruntime's exceptions, of classes with no common base, into a DetectorError."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:LONGEST]
        raise DetectorError(f"{path} {problem}: {reason}; {EXPECTED}") from error
