"""Writes pictures and films."""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.atomic_files import whole
from data_pipelines.video.encoding import even_sides, write_video

LEAST = 320  # pixels of the height of a film's pictures, to which smaller ones are enlarged


def write_picture(path: str | os.PathLike, picture: np.ndarray) -> Path:
    """Writes a picture uint8 (H, W, 3), as PNG or JPEG by the suffix; returns its path."""
    path = Path(path)
    kind = {".png": "PNG", ".jpg": "JPEG"}[path.suffix]
    with whole(path) as part:
        Image.fromarray(picture).save(part, kind, quality=90)
    return path


def write_film(
    path: str | os.PathLike, pictures: Iterable[np.ndarray], fps: Fraction | int
) -> Path:
    """Writes pictures uint8 (H, W, 3) of one size, of which odd sides lose a pixel, as H.264.

    Returns the path. An interruption leaves a film of the pictures so far.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_video(path, even_sides(pictures), fps=fps)
    return Path(path)


def enlarged(picture: np.ndarray) -> np.ndarray:
    """A picture, enlarged by a whole factor to a height of `LEAST` pixels or more."""
    factor = max(1, -(-LEAST // picture.shape[0]))
    size = picture.shape[1] * factor, picture.shape[0] * factor
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
