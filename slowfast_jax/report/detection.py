"""What a report shows of boxes: keyframes, a film of videos, and which actions are confused."""

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
from slowfast_jax.metrics.confusion import mean_scores
from slowfast_jax.metrics.matching import Judged, judge, keyframe_key
from slowfast_jax.report.items import Film, Picture, existing, spread

THRESHOLD = 0.5  # a label of this score or more counts as said
PICTURES = 12
VIDEOS = 2  # in the film
SECONDS = 30  # of each at most
NEAR = 0.5  # seconds from a keyframe that its boxes stand for
EXPLANATION = (
    "Of the boxes that have the action of the row, the mean score of the action of the column, in "
    "percent. A box can have several actions."
)


def report(config: ConfigDict, workdir: str | os.PathLike) -> dict[str, Any]:
    """Keywords of `report.html.write_report`, from the detections.csv of the last test.

    Raises:
      FileNotFoundError: the test did not take place.
      ValueError: its detections are of other classes or videos than the config's.
    """
    path = existing(Path(workdir) / "detections.csv", "eval")
    found = find_keyframes(config, workdir, "test")
    names = [found.names[action - 1] for action in found.evaluated]
    excluded = {keyframe_key(*keyframe) for keyframe in found.excluded}
    try:
        judged = judge(read_detections(path), found.ground_truth, found.evaluated)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; test again with --mode eval") from error
    keyframes = [k for k in found.keyframes if _key(k) in judged]
    if not keyframes:
        raise ValueError(
            f"{path}: has none of the keyframes of {found.files[0]}; test again with --mode eval"
        )
    counted = [
        k for k in keyframes if _key(k) not in excluded and judged[_key(k)].labels.any()
    ]
    return {
        "frames": list(_pictures(counted, judged, names)),
        "confusion": _confusion([judged[_key(k)] for k in counted], len(names)),
        "class_names": names,
        "explanation": EXPLANATION,
        "film": _film(keyframes, judged, names),
    }


def _key(keyframe: Keyframe) -> tuple[str, float]:
    return keyframe_key(keyframe.video, keyframe.time)


def _confusion(judged: Sequence[Judged], classes: int) -> np.ndarray:
    """(K, K), of the boxes that were detected."""
    labels, scores = np.zeros((0, classes), bool), np.zeros((0, classes))
    if judged:
        labels = np.concatenate([frame.labels for frame in judged])
        scores = np.concatenate([frame.scores for frame in judged])
    detected = ~np.isnan(scores).any(axis=1)
    return mean_scores(labels[detected], scores[detected])


def _pictures(
    keyframes: Sequence[Keyframe], judged: Mapping, names: Sequence[str]
) -> Iterator[Picture]:
    for index in spread(len(keyframes), PICTURES):
        keyframe = keyframes[index]
        title = f"{keyframe.video} at {keyframe.time:g} s"
        try:
            image = still(keyframe.source, keyframe.time - keyframe.origin, keyframe.fps)
        except VideoError as error:
            logging.warning("no picture of %s: %s", title, error)
            continue
        yield _picture(image, judged[_key(keyframe)], names, title)


def _picture(image: np.ndarray, judged: Judged, names: Sequence[str], title: str) -> Picture:
    return Picture(
        image=image,
        boxes=box_arithmetic.from_fractions(judged.boxes, *image.shape[:2]),
        truths=[[names[k] for k in np.flatnonzero(row)] for row in judged.labels],
        predictions=[
            [(names[k], float(row[k])) for k in np.flatnonzero(row >= THRESHOLD)]
            for row in judged.scores
        ],
        title=title,
    )


def _film(keyframes: Sequence[Keyframe], judged: Mapping, names: Sequence[str]) -> Film | None:
    """The first videos, those of the size and frame rate of the first one."""
    videos: dict[str, list[Keyframe]] = {}
    for keyframe in keyframes:
        videos.setdefault(keyframe.video, []).append(keyframe)
    shown, form = [], None
    for of_video in videos.values():
        try:
            info, first = look(of_video[0].source, lambda _: [0])
        except VideoError as error:
            logging.warning("not in the film: %s", error)
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
    parts = (_played(part, frames, fps, judged, names) for part, frames in shown)
    return Film(
        Fraction(fps).limit_denominator(1001), (picture for part in parts for picture in part)
    )


def _played(
    keyframes: Sequence[Keyframe],
    frames: int,
    fps: float,
    judged: Mapping,
    names: Sequence[str],
) -> Iterator[Picture]:
    """A video, or of a long one the part from the first keyframe on; boxes are the nearest's."""
    times = np.array([keyframe.time - keyframe.origin for keyframe in keyframes])
    length = min(frames, round(SECONDS * fps))
    first = min(max(round((times[0] - 1) * fps), 0), frames - length)
    nobody = Judged(np.zeros((0, 4)), np.zeros((0, len(names))), np.zeros((0, len(names)), bool))
    try:
        for number, image in enumerate(play(keyframes[0].source, first, first + length), first):
            seconds = number / fps
            nearest = np.abs(times - seconds).argmin()
            near = abs(times[nearest] - seconds) <= NEAR
            yield _picture(
                image, judged[_key(keyframes[nearest])] if near else nobody, names,
                f"{keyframes[0].video} at {keyframes[0].origin + seconds:.2f} s",
            )
    except VideoError as error:
        logging.warning("the film of %s breaks off: %s", keyframes[0].video, error)
