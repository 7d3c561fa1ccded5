"""Contact sheets: rows of small pictures with captions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from slowfast_jax.report.drawing import shortened

GAP = 6  # pixels between pictures
INK, PAPER = (31, 35, 40), (255, 255, 255)
TEXT = 15  # height of a caption's letters in pixels
LARGEST = 4000  # pixels of the longer side of a sheet


class Row(NamedTuple):
    """A caption, and the pictures below it: uint8 (H, W, 3) RGB, of any size."""

    caption: str
    pictures: Sequence[np.ndarray]


def contact_sheet(rows: Sequence[Row], *, title: str = "", height: int = 160) -> np.ndarray:
    """Draws rows of pictures, each with its caption above.

    Args:
      rows: at least one.
      title: a line above all rows.
      height: of the pictures in the sheet, in pixels.

    Returns:
      uint8 (H, W, 3). Sheets that would be larger than `LARGEST` pixels are reduced.
    """
    font = ImageFont.load_default(TEXT)
    scaled = [[_scaled(picture, height) for picture in row.pictures] for row in rows]
    captions = [[*_lines(row.caption)] for row in rows]
    line = TEXT + 5
    tops, y = [], GAP + (line + GAP if title else 0)
    for texts, pictures in zip(captions, scaled, strict=True):
        tops.append(y)
        y += line * len(texts) + (height if pictures else 0) + 2 * GAP
    texts = [title, *(text for lines in captions for text in lines)]
    width = max(
        *(sum(picture.width + GAP for picture in pictures) for pictures in scaled),
        *(round(font.getlength(text)) + GAP for text in texts),
    )
    sheet = Image.new("RGB", (width + GAP, y), PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((GAP, GAP), title, INK, font)
    for top, texts, pictures in zip(tops, captions, scaled, strict=True):
        for number, text in enumerate(texts):
            draw.text((GAP, top + number * line), text, INK, font)
        x = GAP
        for picture in pictures:
            sheet.paste(picture, (x, top + len(texts) * line))
            x += picture.width + GAP
    sheet.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    return np.asarray(sheet)


def _lines(caption: str) -> Sequence[str]:
    return caption.split("\n") if caption else ()


def _scaled(picture: np.ndarray, height: int) -> Image.Image:
    """A picture of the given height; small ones keep sharp pixels."""
    image = Image.fromarray(picture)
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    sharp = picture.shape[0] * 2 <= height
    how = Image.Resampling.NEAREST if sharp else Image.Resampling.BICUBIC
    return image.resize((width, height), how)


def captioned(picture: np.ndarray, caption: str) -> np.ndarray:
    """A picture with lines of text on a dark strip below it; its size stays even."""
    height, width = picture.shape[:2]
    size = min(18, max(11, round(width / 24)))
    lines = caption.split("\n")
    room = (size + 4) * len(lines) + 4
    strip = Image.new("RGB", (width, room + (height + room) % 2), INK)
    font = ImageFont.load_default(size)
    for number, line in enumerate(lines):
        text = shortened(line, font, width - 8)
        ImageDraw.Draw(strip).text((4, 2 + number * (size + 4)), text, PAPER, font)
    return np.concatenate([picture, np.asarray(strip)])

