"""Draws boxes with captions into pictures, and writes videos of such pictures."""

import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_pipelines.video.encoding import even_sides, write_video

Color = tuple[int, int, int]

GREEN, RED, GRAY, BLUE = (46, 160, 67), (218, 54, 51), (125, 133, 144), (31, 111, 235)
WHITE = (255, 255, 255)


class Annotated(NamedTuple):
    """A video frame and the boxes to draw into it; see `draw_boxes`."""

    image: np.ndarray
    boxes: np.ndarray
    captions: Sequence[str]
    colors: Sequence[Color]


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    captions: Sequence[str],
    colors: Sequence[Color],
    *,
    scale: int = 1,
) -> np.ndarray:
    """Draws boxes with captions into a copy of a picture.

    A caption is placed above its box, or else below or inside it, so that it covers no other
    caption if possible, and is moved to fit into the picture.

    Args:
      image: uint8 (H, W, 3) RGB.
      boxes: (B, 4) x1, y1, x2, y2 in pixels of the image.
      captions: B texts of one or more lines; "" for no caption.
      colors: B colors (red, green, blue), of the box and of the caption's background.
      scale: factor by which the picture is enlarged first, to keep text legible on small ones.

    Returns:
      uint8 (H * scale, W * scale, 3).
    """
    if not len(boxes) == len(captions) == len(colors):
        raise ValueError(
            f"{len(boxes)} boxes, {len(captions)} captions and {len(colors)} colors: expected "
            "the same number of each"
        )
    height, width = image.shape[0] * scale, image.shape[1] * scale
    picture = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(font_size(height, width))
    line = line_width(height, width)
    corners = (np.asarray(boxes, float).reshape(-1, 4) * scale).round().astype(int).tolist()
    for box, color in zip(corners, colors, strict=True):
        draw.rectangle((*box[:2], max(box[0], box[2]), max(box[1], box[3])), None, color, line)
    taken: list[tuple[int, int, int, int]] = []
    for box, caption, color in zip(corners, captions, colors, strict=True):
        if not caption:
            continue
        left, top, right, bottom = draw.multiline_textbbox((0, 0), caption, font, spacing=2)
        size = (right - left + 6, bottom - top + 6)
        place = _place(box, size, (width, height), taken)
        taken.append(place)
        draw.rectangle(place, color)
        draw.multiline_text(
            (place[0] + 3 - left, place[1] + 3 - top), caption, WHITE, font, spacing=2
        )
    return np.asarray(picture)


def shortened(text: str, font: ImageFont.FreeTypeFont, most: float) -> str:
    """The text, or as much of its beginning as fits into `most` pixels, with "…"."""
    if font.getlength(text) <= most:
        return text
    low, high = 0, len(text)  # the longest beginning that fits has low <= length < high
    while low + 1 < high:
        middle = (low + high) // 2
        fits = font.getlength(text[:middle].rstrip() + "…") <= most
        low, high = (middle, high) if fits else (low, middle)
    return text[:low].rstrip() + "…"


def font_size(height: int, width: int) -> int:
    """Pixels of a font that can be read on a picture of this size."""
    return max(11, round(min(height, width) / 30))


def line_width(height: int, width: int) -> int:
    """Pixels of the line around a box on a picture of this size."""
    return max(2, round(min(height, width) / 200))


def caption_places(
    box: Sequence[int], size: tuple[int, int], limits: tuple[int, int]
) -> list[tuple[int, int, int, int]]:
    """Where a caption of (width, height) `size` may be, x1, y1, x2, y2, the best place first.

    That is above, below, and inside a box, x1, y1, x2, y2, moved to fit into a picture of (width,
    height) `limits`.
    """
    (width, height), (x1, y1, _, y2) = size, box
    x = max(0, min(x1, limits[0] - width - 1))
    tops = [max(0, min(y, limits[1] - height - 1)) for y in (y1 - height, y2, y1, y2 - height)]
    return [(x, y, x + width, y + height) for y in tops]


def is_free(
    place: tuple[int, int, int, int], taken: Iterable[tuple[int, int, int, int]]
) -> bool:
    """Whether a place, x1, y1, x2, y2, covers none of those that are taken."""
    left, top, right, bottom = place
    return not any(left < t[2] and t[0] < right and top < t[3] and t[1] < bottom for t in taken)


def _place(
    box: Sequence[int],
    size: tuple[int, int],
    limits: tuple[int, int],
    taken: Sequence[tuple[int, int, int, int]],
) -> tuple[int, int, int, int]:
    """The first place of a caption that is free, or else the first one."""
    places = caption_places(box, size, limits)
    return next((place for place in places if is_free(place, taken)), places[0])


def write_annotated_video(
    path: str | os.PathLike,
    frames: Iterable[Annotated],
    *,
    fps: Fraction | int,
    scale: int = 1,
) -> None:
    """Writes frames with their boxes as an H.264 video, streaming.

    Args:
      path: a name that ends in .mp4.
      frames: all of the same size. An odd last row or column, which H.264 cannot store, is dropped.
      fps: frames per second.
      scale: see `draw_boxes`.

    Raises:
      ValueError: another file extension.
    """
    if not str(path).endswith(".mp4"):
        raise ValueError(f"{path}: expected a file name that ends in .mp4")
    pictures = (draw_boxes(*frame, scale=scale) for frame in frames)
    write_video(path, even_sides(pictures), fps=fps)
