"""Layers and arrays with an index, as in "stem/conv_xy/kernel[0, :, :, 1:3]"."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slowfast_jax.config import ConfigError

ENTRY = re.compile(r"\s*(?:(-?\d+)|(-?\d+)?\s*:\s*(-?\d+)?(?:\s*:\s*(-?\d+)?)?|(\.\.\.))\s*")
Index = tuple[int | slice, ...]


class Tiles(NamedTuple):
    """Parts of an array.

    Attributes:
      pictures: (P, H, W) or, in color, (P, H, W, 3).
      captions: P texts, which part each of them is.
      moments: number of neighbors that differ only in time; 1 if time is not among the axes.
    """

    pictures: np.ndarray
    captions: list[str]
    moments: int


def split_index(text: str) -> tuple[str, Index]:
    """Splits "NAME[INDEX]" into name and index; the index of a mere "NAME" is empty.

    Raises ConfigError if the index has anything but whole numbers and slices.
    """
    name, bracket, rest = text.partition("[")
    if not bracket:
        return text, ()
    entries: list[int | slice] = []
    for part in rest[:-1].split(",") if rest.endswith("]") else [f"[{rest}"]:
        match = ENTRY.fullmatch(part)
        if match is None or match[5]:
            raise ConfigError(
                f"{text}: {part.strip()!r} is no index; expected whole numbers and slices, as in "
                f"{name}[0, :, 1:3]"
            )
        number, *bounds = (int(value) if value else None for value in match.groups()[:4])
        entries.append(slice(*bounds) if number is None else number)
    return name, tuple(entries)


def tiles(array: np.ndarray, axes: Sequence[str], index: Index, name: str) -> Tiles:
    """The parts of an array as pictures.

    Args:
      array: with the given axes.
      axes: their names. "height" and "width" make pictures; an array without them has pictures of
        its first two axes. An axis "in" of length 3 has the colors of a picture with height and
        width.
      index: applied first.
      name: of the array, for messages.

    Raises ConfigError if the index does not fit.
    """
    try:
        array = array[index]
    except IndexError as error:
        shape = " x ".join(map(str, array.shape))
        raise ConfigError(f"{name} is {shape} ({', '.join(axes)}): {error}") from None
    kept = [
        axis for place, axis in enumerate(axes)
        if place >= len(index) or isinstance(index[place], slice)
    ]
    if not array.size or not kept:
        raise ConfigError(f"{name}: the index leaves {array.size} numbers, expected a picture")
    while len(kept) < 2:
        array, kept = array[None], ["", *kept]
    shown = [axis for axis in ("height", "width") if axis in kept]
    colored = len(shown) == 2 and "in" in kept and array.shape[kept.index("in")] == 3
    shown += [axis for axis in kept if axis not in shown][: 2 - len(shown)]
    shown += ["in"] if colored else []
    others = [axis for axis in kept if axis not in shown]
    others.sort(key=lambda axis: axis == "time")  # the moments of a channel are neighbors
    order = [kept.index(axis) for axis in (*others, *shown)]
    lengths = [array.shape[kept.index(axis)] for axis in others]
    pictures = array.transpose(order)
    captions = [
        ", ".join(
            f"{axis} {number}"
            for axis, number, length in zip(others, place, lengths, strict=True) if length > 1
        ) for place in np.ndindex(*lengths)
    ]
    moments = lengths[-1] if others and others[-1] == "time" else 1
    pictures = pictures.reshape(len(captions), *pictures.shape[len(others):])
    return Tiles(pictures, captions, moments)
