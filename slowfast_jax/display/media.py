"""Pictures and films as HTML elements that hold them, so that a saved page has them, too."""

import base64
import io
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.video.encoding import encode, even_sides, write_video

QUALITY = 85  # of JPEG
SHORT_SIDE = 360  # pixels to which the films of files are reduced
LONGEST = 60.0  # seconds of a file that are shown
OPTIONS = {"crf": "26", "preset": "fast"}  # of x264: an eighth of the default's size


def picture_element(picture: np.ndarray, about: str) -> str:
    """An <img> of uint8 (H, W, 3) RGB, as JPEG. about: what it shows, in words."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=QUALITY)
    height, width = picture.shape[:2]
    return (
        f'<img width="{width}" height="{height}" alt="{about}" '
        f'src="{_data(buffer.getvalue(), "image/jpeg")}">'
    )


def film_element(frames: Iterable[np.ndarray], fps: float) -> str:
    """A <video> of uint8 (H, W, 3) RGB frames, as H.264; an odd last row or column is left out."""
    rate = Fraction(fps).limit_denominator(1001)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.mp4")
        write_video(path, even_sides(frames), fps=rate, options=OPTIONS)
        return _film(path)


def file_element(path: str) -> str:
    """A <video> of the first LONGEST seconds of a file, reduced to SHORT_SIDE, without sound.

    Raises:
      VideoError: the video cannot be decoded.
    """
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder, "film.mp4")
        encode(path, film, short_side=SHORT_SIDE, seconds=LONGEST)
        return _film(film)


def _film(path: Path) -> str:
    return (
        '<video controls loop muted playsinline '
        f'src="{_data(path.read_bytes(), "video/mp4")}"></video>'
    )


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
