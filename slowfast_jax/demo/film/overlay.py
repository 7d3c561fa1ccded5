"""Draws labels, persons and a time bar into the frames of a film."""

from collections.abc import Sequence
from typing import NamedTuple

import av
import numpy as np

from slowfast_jax.demo.choice import Choice
from slowfast_jax.demo.film.fonts import Face, best_face
from slowfast_jax.demo.film.patches import (
    PANEL,
    Pen,
    caption,
    color_of,
    labels_with_scores,
    panel,
    shortened,
)
from slowfast_jax.demo.film.planes import (
    Place,
    Planes,
    encoded,
    fill,
    matrix_of,
    paste,
    planes_in,
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
MOST_WIDTH = 0.62  # of the picture: the maximum for the panel and for captions
CROWD = 8  # persons; of more than these, only the best label is shown, and less of its name
Label = tuple[int, float]  # class, score


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
    """Draws overlays into the frames of one film, in order of time.

    Everything has even coordinates, so that its edges are sharp in colors as well.
    """

    def __init__(
        self, choice: Choice, height: int, width: int, duration: float, face: Face | None = None
    ):
        """
        Args:
          choice: has the class names.
          height, width: of the frames in pixels, even.
          duration: seconds of the film; 0 if unknown, then there is no time bar.
          face: the font; None: one that has the characters of the class names.
        """
        self._names, self._duration = choice.names, duration
        face = best_face(tuple(choice.names)) if face is None else face
        self._size = font_size(height, width)
        self._font = face.font(self._size)
        self._line = _even(line_width(height, width) + 1)
        self._limits = width, height
        self._most = max(round(MOST_WIDTH * width), min(width, 12 * self._size))
        self._thick = _even(max(4, round(min(height, width) / 80))) if duration else 0
        self._bar: Planes | None = None
        self._passed = 0  # columns of the bar

    def draw(self, frame: av.VideoFrame, overlay: Overlay) -> None:
        """Draws into a frame that `planes.drawable` has made."""
        canvas = _Canvas(planes_in(frame), Pen(self._font, matrix_of(frame)))
        boxes = [(self._corners(person.box), person) for person in overlay.persons]
        for corners, person in boxes:
            self._outline(canvas, corners, _color(person))
        for box, _ in overlay.truths:
            self._outline(canvas, self._corners(box), TRUTH, dashed=True)
        taken = [*self._draw_bar(canvas, overlay), *self._draw_labels(canvas, overlay.labels)]
        # Captions of large boxes first: where there is no room for all, these people are in front.
        boxes.sort(key=lambda found: -_area(found[0]))
        for corners, person in boxes:
            texts = self._texts(person, crowd=len(boxes) > CROWD)
            taken += self._draw_caption(canvas, corners, texts, _color(person), taken)
        for box, names in overlay.truths:
            lines = [("truth: " + (", ".join(names) or "no action"),)]
            taken += self._draw_caption(
                canvas, self._corners(box), lines, TRUTH, taken, below=True
            )

    def _texts(self, person: Person, crowd: bool) -> list[tuple[str, ...]]:
        """Captions of a person, each shorter than the one before."""
        tag = f"#{person.number}" if person.number else ""
        lines = labels_with_scores(
            [(self._names[index], score) for index, score in person.labels[: 1 if crowd else None]],
            self._font, (self._most // 2 if crowd else self._most) - 4 * self._size,
        )
        if not lines:
            return [(tag,)] if tag else []
        first = f"{tag}  {lines[0]}".strip()
        texts = [(first, *lines[1:]), (first,)]
        return [*texts, (tag,)] if tag else texts

    def _draw_caption(
        self, canvas: "_Canvas", box: Place, texts: Sequence[tuple[str, ...]], color: Color,
        taken: Sequence[Place], below: bool = False,
    ) -> list[Place]:
        """Draws the longest caption for which there is room; returns its place, if any."""
        limits = self._limits[0], self._limits[1] - self._thick
        for lines in texts:
            patch = caption(lines, canvas.pen, color, self._most)
            height, width = patch.luma.shape
            places = caption_places(box, (width, height), limits)
            left = places[0][0]
            lower = range(box[1] + height, min(box[3], limits[1]) - height, height)
            places += [(left, top, left + width, top + height) for top in lower]
            for place in (places[1], *places) if below else places:
                left, top = _even(place[0]), _even(place[1])
                place = (left, top, left + width, top + height)
                if is_free(place, taken):
                    paste(canvas.planes, patch, left, top)
                    return [place]
        return []

    def _draw_labels(self, canvas: "_Canvas", labels: Sequence[Label]) -> list[Place]:
        if not labels:
            return []
        rows = tuple(
            (self._names[index], round(score, 2), color_of(index)) for index, score in labels
        )
        patch = panel(rows, canvas.pen, self._most)
        edge = _even(self._size // 2)
        paste(canvas.planes, patch, edge, edge)
        height, width = patch.luma.shape
        return [(edge, edge, edge + width, edge + height)]

    def _draw_bar(self, canvas: "_Canvas", overlay: Overlay) -> list[Place]:
        (width, height), thick = self._limits, self._thick
        text = _clock(overlay.time)
        if self._duration:
            text += f" / {_clock(self._duration)}"
            share = min(overlay.time / self._duration, 1.0)
            now = min(_even(round(share * width)) + 2, width)
            color = color_of(overlay.labels[0][0]) if overlay.labels else BLUE
            if self._bar is None:
                self._bar = encoded(np.full((thick, width, 3), PANEL, np.uint8), canvas.pen.matrix)
            fill(self._bar, (self._passed, 0, now, thick), color, canvas.pen.matrix)
            self._passed = max(self._passed, now)
            paste(canvas.planes, self._bar, 0, height - thick)
        patch = caption((shortened(text, self._font, width),), canvas.pen, PANEL, width)
        rows, columns = patch.luma.shape
        top, left = max(height - thick - rows, 0), max(width - columns, 0)
        paste(canvas.planes, patch, left, top)
        return [(left, top, width, height), (0, height - thick, width, height)]

    def _corners(self, box: np.ndarray) -> Place:
        width, height = self._limits
        x1, y1, x2, y2 = np.clip(box, 0, 1).tolist()
        corners = x1 * width, y1 * height, x2 * width, y2 * height
        left, top, right, bottom = (2 * round(edge / 2) for edge in corners)
        return left, top, right, bottom

    def _outline(
        self, canvas: "_Canvas", box: Place, color: Color, dashed: bool = False
    ) -> None:
        (x1, y1, x2, y2), line = box, self._line
        dash = 4 * line
        columns, rows = range(x1, x2, 2 * dash), range(y1, y2, 2 * dash)
        across = [(x, min(x + dash, x2)) for x in columns] if dashed else [(x1, x2)]
        down = [(y, min(y + dash, y2)) for y in rows] if dashed else [(y1, y2)]
        low, right = max(y2 - line, y1), max(x2 - line, x1)
        places = [(a, y1, b, min(y1 + line, y2)) for a, b in across]
        places += [(a, low, b, y2) for a, b in across]
        places += [(x1, a, min(x1 + line, x2), b) for a, b in down]
        places += [(right, a, x2, b) for a, b in down]
        for place in places:
            fill(canvas.planes, place, color, canvas.pen.matrix)


class _Canvas(NamedTuple):
    """The planes that are drawn into, and the pen for their colors."""

    planes: Planes
    pen: Pen


def _color(person: Person) -> Color:
    return color_of(person.number - 1) if person.number else UNKNOWN


def _area(box: Place) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _even(number: int) -> int:
    return number - number % 2


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
