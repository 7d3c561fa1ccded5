"""Detectors by file, by name and by "frame"."""

import numpy as np
import pytest

from data_pipelines.video.seeking import select_frames
from slowfast_jax.detectors import load
from slowfast_jax.detectors.detections import DetectorError
from slowfast_jax.detectors.load import PUBLISHED, load_detector
from slowfast_jax.published.download import DownloadError
from tests.support.detector_files import write_decoded, write_yolox
from tests.support.file_server import serve
from tests.support.paths import REAL, needs_real

PICTURE = np.zeros((64, 96, 3), np.uint8)


def test_frame_is_one_box():
    detector = load_detector("frame")
    assert detector.name == "frame"
    boxes, scores = detector(PICTURE)
    assert boxes.tolist() == [[0, 0, 1, 1]] and scores.tolist() == [1]


def test_a_published_detector_is_downloaded_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_JAX_CACHE", str(tmp_path / "cache"))
    content = write_yolox(tmp_path / "a.onnx", [((30.0, 20.0, 24.0, 16.0), 0.9)]).read_bytes()
    with serve(content) as server:
        row = (server.address, len(content), server.sha256)
        monkeypatch.setitem(load.PUBLISHED, "yolox_nano", row)
        detector = load_detector("yolox_nano")
        assert len(load_detector("yolox_nano")(PICTURE).boxes) == 1
        assert detector.name == "yolox_nano" and len(server.requests) == 1
        assert (tmp_path / "cache/detectors/weights.pyth").read_bytes() == content


def test_offline_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_JAX_CACHE", str(tmp_path))
    address = "http://127.0.0.1:9/yolox_s.onnx"
    monkeypatch.setitem(load.PUBLISHED, "yolox_s", (address, None, ""))
    with pytest.raises(DownloadError) as error:
        load_detector("yolox_s")
    text = str(error.value)
    assert text.startswith(f"cannot download the person detector yolox_s: {address} cannot")
    assert f"put it into {tmp_path / 'detectors'}, named yolox_s.onnx" in text
    monkeypatch.setenv("SLOWFAST_JAX_CACHE", "off")
    with pytest.raises(DownloadError, match="name the file with --detector"):
        load_detector("yolox_s")


def test_published_files_have_names_and_digests_of_their_own():
    assert len({sha256 for _, _, sha256 in PUBLISHED.values()}) == len(PUBLISHED)
    for name, (address, size, sha256) in PUBLISHED.items():
        assert address.endswith(f"/{name}.onnx") and size > 1e6 and len(sha256) == 64


def test_wrong_names_and_thresholds(tmp_path):
    with pytest.raises(DetectorError, match=r"'yolox_nan' \(perhaps yolox_nano\) is not a file; "
                       r"expected an .onnx file, frame \(.*\), or one of yolox_nano, yolox_tiny"):
        load_detector("yolox_nan")
    with pytest.raises(DetectorError, match="is not a file"):
        load_detector(str(tmp_path))
    for threshold in (-0.1, 40, float("nan")):
        with pytest.raises(DetectorError, match="expected a number from 0 to 1"):
            load_detector("frame", threshold=threshold)


@needs_real
def test_two_people_in_a_real_video():
    detector = load_detector(str(REAL / "detector/yolox_nano_coco.onnx"))
    video = str(REAL / "videos/mmaction2_demo_skeleton.mp4")
    (picture,) = select_frames(video, lambda info: [info.frames // 2])[2]
    boxes, scores = detector(picture)
    assert len(boxes) == 2 and scores.min() > 0.5
    assert ((boxes[:, 3] - boxes[:, 1]) > 0.3).all()  # most of the height


@needs_real
def test_a_network_that_decodes_its_boxes_finds_the_same(tmp_path):
    """As the network is if exported with --decode_in_inference."""
    path = REAL / "detector/yolox_nano_coco.onnx"
    write_decoded(path, tmp_path / "decoded.onnx")
    video = str(REAL / "videos/mmaction2_demo_skeleton.mp4")
    (picture,) = select_frames(video, lambda info: [0])[2]
    expected = load_detector(str(path))(picture)
    ours = load_detector(str(tmp_path / "decoded.onnx"))(picture)
    assert len(ours.boxes) == 2
    np.testing.assert_allclose(ours.boxes, expected.boxes, atol=1e-5)
    np.testing.assert_allclose(ours.scores, expected.scores, atol=1e-5)
