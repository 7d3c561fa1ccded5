"""ONNX files: which network they have, and one clear error for all others."""

import sys

import numpy as np
import pytest
from onnx import TensorProto

import slowfast_jax
from slowfast_jax.detectors.detections import DetectorError
from slowfast_jax.detectors.onnx_file import open_detector
from tests.support.detector_files import (
    write_network,
    write_rfdetr,
    write_yolox,
    yolox_output,
)

PICTURE = np.zeros((64, 96, 3), np.uint8)
IN_PIXELS = ((30.0, 20.0, 24.0, 16.0), 0.45)
IN_FRACTIONS = ((0.5, 0.5, 0.2, 0.4), 0.45)
OUTPUT = yolox_output(64, 96, [IN_PIXELS])
BOXES, LOGITS = np.zeros((1, 10, 4), np.float32), np.zeros((1, 10, 91), np.float32)


@pytest.mark.parametrize("options", [{}, {"decoded": True}, {"batch": "batch"}])
def test_yolox(tmp_path, options):
    detector = open_detector(write_yolox(tmp_path / "a.onnx", [IN_PIXELS], **options))
    assert detector.name == str(tmp_path / "a.onnx")
    boxes, scores = detector(PICTURE)
    np.testing.assert_allclose(boxes, [[18 / 96, 12 / 64, 42 / 96, 28 / 64]], atol=1e-5)
    np.testing.assert_allclose(scores, [0.45], rtol=1e-5)


@pytest.mark.parametrize("masks", [False, True])
def test_rfdetr(tmp_path, masks):
    path = write_rfdetr(tmp_path / "a.onnx", [IN_FRACTIONS], masks=masks)
    assert not len(open_detector(path)(PICTURE).boxes)  # its own threshold is higher
    boxes, scores = open_detector(path, threshold=0.4)(PICTURE)
    np.testing.assert_allclose(boxes, [[0.4, 0.3, 0.6, 0.7]], atol=1e-6)
    np.testing.assert_allclose(scores, [0.45], rtol=1e-5)


@pytest.mark.parametrize(
    "outputs, shape, found",
    [
        ({"a": OUTPUT}, [1, 3, 64, 64], r"64 x 64 pixels are \(1, 126, 85\)"),
        ({"a": OUTPUT[..., :25]}, [1, 3, 64, 96], r"are \(1, 126, 25\)"),
        ({"a": OUTPUT.astype(np.int32)}, [1, 3, 64, 96], r"are int32 \(1, 126, 85\)"),
        ({"a": BOXES}, [1, 3, 64, 64], r"are \(1, 10, 4\)"),
        ({"a": BOXES[:, :5], "b": LOGITS}, [1, 3, 64, 64], r"are \(1, 5, 4\) and \(1, 10, 91\)"),
        ({"a": OUTPUT}, [1, 3, "height", "width"], "height and width must be fixed, 32 to 4096"),
        ({"a": OUTPUT}, [1, 3, 100000, 100000], "height and width must be fixed"),
        ({"a": OUTPUT}, [4, 3, 64, 96], r"inputs are tensor\(float\) \(4, 3, 64, 96\)"),
        ({"a": OUTPUT}, [1, 64, 96, 3], "inputs are"),
        ({"a": OUTPUT}, [1, 3], "inputs are"),
    ],
)
def test_other_networks_are_refused(tmp_path, outputs, shape, found):
    path = write_network(tmp_path / "a.onnx", outputs, shape=shape)
    with pytest.raises(DetectorError, match=f"{found}.*; expected YOLOX .* or RF-DETR"):
        open_detector(path)


def test_another_type_of_input_is_refused(tmp_path):
    path = write_network(
        tmp_path / "a.onnx", {"a": OUTPUT}, shape=[1, 3, 64, 96], kind=TensorProto.UINT8
    )
    with pytest.raises(DetectorError, match=r"the inputs are tensor\(uint8\)"):
        open_detector(path)


def test_broken_files_are_one_error(tmp_path, capfd):
    whole = write_yolox(tmp_path / "whole.onnx", [IN_PIXELS]).read_bytes()
    wrong = {
        "empty": b"", "text": b"not a network", "short": whole[:1000],
        "flipped": whole[:40] + b"\xff" * 40 + whole[80:],
    }
    for name, content in wrong.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        with pytest.raises(DetectorError, match=f"{name}.onnx") as error:
            open_detector(path)
        assert "\n" not in str(error.value) and len(str(error.value)) < 800
    with pytest.raises(DetectorError, match="missing.onnx cannot be read"):
        open_detector(tmp_path / "missing.onnx")
    assert capfd.readouterr() == ("", "")


def test_a_picture_must_be_one(tmp_path):
    detector = open_detector(write_yolox(tmp_path / "a.onnx", [IN_PIXELS]))
    for picture in (PICTURE.astype(float), PICTURE[..., 0], PICTURE[:0]):
        with pytest.raises(ValueError, match="picture is"):
            detector(picture)


def test_without_onnxruntime_one_sentence_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "slowfast_jax.onnxruntime_session", raising=False)
    monkeypatch.delattr(slowfast_jax, "onnxruntime_session", raising=False)
    with pytest.raises(DetectorError, match="onnxruntime.*install the extra demo"):
        open_detector(tmp_path / "a.onnx")
