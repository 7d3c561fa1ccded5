"""Content of a detection report: keyframes, an annotated video, and the confusion matrix."""

import os
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.transforms import boxes as box_arithmetic
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.stills import look, play, still
from slowfast_jax.data.keyframe_lists import find_keyframes
from slowfast_jax.metrics.ava_files import read_detections
from slowfast_jax.metrics.confusion import confusion_matrix
from slowfast_jax.metrics.matching import MatchedBoxes, keyframe_key, match_boxes
from slowfast_jax.report.items import Picture, Video, existing, parameter_count, spread

THRESHOLD = 0.5  # minimum score of a predicted action
PICTURES = 12  # in the report
VIDEOS = 2  # in the annotated video
SECONDS = 30  # of each at most
NEAR = 0.5  # seconds around a keyframe in which its boxes are shown
EXPLANATION = (
    "Each cell is the mean score, in percent, of the action in the column over all boxes that have "
    "the action in the row. A box can have several actions."
)


def report(config: ConfigDict, workdir: str | os.PathLike) -> dict[str, Any]:
    """Keywords of `report.html.write_report`, from the detections.csv of the last test.

    Raises:
      FileNotFoundError: no test has been run.
      ValueError: the test was run on other classes or videos than those of the config.
    """
    names, keyframes, counted, matched = _tested(config, workdir)
    return {
        "frames": list(_pictures(counted, matched, names)),
        "confusion": confusion_matrix(*_detected(counted, matched, len(names))),
        "class_names": names,
        "explanation": EXPLANATION,
        "parameters": parameter_count(config),
        "video": _video(keyframes, matched, names),
    }


def detected_boxes(
    config: ConfigDict, workdir: str | os.PathLike
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The names of the K evaluated classes, and of the B boxes that the last test detected the true
    classes, bool (B, K), and the scores (B, K).

    Raises: as `report`.
    """
    names, _, counted, matched = _tested(config, workdir)
    return names, *_detected(counted, matched, len(names))


def _tested(
    config: ConfigDict, workdir: str | os.PathLike
) -> tuple[list[str], list[Keyframe], list[Keyframe], Mapping]:
    """Names of the classes, the keyframes that were tested, those of them that count and have
    persons with actions, and the matched boxes by keyframe."""
    path = existing(Path(workdir) / "detections.csv", "eval")
    found = find_keyframes(config, workdir, "test")
    names = [found.names[action - 1] for action in found.evaluated]
    excluded = {keyframe_key(*keyframe) for keyframe in found.excluded}
    try:
        matched = match_boxes(read_detections(path), found.ground_truth, found.evaluated)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; run --mode eval again") from error
    keyframes = [k for k in found.keyframes if _key(k) in matched]
    if not keyframes:
        raise ValueError(
            f"{path}: has none of the keyframes of {found.files[0]}; run --mode eval again"
        )
    counted = [
        k for k in keyframes if _key(k) not in excluded and matched[_key(k)].labels.any()
    ]
    return names, keyframes, counted, matched


def _key(keyframe: Keyframe) -> tuple[str, float]:
    return keyframe_key(keyframe.video, keyframe.time)


def _detected(
    keyframes: Sequence[Keyframe], matched: Mapping, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """True classes, bool (B, K), and scores (B, K) of the detected boxes of keyframes."""
    labels, scores = np.zeros((0, classes), bool), np.zeros((0, classes))
    if keyframes:
        boxes = [matched[_key(keyframe)] for keyframe in keyframes]
        labels = np.concatenate([of_keyframe.labels for of_keyframe in boxes])
        scores = np.concatenate([of_keyframe.scores for of_keyframe in boxes])
    detected = ~np.isnan(scores).any(axis=1)
    return labels[detected], scores[detected]


def _pictures(
    keyframes: Sequence[Keyframe], matched: Mapping, names: Sequence[str]
) -> Iterator[Picture]:
    for index in spread(len(keyframes), PICTURES):
        keyframe = keyframes[index]
        title = f"{keyframe.video} at {keyframe.time:g} s"
        try:
            image = still(keyframe.source, keyframe.time - keyframe.origin, keyframe.fps)
        except VideoError as error:
            logging.warning("cannot show %s: %s", title, error)
            continue
        yield _picture(image, matched[_key(keyframe)], names, title)


def _picture(image: np.ndarray, matched: MatchedBoxes, names: Sequence[str], title: str) -> Picture:
    return Picture(
        image=image,
        boxes=box_arithmetic.from_fractions(matched.boxes, *image.shape[:2]),
        truths=[[names[k] for k in np.flatnonzero(row)] for row in matched.labels],
        predictions=[
            [(names[k], float(row[k])) for k in np.flatnonzero(row >= THRESHOLD)]
            for row in matched.scores
        ],
        title=title,
    )


def _video(keyframes: Sequence[Keyframe], matched: Mapping, names: Sequence[str]) -> Video | None:
    """The first videos that have the size and frame rate of the very first one."""
    videos: dict[str, list[Keyframe]] = {}
    for keyframe in keyframes:
        videos.setdefault(keyframe.video, []).append(keyframe)
    shown, form = [], None
    for of_video in videos.values():
        try:
            info, first = look(of_video[0].source, lambda _: [0])
        except VideoError as error:
            logging.warning("left out of the annotated video: %s", error)
            continue
        fps = of_video[0].fps or info.fps
        form = form or (fps, first.shape)
        if (fps, first.shape) == form:
            shown.append((of_video, info.frames))
        if len(shown) == VIDEOS:
            break
    if form is None:
        return None
    fps = form[0]
    parts = (_played(part, frames, fps, matched, names) for part, frames in shown)
    return Video(
        Fraction(fps).limit_denominator(1001), (picture for part in parts for picture in part),
        "Boxes and predicted classes are those of the nearest keyframe.",
    )


def _played(
    keyframes: Sequence[Keyframe],
    frames: int,
    fps: float,
    matched: Mapping,
    names: Sequence[str],
) -> Iterator[Picture]:
    """Frames of a video, from about its first keyframe, with the boxes of the nearest keyframe."""
    times = np.array([keyframe.time - keyframe.origin for keyframe in keyframes])
    length = min(frames, round(SECONDS * fps))
    first = min(max(round((times[0] - 1) * fps), 0), frames - length)
    no_scores = np.zeros((0, len(names)))
    no_boxes = MatchedBoxes(np.zeros((0, 4)), no_scores, no_scores.astype(bool))
    try:
        for number, image in play(keyframes[0].source, first, first + length):
            seconds = number / fps
            nearest = np.abs(times - seconds).argmin()
            near = abs(times[nearest] - seconds) <= NEAR
            yield _picture(
                image, matched[_key(keyframes[nearest])] if near else no_boxes, names,
                f"{keyframes[0].video} at {keyframes[0].origin + seconds:.2f} s",
            )
    except VideoError as error:
        logging.warning("the annotated video of %s ends early: %s", keyframes[0].video, error)
