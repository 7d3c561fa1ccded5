"""Tracks people from picture to picture with ByteTrack, of the package `trackers` (extra [demo]).

    detector, tracks = load_detector(DEFAULT, threshold=LOW_SCORE), Tracks(fps=30)
    for picture in pictures:
        boxes, scores, ids = tracks.update(detector(picture))

ByteTrack: https://arxiv.org/abs/2110.06864.
"""

from types import ModuleType
from typing import NamedTuple

import numpy as np

from data_pipelines.command import install
from slowfast_jax.detectors.detections import Detections, DetectorError

# Boxes with at least LOW_SCORE can continue a track, and those with HIGH_SCORE start one. Most
# boxes of YOLOX-nano with even lower scores show only a part of a person.
LOW_SCORE, HIGH_SCORE = 0.25, 0.5
LEAST_OVERLAP = 0.2  # intersection over union of a box with where its track leads


class Tracked(NamedTuple):
    """The persons in a picture that have a track, best first.

    Attributes:
      boxes: float32 (B, 4), x1, y1, x2, y2 as fractions of the picture.
      scores: float32 (B,).
      ids: int (B,), from 1 on; a person keeps its number.
    """

    boxes: np.ndarray
    scores: np.ndarray
    ids: np.ndarray


class Tracks:
    """The tracks of one video.

    A person gets a number once they are found in two pictures in a row, and a new number if they
    return after more than a second.
    """

    def __init__(self, fps: float, threshold: float = HIGH_SCORE):
        """
        Args:
          fps: pictures per second.
          threshold: minimum score of a box that starts a track.

        Raises:
          DetectorError: the package is missing.
        """
        supervision, trackers = import_trackers()
        self._detections = supervision.Detections
        self._tracker = trackers.ByteTrackTracker(
            frame_rate=fps, track_activation_threshold=threshold,
            high_conf_det_threshold=threshold, minimum_iou_threshold=LEAST_OVERLAP,
        )

    def update(self, detections: Detections, seconds: float | None = None) -> Tracked:
        """The tracked persons in the next picture. Call it for each, also without persons.

        Args:
          detections: the persons found in it.
          seconds: its time, later than that of the picture before. None: pictures are 1 / fps
            apart. Give it always or never.
        """
        found = self._tracker.update(
            self._detections(xyxy=detections.boxes, confidence=detections.scores),
            timestamp=seconds,
        )
        if not len(found):
            return Tracked(
                np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int)
            )
        order = np.argsort(-found.confidence, kind="stable")
        found = found[order[found.tracker_id[order] >= 0]]
        return Tracked(found.xyxy, found.confidence, found.tracker_id + 1)


def import_trackers() -> tuple[ModuleType, ModuleType]:
    """The packages supervision and trackers; DetectorError without them."""
    try:
        import supervision
        import trackers
    except ImportError as error:
        raise DetectorError(
            f"people are tracked by the package trackers, which cannot be imported ({error}); "
            f"{install('demo')}. If it lacks libGL, install opencv-python-headless in place of "
            "opencv-python"
        ) from error
    return supervision, trackers
