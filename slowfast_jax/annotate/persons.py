"""Finds and tracks the people in a video, and keeps those of about one frame per second."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipelines.prepare.label_tables import moments_to_label
from data_pipelines.progress import track
from data_pipelines.video.decoding import VideoInfo, probe
from data_pipelines.video.playing import iterate_frames
from slowfast_jax.detectors.detections import Detector
from slowfast_jax.detectors.tracking import Tracks

RATE = 10.0  # frames per second in which persons are looked for; tracks need several


class Person(NamedTuple):
    """A person in a frame of a video.

    Attributes:
      time: in seconds from the first frame.
      box: x1, y1, x2, y2 as fractions of the frame.
      score: of the detector.
      number: from 1 on, the same for the same person in the video.
    """

    time: float
    box: tuple[float, float, float, float]
    score: float
    number: int


class Found(NamedTuple):
    """The persons in a video.

    Attributes:
      name: of the video, relative to the folder of videos.
      times: of the frames in which persons were looked for, in seconds.
      persons: in order of time and number.
    """

    name: str
    info: VideoInfo
    times: list[float]
    persons: list[Person]


def persons_to_label(
    path: Path, name: str, detector: Detector, *, every: float, margin: float, threshold: float,
    what: str,
) -> Found:
    """The persons in a video.

    Args:
      path: the video.
      name: see Found.
      detector: its boxes of low scores help to track people.
      every: seconds between the frames whose persons are kept.
      margin: seconds at the start and the end of the video without such frames.
      threshold: minimum score of a box that starts a track.
      what: name of the work, for the display of progress.

    Raises:
      VideoError: the video cannot be decoded.
    """
    info = probe(path)
    moments = moments_to_label(info, every, margin)
    step = max(1, round(info.fps / RATE))
    tracks, persons, last = Tracks(min(info.fps, RATE), threshold), [], max(moments)
    frames = iterate_frames(path, stop=last + 1)
    for number, picture in track(frames, last + 1, what):
        if number % step and number not in moments:
            continue
        tracked = tracks.update(detector(picture), number / info.fps)
        if number in moments:
            persons += [
                Person(moments[number], tuple(box.tolist()), float(score), int(identity))
                for box, score, identity in sorted(zip(*tracked, strict=True), key=_by_number)
            ]
    return Found(name, info, list(moments.values()), persons)


def _by_number(tracked: tuple[np.ndarray, np.ndarray, np.ndarray]) -> int:
    return int(tracked[2])
