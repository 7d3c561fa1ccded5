"""Rooms in which figures act, with furniture, light and a shaking camera; renders the frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data_pipelines.mini.figures import Look, draw_capsule, draw_figure

SKINS = np.array([[240, 205, 180], [220, 170, 135], [165, 115, 80], [95, 62, 45]], np.float32)
MARGIN = 6  # pixels of the backdrop beyond each edge of the picture, for the camera shake


@dataclass(frozen=True)
class Actor:
    """A figure over T frames.

    Attributes:
        look: its appearance.
        places: (T,15,2) x,y of its joints in pixels, without camera shake.
    """

    look: Look
    places: np.ndarray


@dataclass(frozen=True)
class Thing:
    """A ball with a dark rim that figures hold.

    Attributes:
        places: (T,2) x,y of its center in pixels, without camera shake.
        radii: (T,) in pixels; 0 while nobody holds it.
        color: RGB.
    """

    places: np.ndarray
    radii: np.ndarray
    color: np.ndarray


@dataclass(frozen=True)
class Room:
    """A room without figures.

    Attributes:
        backdrop: float32 (H+2*MARGIN,W+2*MARGIN,3) RGB.
        front: (box x1,y1,x2,y2 in pixels, color) of foreground objects, which hide figures.
        furniture: (F,4) boxes in pixels of pieces that a detector could mistake for persons.
    """

    backdrop: np.ndarray
    front: tuple[tuple[np.ndarray, np.ndarray], ...]
    furniture: np.ndarray


def make_room(random: np.random.Generator, height: int, width: int) -> Room:
    """A random room: a wall, a floor and three to six pieces of furniture."""
    rows, columns = np.mgrid[: height + 2 * MARGIN, : width + 2 * MARGIN].astype(np.float32)
    across, down = columns / width - 0.5, rows / height
    wall = random.uniform(70, 200) + random.uniform(-22, 22, 3)
    floor = wall * random.uniform(0.55, 0.85) + random.uniform(-15, 15, 3)
    horizon = random.uniform(0.62, 0.8)
    backdrop = np.where((down < horizon)[..., None], wall, floor)
    for _ in range(random.integers(3, 7)):
        piece = _furniture(random, rows, columns, height, width)
        backdrop[piece[0]] = piece[1]
    texture = random.normal(0, 1, (backdrop.shape[0] // 4 + 1, backdrop.shape[1] // 4 + 1))
    texture = texture.repeat(4, 0).repeat(4, 1)[: backdrop.shape[0], : backdrop.shape[1], None]
    slope = random.uniform(-25, 25, 2)
    backdrop += texture * 4 + (across * slope[0] + down * slope[1])[..., None]
    furniture = []
    for _ in range(2):  # floor lamps and coat racks, which have the size of a person
        foot = np.array([random.uniform(0.1, 0.9) * width, random.uniform(0.75, 0.9) * height])
        tall, thick = random.uniform(0.3, 0.55) * height, random.uniform(0.04, 0.07) * height
        top, color = foot - [0, tall], wall * random.uniform(0.5, 1.4)
        draw_capsule(backdrop, foot + MARGIN, top + MARGIN, thick / 2, color)
        draw_capsule(backdrop, top + MARGIN, top + MARGIN, thick * 1.6, color * 0.9)
        around = np.array([1.6 * thick, 1.6 * thick])
        furniture.append([*(top - around), foot[0] + around[0], foot[1]])
    front = []
    if random.random() < 0.3:
        left, wide = random.uniform(0, 0.8) * width, random.uniform(0.12, 0.22) * width
        top = random.uniform(0.86, 0.92) * height
        front.append((np.array([left, top, left + wide, 2 * height]), floor * 0.7))
    if random.random() < 0.25:
        left, wide = random.uniform(0, 1) * width, random.uniform(0.015, 0.03) * width
        front.append((np.array([left, -height, left + wide, 2 * height]), wall * 0.6))
    return Room(backdrop.astype(np.float32), tuple(front), np.array(furniture))


def _furniture(random, rows, columns, height, width) -> tuple[np.ndarray, np.ndarray]:
    """(mask of the backdrop, colors (n,3) within it) of a plain, striped or checked piece."""
    left, top = random.uniform(-0.1, 0.9) * width, random.uniform(0.05, 0.7) * height
    wide, tall = random.uniform(0.08, 0.3) * width, random.uniform(0.1, 0.4) * height
    inside = (columns > left) & (columns < left + wide) & (rows > top) & (rows < top + tall)
    color = random.uniform(50, 210) + random.uniform(-30, 30, 3)
    size = random.uniform(5, 12)
    pattern = (np.floor(columns / size) * random.integers(0, 2)
               + np.floor(rows / size) * random.integers(0, 2)) % 2
    return inside, color * (1 - 0.2 * pattern[inside][:, None])


def make_look(random: np.random.Generator, height: float, room: Room) -> Look:
    """A random appearance in colors that stand out from the wall."""
    wall = np.median(room.backdrop[: len(room.backdrop) // 2], axis=(0, 1))
    clothes = random.uniform(0, 255, (12, 3))
    shirt, trousers = clothes[np.argsort(-np.abs(clothes - wall).sum(-1), kind="stable")[:2]]
    skins = SKINS[np.argsort(-np.abs(SKINS - wall).sum(-1), kind="stable")[:2]]
    return Look(height, np.stack([skins[random.integers(2)], shirt, trousers]))


def shake(random: np.random.Generator, times: np.ndarray, height: int) -> np.ndarray:
    """Camera shake: displacement of the picture (T,2), x,y in pixels, at `times` (T,) seconds."""
    rates, turns = random.uniform(0.2, 1.1, (2, 3)), random.uniform(0, 2 * np.pi, (2, 3))
    waves = np.sin(2 * np.pi * rates * times[:, None, None] + turns).mean(-1)
    return waves * random.uniform(0.005, 0.022) * height


def pictures(
    room: Room,
    actors: Sequence[Actor],
    things: Sequence[Thing],
    offsets: np.ndarray,
    random: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Renders the frames.

    Args:
        room: the background.
        actors: the figures, the farthest first.
        things: what they hold.
        offsets: (T,2), see `shake`.
        random: generator of light and noise.

    Yields:
        uint8 (H,W,3) RGB.
    """
    height, width = (np.array(room.backdrop.shape[:2]) - 2 * MARGIN).tolist()
    grain = random.normal(0, 2.5, (2 * height, 2 * width, 1)).astype(np.float32)
    light, flicker = random.uniform(0.8, 1.12), random.uniform(0, 0.03)
    rate = random.uniform(0.02, 0.15)
    for number, offset in enumerate(offsets):
        picture = _shifted(room.backdrop, offset, height, width)
        for actor in actors:
            draw_figure(picture, actor.places[number] + offset, actor.look)
        for thing in things:
            if thing.radii[number] > 0.3:
                place = thing.places[number] + offset
                draw_capsule(picture, place, place, thing.radii[number], thing.color * 0.1)
                draw_capsule(picture, place, place, 0.72 * thing.radii[number], thing.color)
        for box, color in room.front:
            left, top, right, bottom = (box + [*offset, *offset]).round().astype(int).clip(0)
            picture[top:bottom, left:right] = color
        row, column = random.integers(height), random.integers(width)
        picture *= light + flicker * np.sin(rate * number)
        picture += grain[row : row + height, column : column + width]
        yield np.clip(picture, 0, 255).astype(np.uint8)


def _shifted(backdrop: np.ndarray, offset: np.ndarray, height: int, width: int) -> np.ndarray:
    """The backdrop moved by x,y pixels with bilinear interpolation: float32 (H,W,3)."""
    x, y = np.clip(MARGIN - offset, 0, 2 * MARGIN - 1)
    column, row = int(x), int(y)
    x, y = np.float32(x - column), np.float32(y - row)
    tall = backdrop[row : row + height + 1, column : column + width + 1]
    mixed = tall[:-1] * (1 - y) + tall[1:] * y
    return mixed[:, :-1] * (1 - x) + mixed[:, 1:] * x
