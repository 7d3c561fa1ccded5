"""`show`: a video, clip, picture, boxes or result, in Jupyter as a picture or film."""

import os
import sys
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.paths import IMAGE_SUFFIXES
from data_pipelines.video.image_files import read_image
from slowfast_jax.display.media import LONGEST, file_element, film_element, picture_element
from slowfast_jax.display.style import BLUE, block, note
from slowfast_jax.report.drawing import draw_boxes

FPS = 30.0  # of clips, unless it is passed
MOST_CLIPS = 12  # of an array of clips
SMALL = 240  # pixels; pictures whose shorter side is less are enlarged by a whole factor
LARGE = 640  # pixels to which the short side of larger pictures is reduced


def show(
    thing: Any, boxes: Any = None, captions: Sequence[str] | None = None, *, fps: float = FPS
) -> None:
    """Shows something in a Jupyter notebook; elsewhere, prints what it is.

    Args:
      thing: a result of this library; the path of a video or picture; or uint8 RGB pixels of a
        picture (H, W, 3), a clip or film (T, H, W, 3), or clips (N, T, H, W, 3), of which the first
        MOST_CLIPS are shown. The first LONGEST seconds of a video are shown.
      boxes: (B, 4) x1, y1, x2, y2 in pixels, drawn into pixels (H, W, 3) or (T, H, W, 3); or
        (T, B, 4), other boxes for each frame of a film.
      captions: B texts for the boxes.
      fps: frames per second of a clip; take 30 / sampling_rate to see it at its own speed.

    Raises:
      VideoError: a video or picture cannot be read.
      ValueError: it cannot be shown, or boxes do not fit.
    """
    display = _jupyter_display()
    if boxes is None and captions is not None:
        raise ValueError("captions are texts of boxes: pass boxes as well")
    if hasattr(thing, "_repr_html_"):
        if boxes is not None:
            raise ValueError(f"boxes cannot be drawn into a {type(thing).__name__}")
        print(thing) if display is None else display(thing)
        return
    if isinstance(thing, (str, os.PathLike)):
        html, text = _file(os.fspath(thing), boxes)
    else:
        html, text = _pixels(_checked(thing), boxes, captions, fps)
    if display is None:
        print(text)
    else:
        from IPython.display import HTML

        display(HTML(block(html)))


def _jupyter_display() -> Any:
    """IPython's `display` if this is a notebook; None elsewhere."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import display

    return display if hasattr(get_ipython(), "kernel") else None


def _file(path: str, boxes: Any) -> tuple[str, str]:
    """HTML of a file, and what it is in words."""
    if boxes is not None:
        raise ValueError("boxes are drawn into pixels, not into a file: pass its frames")
    if path.lower().endswith(IMAGE_SUFFIXES):
        picture = read_image(path)
        text = f"{path}: picture of {_size(picture)}"
        return picture_element(_scaled(picture), escape(text)), text
    text = f"{path}: the first {LONGEST:g} seconds at most, without sound"
    return file_element(path) + note(text), text


def _checked(thing: Any) -> np.ndarray:
    pixels = np.asarray(thing)
    if pixels.dtype == object or pixels.ndim not in (3, 4, 5) or pixels.shape[-1] != 3:
        what = type(thing).__name__ if pixels.dtype == object else f"array {pixels.shape}"
        raise ValueError(
            f"{what} cannot be shown; expected a path, a result, or uint8 pixels (H, W, 3), "
            "(T, H, W, 3) or (N, T, H, W, 3)"
        )
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels are {pixels.dtype}; expected uint8, before normalization")
    if not pixels.size:
        raise ValueError(f"the array {pixels.shape} has no pixels")
    return pixels


def _pixels(
    pixels: np.ndarray, boxes: Any, captions: Sequence[str] | None, fps: float
) -> tuple[str, str]:
    """HTML of a picture, film or clips, and what it is in words."""
    if pixels.ndim == 5:
        if boxes is not None:
            raise ValueError("boxes are drawn into one clip: pass clips[i] and its boxes")
        clips = pixels[:MOST_CLIPS]
        text = f"{len(pixels)} clips of {pixels.shape[1]} frames of {_size(pixels)}"
        if len(clips) < len(pixels):
            text += f", of which the first {MOST_CLIPS} are shown"
        films = "".join(film_element(clip, fps) for clip in clips)
        return f'<div class="films">{films}</div>{note(text)}', text
    film = pixels if pixels.ndim == 4 else pixels[None]
    if boxes is not None:
        film = _with_boxes(film, boxes, captions)
    more = " with boxes" if boxes is not None else ""
    if pixels.ndim == 3:
        text = f"picture of {_size(pixels)}{more}"
        return picture_element(_scaled(film[0]), text), text
    text = f"film of {len(pixels)} frames of {_size(pixels)}{more}, {fps:g} per second"
    return film_element(film, fps) + note(text), text


def _with_boxes(
    film: np.ndarray, boxes: Any, captions: Sequence[str] | None
) -> np.ndarray:
    """The frames with boxes drawn into them, enlarged to keep captions legible."""
    boxes = np.asarray(boxes, float)
    if boxes.ndim == 2:
        boxes = np.broadcast_to(boxes, (len(film), *boxes.shape))
    if boxes.ndim != 3 or boxes.shape[-1] != 4 or len(boxes) != len(film):
        raise ValueError(
            f"boxes have shape {boxes.shape}; expected (B, 4), or ({len(film)}, B, 4) for each "
            "frame"
        )
    count = boxes.shape[1]
    captions = [""] * count if captions is None else list(captions)
    if len(captions) != count:
        raise ValueError(f"{len(captions)} captions for {count} boxes; expected one for each")
    color = tuple(bytes.fromhex(BLUE[1:]))
    scale = max(1, SMALL // min(film.shape[1:3]))
    drawn = [
        draw_boxes(frame, found, captions, [color] * count, scale=scale)
        for frame, found in zip(film, boxes, strict=True)
    ]
    return np.stack(drawn)


def _scaled(picture: np.ndarray) -> np.ndarray:
    short = min(picture.shape[:2])
    if SMALL <= short <= LARGE:
        return picture
    factor = LARGE / short if short > LARGE else max(1, SMALL // short)
    size = (round(picture.shape[1] * factor), round(picture.shape[0] * factor))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[-2]}x{pixels.shape[-3]}"
