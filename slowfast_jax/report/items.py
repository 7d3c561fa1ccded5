"""What a task hands to the one who makes the report."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Picture(NamedTuple):
    """A frame to show, with B boxes; labels are names of classes."""

    image: np.ndarray  # uint8 (H, W, 3) RGB
    boxes: np.ndarray  # (B, 4) x1, y1, x2, y2 in pixels
    truths: Sequence[Sequence[str]]  # B; none for a box that is on nobody
    predictions: Sequence[Sequence[tuple[str, float]]]  # B; the labels that count, with scores
    title: str


class Film(NamedTuple):
    """Pictures of the same size to play one after the other, `fps` a second."""

    fps: Fraction
    pictures: Iterable[Picture]


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the indices 0..count-1, evenly from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def existing(path: Path, mode: str) -> Path:
    """The path of a file that a run in a mode leaves; FileNotFoundError where it did not."""
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: there is no such file; a run with --mode {mode} --workdir {path.parent} "
            "writes it"
        )
    return path
