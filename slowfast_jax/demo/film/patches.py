"""Small pictures of text, drawn once and copied into many frames."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont

from slowfast_jax.demo.film.planes import Planes, encoded
from slowfast_jax.report import drawing
from slowfast_jax.report.drawing import WHITE, Color

BLACK = (0, 0, 0)
PANEL = (24, 27, 31)  # background of what belongs to the whole picture
# Far apart from each other, and from skin, grass and sky as far as that is possible.
PALETTE = (
    (66, 133, 244), (251, 188, 5), (234, 67, 53), (52, 168, 83), (171, 71, 188), (0, 172, 193),
    (255, 112, 67), (158, 157, 36), (240, 98, 146), (121, 134, 203), (141, 110, 99), (38, 166, 154),
)
Row = tuple[str, float, Color]  # name, score and color of a label

shortened = lru_cache(maxsize=4096)(drawing.shortened)  # frames have the same texts


def color_of(number: int) -> Color:
    """The color of a person or class with this number, always the same."""
    return PALETTE[number % len(PALETTE)]


def text_color(background: Color) -> Color:
    """Black or white, whichever stands out more; the contrast is at least 4.5 : 1."""
    return BLACK if _luminance(background) > 0.179 else WHITE


def _luminance(color: Color) -> float:
    """Relative luminance by WCAG 2.1, 0 to 1."""
    parts = [value / 255 for value in color]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class Pen(NamedTuple):
    """How text is written. font: with its size; matrix: of the planes, see `planes.matrix_of`."""

    font: FreeTypeFont
    matrix: int


@lru_cache(maxsize=1024)
def caption(lines: tuple[str, ...], pen: Pen, background: Color, most: int) -> Planes:
    """Lines of text on a background, at most `most` pixels wide."""
    font, size = pen.font, round(pen.font.size)
    pad = max(2, size // 5)
    lines = tuple(shortened(line, font, most - 2 * pad) for line in lines)
    height = _line_height(font)
    width = round(max(font.getlength(line) for line in lines)) + 2 * pad
    picture = _blank(min(width, most), height * len(lines) + pad, background)
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((pad, number * height + pad // 2), line, text_color(background), font)
    return encoded(np.asarray(picture), pen.matrix)


@lru_cache(maxsize=64)
def panel(rows: tuple[Row, ...], pen: Pen, most: int) -> Planes:
    """Labels, one below the other, each with its score as a number and a bar."""
    font, size, height = pen.font, round(pen.font.size), _line_height(pen.font)
    pad, line = max(3, size // 3), max(2, size // 7)
    number_width = round(font.getlength("0.00"))
    names = [shortened(name, font, most - number_width - 4 * pad) for name, _, _ in rows]
    width = round(max(map(font.getlength, names))) + number_width + 4 * pad
    width = min(max(width, 9 * size), most)
    step = height + line + pad // 2
    picture = _blank(width, step * len(rows) + pad, PANEL)
    draw = ImageDraw.Draw(picture)
    for number, (name, (_, score, color)) in enumerate(zip(names, rows, strict=True)):
        top = number * step + pad // 2
        draw.text((pad, top), name, WHITE, font)
        draw.text((width - pad - number_width, top), f"{score:.2f}", WHITE, font)
        length = round((width - 2 * pad) * min(max(score, 0.0), 1.0))
        draw.rectangle((pad, top + height, pad + max(length, 1), top + height + line - 1), color)
    return encoded(np.asarray(picture), pen.matrix)


def labels_with_scores(
    labels: Sequence[tuple[str, float]], font: FreeTypeFont, most: int
) -> list[str]:
    """Lines "name 0.93", whose names are shortened so that the scores fit as well."""
    room = most - round(font.getlength(" 0.00"))
    return [f"{shortened(name, font, room)} {score:.2f}" for name, score in labels]


def _blank(width: int, height: int, color: Color) -> Image.Image:
    """An empty picture, whose sides are made even."""
    return Image.new("RGB", (width + width % 2, height + height % 2), color)


def _line_height(font: FreeTypeFont) -> int:
    """Pixels from one line to the next."""
    return max(round(1.3 * font.size), sum(font.getmetrics()))
