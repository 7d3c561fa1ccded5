"""What people do over time: the result of `Recognizer.detect_video`."""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError
from slowfast_jax.demo.annotate import Options, annotate_film
from slowfast_jax.demo.film.overlay import UNKNOWN
from slowfast_jax.demo.film.patches import color_of
from slowfast_jax.demo.sources.frames import open_frames
from slowfast_jax.demo.stages.actions import STRIDE, PersonScores
from slowfast_jax.demo.stages.given_boxes import moments_of, read_table
from slowfast_jax.demo.stages.persons import detect_people, given_people
from slowfast_jax.detectors.detections import Detector
from slowfast_jax.detectors.load import FRAME, load_detector
from slowfast_jax.detectors.tracking import LOW_SCORE
from slowfast_jax.display.style import block, note
from slowfast_jax.display.timeline import Row, Scores, timeline
from slowfast_jax.inference.inputs import as_video

if TYPE_CHECKING:
    from slowfast_jax.recognizer import Recognizer

MOST_CHARTS = 6  # actions of a person that are shown


class Person(NamedTuple):
    """A person at the W moments for which there are scores.

    Attributes:
      number: of the person, from 1 on; 0: everybody whose number is unknown.
      times: float (W,), seconds.
      boxes: float32 (W, 4) x1, y1, x2, y2 as fractions of the picture.
      scores: float32 (W, K).
    """

    number: int
    times: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


class Persons(list[Person]):
    """The people of a video, those who are seen longest first; it shows itself in Jupyter.

    Attributes:
      class_names: names of the K classes.
      stride: usual seconds from one moment to the next.
      seconds: duration of the video.
    """

    def __init__(
        self, persons: Iterable[Person], class_names: Sequence[str], stride: float, seconds: float
    ):
        super().__init__(persons)
        self.class_names, self.stride, self.seconds = list(class_names), stride, seconds

    def _repr_html_(self) -> str:
        if not self:
            return block(note("nobody was found"))
        return block(timeline([self._row(person) for person in self], self.seconds))

    def _row(self, person: Person) -> Row:
        highest = person.scores.max(0)
        charts = [
            self._scores(person, index, self.class_names[index])
            for index in np.argsort(-highest, kind="stable")[:MOST_CHARTS]
        ]
        name = f"person {person.number}" if person.number else "somebody"
        best = charts[0]
        red, green, blue = color_of(person.number - 1) if person.number else UNKNOWN
        return Row(f"{name}: {best.name}", best, charts, f"rgb({red},{green},{blue})")

    def _scores(self, person: Person, index: int, name: str) -> Scores:
        half = self.stride / 2
        start, end = np.maximum(person.times - half, 0), person.times + half
        return Scores(name, start, np.minimum(end, self.seconds), person.scores[:, index])


def persons_of(
    found: Iterable[PersonScores], class_names: Sequence[str], seconds: float
) -> Persons:
    """Groups the scores of moments by person.

    Args:
      found: the scores of moments, in any order.
      class_names, seconds: see `Persons`.
    """
    found = sorted(found, key=lambda one: one.moment.time)
    between = np.diff([one.moment.time for one in found])
    stride = float(np.median(between)) if len(between) else STRIDE
    rows: dict[int, list[tuple[float, np.ndarray, np.ndarray]]] = {}
    for moment, scores in found:
        for number, box, row in zip(moment.ids.tolist(), moment.boxes, scores, strict=True):
            rows.setdefault(number, []).append((moment.time, box, row))
    persons = [
        Person(number, *(np.stack(column) for column in zip(*found_rows, strict=True)))
        for number, found_rows in rows.items()
    ]
    persons.sort(key=lambda person: -len(person.times))
    return Persons(persons, class_names, stride, seconds)


def detect_persons(
    recognizer: "Recognizer", video: Video, detector: str | Detector | None,
    boxes: str | os.PathLike | None, stride: float | None,
) -> Persons:
    """Finds the people of a video and what they do; see `Recognizer.detect_video`."""
    if (detector is None) == (boxes is None):
        raise ValueError("pass either detector=, to find people, or boxes=, a table of their boxes")
    source = as_video(video)
    if detector is not None:
        if isinstance(detector, str):
            detector = load_detector(detector, threshold=None if detector == FRAME else LOW_SCORE)
        people = detect_people(detector)
    else:
        info, _ = open_frames(source)
        threshold = recognizer.config.data.get("score_threshold", 0.0)
        name = str(source)
        table = read_table(boxes, [name], None, score_threshold=threshold)
        people = given_people(moments_of(table, name, info.duration))
    result = annotate_film(recognizer, source, None, Options(people=people, stride=stride))
    if result.error:
        raise VideoError(str(source), result.error)
    return persons_of(result.persons, recognizer.class_names, result.info.duration)

