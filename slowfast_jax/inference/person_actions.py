"""Classifies the actions of persons whose boxes are known, and draws them into videos.

    keyframes = read_boxes("people.csv", {"a.mp4": "a.mp4"})["a.mp4"]
    scores = {result.index: result.scores for result in score_keyframes(recognizer, keyframes)}
    write_labeled_video("a_labeled.mp4", keyframes, scores, recognizer.class_names)
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_pipelines.examples.keyframe_clips import load_keyframe
from data_pipelines.sources.box_tables import names_in_table, read_moments
from data_pipelines.sources.keyframes import Keyframe, build
from data_pipelines.transforms import boxes as box_arithmetic
from data_pipelines.video import Video
from data_pipelines.video.stills import look, play
from slowfast_jax.inference.box_scores import BoxScores, score_boxes
from slowfast_jax.report.drawing import BLUE, GRAY, Annotated, write_annotated_video

if TYPE_CHECKING:
    from slowfast_jax.recognizer import Recognizer

THRESHOLD = 0.5  # actions with at least this score are predicted for a person
MAX_DISTANCE = 0.5  # seconds around a keyframe in which its boxes are drawn
MIN_WIDTH = 480  # pixels; narrower videos are enlarged by a whole factor


def read_boxes(
    table: str | os.PathLike, videos: Mapping[str, Video], *, score_threshold: float = 0.0,
    fps: float = 0.0,
) -> dict[str, list[Keyframe]]:
    """Reads the keyframes of videos from a table of boxes.

    Args:
      table: a CSV file, see data_pipelines/sources/box_tables.py. Times count from the first frame.
        Actions are ignored.
      videos: path -> what to read. The table has the ends of the paths, see `names_in_table`; rows
        of other videos are ignored.
      score_threshold: boxes with a lower score are dropped.
      fps: frame rate of videos stored as image files.

    Returns:
      {path: its keyframes}; the list is empty for videos that the table does not have.

    Raises:
      FileNotFoundError: the table does not exist.
      ValueError: a row is invalid (the message has file and line), a name could mean several of
        the videos, or the table has none of them.
    """
    moments, written = read_moments(
        (), [table], class_names=None, score_threshold=score_threshold
    )
    found: dict[str, list[Keyframe]] = {path: [] for path in videos}
    for path, name in names_in_table(table, written, videos).items():
        if name in moments:
            found[path] = build({name: moments[name]}, {name: videos[path]}, origin=0.0, fps=fps)
    return found


def score_keyframes(
    recognizer: "Recognizer", keyframes: Sequence[Keyframe]
) -> Iterator[BoxScores]:
    """Yields the scores of the boxes of each keyframe, or why the keyframe failed."""
    protocol, most = recognizer.config.protocol, max(len(k.boxes) for k in keyframes)

    def load(index: int, generator: None) -> dict[str, np.ndarray]:
        return load_keyframe(
            keyframes[index], num_frames=protocol.num_frames,
            sampling_rate=protocol.sampling_rate, crop=protocol.test_crop, max_boxes=most,
            num_classes=len(recognizer.class_names), rng=None,
        )

    return score_boxes(
        recognizer, load, len(keyframes), batch_size=recognizer.config.test.batch_size
    )


def write_labeled_video(
    path: str | os.PathLike,
    keyframes: Sequence[Keyframe],
    scores: Mapping[int, np.ndarray],
    class_names: Sequence[str],
) -> None:
    """Writes a video with the boxes and actions of persons drawn into it.

    Each frame shows the boxes of the nearest keyframe, if that is at most MAX_DISTANCE away.

    Args:
      path: the .mp4 file to write.
      keyframes: the keyframes of one video.
      scores: index of a keyframe -> scores (B, K) of its boxes, for those that could be read.
      class_names: names of the K classes.

    Raises:
      VideoError: the video cannot be decoded to its end; the frames before are written.
    """
    source, indices = keyframes[0].source, sorted(scores)
    times = np.array([keyframes[index].time - keyframes[index].origin for index in indices])
    info, first = look(source, lambda _: [0])
    fps = keyframes[0].fps or info.fps
    height, width = first.shape[1:3]

    def annotated_frames() -> Iterator[Annotated]:
        for number, image in play(source):
            distances = np.abs(times - number / fps)
            if not len(times) or distances.min() > MAX_DISTANCE:
                yield Annotated(image, np.zeros((0, 4)), (), ())
                continue
            index = indices[distances.argmin()]
            captions = [
                "\n".join(f"{class_names[k]} {row[k]:.2f}" for k in predicted_classes(row))
                for row in scores[index]
            ]
            boxes = box_arithmetic.from_fractions(keyframes[index].boxes, height, width)
            colors = [BLUE if caption else GRAY for caption in captions]
            yield Annotated(image, boxes, captions, colors)

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_annotated_video(
        path, annotated_frames(), fps=Fraction(fps).limit_denominator(1001),
        scale=max(1, round(MIN_WIDTH / width)),
    )


def predicted_classes(scores: np.ndarray) -> list[int]:
    """The classes predicted for a person with scores (K,), highest score first."""
    order = np.argsort(-scores, kind="stable")
    return order[scores[order] >= THRESHOLD].tolist()
