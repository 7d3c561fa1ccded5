"""Charts as pictures: confusion matrices and bars."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from slowfast_jax.report.colors import colored
from slowfast_jax.report.drawing import shortened
from slowfast_jax.report.sheets import INK, PAPER

MUTED, FIRST, OWN = (101, 109, 118), (9, 105, 218), (26, 127, 55)
NAMED = 100  # classes; the rows of larger matrices have no room for names
LONGEST = 220  # pixels of a name
EMPTY = (236, 239, 242)  # rows of classes without examples


class Bar(NamedTuple):
    """A bar of length 0 to 1, or nan if there is nothing to show, its name, and whether it stands
    out."""

    name: str
    value: float
    own: bool = False


class Panel(NamedTuple):
    """A title and the bars below it."""

    title: str
    bars: Sequence[Bar]


def matrix_picture(matrix: np.ndarray, names: Sequence[str], *, title: str = "") -> np.ndarray:
    """Draws a confusion matrix: rows are true classes, columns predicted ones.

    Args:
      matrix: (K, K), 0 to 1; rows of nan have no examples.
      names: K names. They are left out if K is larger than `NAMED`.
      title: a line above.

    Returns:
      uint8 (H, W, 3).
    """
    count = len(names)
    size = 36 if count <= 20 else 16 if count <= NAMED else max(2, 1200 // count)
    font = ImageFont.load_default(12)
    labels = [shortened(name, font, LONGEST) for name in names] if count <= NAMED else []
    room = round(max((font.getlength(label) for label in labels), default=0)) + 12
    top = room + (24 if title else 0)
    bold = ImageFont.load_default(14)
    width = max(room + count * size, round(bold.getlength(title))) + 12
    picture = Image.new("RGB", (width, top + count * size + 12), PAPER)
    draw = ImageDraw.Draw(picture)
    if title:
        draw.text((8, 6), title, INK, bold)
    for number, label in enumerate(labels):
        middle = number * size + size // 2
        draw.text((room - 6, top + middle), label, INK, font, anchor="rm")
        turned = _turned(label, font)
        picture.paste(turned, (room + middle - 8, top - 4 - turned.height))
    cells = np.where(np.isnan(matrix)[..., None], EMPTY, colored(matrix, "viridis"))
    cells = cells.astype(np.uint8).repeat(size, 0).repeat(size, 1)
    if size > 8:
        cells[size - 1::size] = cells[:, size - 1::size] = PAPER
    picture.paste(Image.fromarray(cells), (room, top))
    if count <= 20:
        for (row, column), share in np.ndenumerate(matrix):
            if share >= 0.005:
                place = room + column * size + size // 2, top + row * size + size // 2
                color = INK if share > 0.7 else PAPER
                draw.text(place, f"{100 * share:.0f}", color, font, anchor="mm")
    return np.asarray(picture)


def bars_picture(panels: Sequence[Panel], *, title: str = "", columns: int = 3) -> np.ndarray:
    """Draws panels of horizontal bars, side by side in `columns` columns: uint8 (H, W, 3)."""
    font, bold = ImageFont.load_default(12), ImageFont.load_default(14)
    name_room, bar_room, line = 190, 170, 18
    width = name_room + bar_room + 60
    columns = min(columns, len(panels))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [30 + line * max(len(panel.bars) for panel in row) for row in rows]
    head = 28 if title else 0
    picture = Image.new("RGB", (columns * width, head + sum(heights) + 10), PAPER)
    draw = ImageDraw.Draw(picture)
    if title:
        draw.text((10, 6), title, INK, bold)
    top = head
    for row, height in zip(rows, heights, strict=True):
        for number, panel in enumerate(row):
            left = number * width
            draw.text((left + 10, top + 6), shortened(panel.title, bold, width - 20), INK, bold)
            for place, bar in enumerate(panel.bars):
                y = top + 28 + place * line
                right = left + name_room
                text = shortened(bar.name, font, name_room - 20)
                draw.text((right - 6, y + 8), text, INK, font, anchor="rm")
                if math.isnan(bar.value):
                    draw.text((right + 6, y + 8), "not tested", MUTED, font, anchor="lm")
                    continue
                length = round(bar_room * min(max(bar.value, 0), 1))
                color = OWN if bar.own else FIRST
                draw.rectangle((right, y + 2, right + max(length, 1), y + line - 4), color)
                draw.text(
                    (right + length + 6, y + 8), f"{100 * bar.value:.1f}", MUTED, font, anchor="lm"
                )
        top += height
    return np.asarray(picture)


def _turned(text: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """A text that runs upwards, to be pasted with its lower end at the bottom."""
    strip = Image.new("RGB", (LONGEST + 6, 16), PAPER)
    ImageDraw.Draw(strip).text((2, 8), text, INK, font, anchor="lm")
    width = round(font.getlength(text)) + 4
    return strip.crop((0, 0, width, 16)).rotate(90, expand=True)
