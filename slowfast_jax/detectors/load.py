"""Loads a person detector: an .onnx file, a published one by its name, or "frame".

    detector = load_detector(DEFAULT)
    boxes, scores = detector(picture)   # uint8 (H, W, 3) -> fractions (B, 4), (B,)
"""

import dataclasses
import difflib
from pathlib import Path

from slowfast_jax.detectors.detections import Detector, DetectorError, whole_frame
from slowfast_jax.detectors.onnx_file import import_onnxruntime, open_detector
from slowfast_jax.published.cached_files import CachedFile, fetch

FRAME = "frame"  # the whole picture is one box
YOLOX = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/"
# Name -> (address, bytes, SHA-256). The authors of RF-DETR publish no ONNX files; `export()` of
# their package writes them.
PUBLISHED = {
    "yolox_nano": (
        f"{YOLOX}yolox_nano.onnx", 3659407,
        "c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d",
    ),
    "yolox_tiny": (
        f"{YOLOX}yolox_tiny.onnx", 20219662,
        "427cc366d34e27ff7a03e2899b5e3671425c262ea2291f88bb942bc1cc70b0f7",
    ),
    "yolox_s": (
        f"{YOLOX}yolox_s.onnx", 35858002,
        "c5c2d13e59ae883e6af3b45daea64af4833a4951c92d116ec270d9ddbe998063",
    ),
}
EXPECTED = (
    f"an .onnx file, {FRAME} (the whole picture is one box), or one of {', '.join(PUBLISHED)}"
)
# Of commands that are not told which: the one that the thresholds of tracks and the figures in
# docs/demo.md belong to.
DEFAULT = "yolox_nano"


def load_detector(spec: str, *, threshold: float | None = None) -> Detector:
    """A person detector.

    Args:
      spec: an .onnx file with YOLOX or RF-DETR; or a name of PUBLISHED, downloaded once into the
        cache folder; or "frame", for the whole picture as one box.
      threshold: minimum score of a box; None: what suits the network.

    Raises:
      DetectorError: there is no such file or name, or the file is not such a network.
      DownloadError: the file cannot be downloaded, or is not the published one.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise DetectorError(f"threshold is {threshold}; expected a number from 0 to 1")
    if spec == FRAME:
        return Detector(spec, whole_frame)
    check_detector(spec)
    if spec in PUBLISHED:
        return dataclasses.replace(open_detector(fetch(file_of(spec)), threshold), name=spec)
    return open_detector(spec, threshold)


def check_detector(spec: str) -> None:
    """Checks, before anything is downloaded or loaded, that `load_detector` can take a detector.

    Raises:
      DetectorError: there is no such file or name, or the program that runs it is missing.
    """
    if spec == FRAME:
        return
    if spec not in PUBLISHED and not Path(spec).is_file():
        close = difflib.get_close_matches(spec, [*PUBLISHED, FRAME], n=1)
        hint = f" (perhaps {close[0]})" if close else ""
        raise DetectorError(f"detector {spec!r}{hint} is not a file; expected {EXPECTED}")
    import_onnxruntime()


def file_of(name: str) -> CachedFile:
    """The file of a published detector."""
    address, size, sha256 = PUBLISHED[name]
    return CachedFile(
        title=f"the person detector {name}", place=f"detectors/{address.rpartition('/')[2]}",
        address=address, size=size, sha256=sha256, flag="--detector",
    )
