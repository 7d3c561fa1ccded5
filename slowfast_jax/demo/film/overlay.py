"""Draws labels, persons and a time bar into the frames of a film."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slowfast_jax.demo.choice import Choice
from slowfast_jax.demo.film.patches import (
    PANEL,
    caption,
    color_of,
    labels_with_scores,
    panel,
    shortened,
)
from slowfast_jax.report.drawing import (
    BLUE,
    WHITE,
    Color,
    caption_places,
    font_size,
    is_free,
    line_width,
)

UNKNOWN = (125, 133, 144)  # color of persons without a number
TRUTH = WHITE
MOST_WIDTH = 0.62  # of the picture: width of the panel and of captions
CROWD = 8  # persons; of more than these, only the best label is shown, and less of its name
Label = tuple[int, float]  # class, score
Place = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels


class Person(NamedTuple):
    """A person in a frame.

    Attributes:
      number: from 1 on, the same in all frames; 0: unknown.
      box: (4,) x1, y1, x2, y2 as fractions of the picture.
      labels: classes and scores of what the person does.
    """

    number: int
    box: np.ndarray
    labels: Sequence[Label] = ()


class Overlay(NamedTuple):
    """What is drawn into a frame.

    Attributes:
      time: seconds from the start.
      labels: classes and scores of the whole picture.
      persons: persons with boxes.
      truths: annotated boxes, (4,) fractions, with the names of their actions.
    """

    time: float
    labels: Sequence[Label] = ()
    persons: Sequence[Person] = ()
    truths: Sequence[tuple[np.ndarray, Sequence[str]]] = ()


class Painter:
    """Draws overlays into the frames of one film, in order of time."""

    def __init__(self, choice: Choice, height: int, width: int, duration: float):
        """
        Args:
          choice: has the class names.
          height, width: of the frames in pixels.
          duration: seconds of the film; 0 if unknown, then there is no time bar.
        """
        self._names, self._duration = choice.names, duration
        self._size, self._line = font_size(height, width), line_width(height, width)
        self._limits = width, height
        self._most = max(round(MOST_WIDTH * width), min(width, 12 * self._size))
        thick = max(4, round(min(height, width) / 80)) if duration else 0
        self._bar = np.full((thick, width, 3), PANEL, np.uint8)
        self._passed = 0  # columns of the bar

    def draw(self, picture: np.ndarray, overlay: Overlay) -> None:
        """Draws into uint8 (H, W, 3) RGB, in place."""
        boxes = [(self._corners(person.box), person) for person in overlay.persons]
        for corners, person in boxes:
            self._outline(picture, corners, _color(person))
        for box, _ in overlay.truths:
            self._outline(picture, self._corners(box), TRUTH, dashed=True)
        taken = [*self._draw_bar(picture, overlay), *self._draw_labels(picture, overlay.labels)]
        # Captions of large boxes first: where there is no room for all, these people are in front.
        boxes.sort(key=lambda found: -_area(found[0]))
        for corners, person in boxes:
            texts = self._texts(person, crowd=len(boxes) > CROWD)
            taken += self._draw_caption(picture, corners, texts, _color(person), taken)
        for box, names in overlay.truths:
            lines = [("truth: " + (", ".join(names) or "no action"),)]
            taken += self._draw_caption(
                picture, self._corners(box), lines, TRUTH, taken, below=True
            )

    def _texts(self, person: Person, crowd: bool) -> list[tuple[str, ...]]:
        """Captions of a person, each shorter than the one before."""
        tag = f"#{person.number}" if person.number else ""
        lines = labels_with_scores(
            [(self._names[index], score) for index, score in person.labels[: 1 if crowd else None]],
            self._size, (self._most // 2 if crowd else self._most) - 4 * self._size,
        )
        if not lines:
            return [(tag,)] if tag else []
        first = f"{tag} {lines[0]}".strip()
        texts = [(first, *lines[1:]), (first,)]
        return [*texts, (tag,)] if tag else texts

    def _draw_caption(
        self, picture: np.ndarray, box: Place, texts: Sequence[tuple[str, ...]], color: Color,
        taken: Sequence[Place], below: bool = False,
    ) -> list[Place]:
        """Draws the longest caption for which there is room; returns its place, if any."""
        limits = self._limits[0], self._limits[1] - len(self._bar)
        for lines in texts:
            patch = caption(lines, self._size, color, self._most)
            height, width = patch.shape[:2]
            places = caption_places(box, (width, height), limits)
            left = places[0][0]
            lower = range(box[1] + height, min(box[3], limits[1]) - height, height)
            places += [(left, top, left + width, top + height) for top in lower]
            for place in (places[1], *places) if below else places:
                if is_free(place, taken):
                    _paste(picture, patch, place[0], place[1])
                    return [place]
        return []

    def _draw_labels(self, picture: np.ndarray, labels: Sequence[Label]) -> list[Place]:
        if not labels:
            return []
        rows = tuple(
            (self._names[index], round(score, 2), color_of(index)) for index, score in labels
        )
        patch = panel(rows, self._size, self._most)
        edge = self._size // 2
        _paste(picture, patch, edge, edge)
        return [(edge, edge, edge + patch.shape[1], edge + patch.shape[0])]

    def _draw_bar(self, picture: np.ndarray, overlay: Overlay) -> list[Place]:
        width, height = self._limits
        thick = len(self._bar)
        text = _clock(overlay.time)
        if self._duration:
            text += f" / {_clock(self._duration)}"
            share = min(overlay.time / self._duration, 1.0)
            now = min(round(share * width) + 1, width)
            color = color_of(overlay.labels[0][0]) if overlay.labels else BLUE
            self._bar[:, self._passed : now] = color
            self._passed = max(self._passed, now)
            picture[height - thick :] = self._bar
        patch = caption((shortened(text, self._size, width),), self._size, PANEL, width)
        top, left = height - thick - patch.shape[0], width - patch.shape[1]
        _paste(picture, patch, left, top)
        return [(left, top, width, height), (0, height - thick, width, height)]

    def _corners(self, box: np.ndarray) -> Place:
        width, height = self._limits
        x1, y1, x2, y2 = np.clip(box, 0, 1).tolist()
        return (round(x1 * width), round(y1 * height), round(x2 * width), round(y2 * height))

    def _outline(
        self, picture: np.ndarray, box: Place, color: Color, dashed: bool = False
    ) -> None:
        (x1, y1, x2, y2), line = box, self._line
        sides = [
            picture[y1 : y1 + line, x1:x2], picture[max(y2 - line, 0) : y2, x1:x2],
            picture[y1:y2, x1 : x1 + line].swapaxes(0, 1),
            picture[y1:y2, max(x2 - line, 0) : x2].swapaxes(0, 1),
        ]
        for side in sides:
            if not dashed:
                side[:] = color
                continue
            for start in range(0, side.shape[1], 8 * line):
                side[:, start : start + 4 * line] = color


def _color(person: Person) -> Color:
    return color_of(person.number - 1) if person.number else UNKNOWN


def _area(box: Place) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _paste(picture: np.ndarray, patch: np.ndarray, left: int, top: int) -> None:
    """Copies a patch into the picture, as much of it as fits."""
    left, top = max(left, 0), max(top, 0)
    part = picture[top : top + patch.shape[0], left : left + patch.shape[1]]
    part[:] = patch[: part.shape[0], : part.shape[1]]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
