"""What persons in videos do, where their boxes are known, and videos in which that is drawn.

    keyframes = read_boxes("people.csv", ["a.mp4"], recognizer)["a.mp4"]
    scores = {found.index: found.scores for found in detect(recognizer, keyframes)}
    write_film("a_drawn.mp4", keyframes, scores, recognizer.class_names)
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from data_pipelines.examples.keyframe_clips import load_keyframe
from data_pipelines.sources.box_tables import read_tables
from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.transforms import boxes as box_arithmetic
from data_pipelines.video.stills import look, play
from slowfast_jax.inference.box_scores import BoxScores, score_boxes
from slowfast_jax.recognizer import Recognizer
from slowfast_jax.report.drawing import BLUE, GRAY, Annotated, write_annotated_video

THRESHOLD = 0.5  # an action of this score or more is said of a person
NEAR = 0.5  # seconds from a keyframe that its boxes stand for
WIDTH = 480  # pixels that a picture has at least, by a whole factor


def read_boxes(
    table: str | os.PathLike, videos: Sequence[str], recognizer: Recognizer
) -> dict[str, list[Keyframe]]:
    """The keyframes of each video that a table of one's own has boxes of.

    Args:
      table: as sources/box_tables.py describes them; time counts from the first frame. Of
        boxes with scores those below config.data.score_threshold are left out.
      videos: files, all in one folder, by the names that the table has.

    Raises FileNotFoundError, ValueError: from the table, with file and line.
    """
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(video)) for video in videos])
    keyframes, _ = read_tables(
        predicted=[table], folder=folder, class_names=recognizer.class_names,
        score_threshold=recognizer.config.data.get("score_threshold", 0.0),
    )
    found: dict[str, list[Keyframe]] = {video: [] for video in videos}
    places = {os.path.abspath(video): video for video in videos}
    for keyframe in keyframes:
        video = places.get(os.path.abspath(str(keyframe.source)))
        if video is not None:
            found[video].append(keyframe)
    return found


def detect(recognizer: Recognizer, keyframes: Sequence[Keyframe]) -> Iterator[BoxScores]:
    """Scores of the boxes of each keyframe, or what is wrong with it."""
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


def write_film(
    path: str | os.PathLike,
    keyframes: Sequence[Keyframe],
    scores: Mapping[int, np.ndarray],
    class_names: Sequence[str],
) -> None:
    """Writes the video of the keyframes as an .mp4 with boxes and actions drawn into it.

    A frame gets the boxes of the nearest keyframe, where that is at most NEAR seconds away.

    Args:
      keyframes: of one video. scores: (B, K) of those that could be read, by their index.

    Raises VideoError where the video breaks off; what comes before is written.
    """
    source, indices = keyframes[0].source, sorted(scores)
    times = np.array([keyframes[index].time - keyframes[index].origin for index in indices])
    info, first = look(source, lambda _: [0])
    fps = keyframes[0].fps or info.fps
    height, width = first.shape[1:3]

    def pictures() -> Iterator[Annotated]:
        for number, image in enumerate(play(source, 0, info.frames)):
            apart = np.abs(times - number / fps)
            if not len(times) or apart.min() > NEAR:
                yield Annotated(image, np.zeros((0, 4)), (), ())
                continue
            index = indices[apart.argmin()]
            captions = [
                "\n".join(f"{class_names[k]} {row[k]:.2f}" for k in said(row))
                for row in scores[index]
            ]
            boxes = box_arithmetic.from_fractions(keyframes[index].boxes, height, width)
            colours = [BLUE if caption else GRAY for caption in captions]
            yield Annotated(image, boxes, captions, colours)

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_annotated_video(
        path, pictures(), fps=Fraction(fps).limit_denominator(1001),
        scale=max(1, round(WIDTH / width)),
    )


def said(scores: np.ndarray) -> list[int]:
    """The classes that are said of a person, from its (K,) scores: the best first."""
    order = np.argsort(-scores, kind="stable")
    return order[scores[order] >= THRESHOLD].tolist()
