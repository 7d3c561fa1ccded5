"""Overlays: legible on small and large pictures, with captions that do not cover each other."""

import av
import numpy as np
import pytest

from slowfast_jax.demo.choice import choose
from slowfast_jax.demo.film import overlay as module
from slowfast_jax.demo.film.fonts import OWN
from slowfast_jax.demo.film.overlay import Overlay, Painter, Person
from slowfast_jax.demo.film.patches import (
    PALETTE,
    PANEL,
    Pen,
    caption,
    color_of,
    panel,
    text_color,
)
from slowfast_jax.demo.film.planes import BT601, FORMAT, planes_in

NAMES = [
    "walk", "sit", "talk to (e.g., self, a person, a group)", "carry/hold (an object) " * 4, "run",
]
CHOICE = choose(NAMES, several=True)
random = np.random.default_rng(0)


def gray(height, width, level=90):
    frame = av.VideoFrame(width, height, FORMAT)
    for plane, value in zip(planes_in(frame), (level, 128, 128), strict=True):
        plane[:] = value
    return frame


def pen(size):
    return Pen(OWN.font(size), BT601)


def rgb(planes):
    """Planes as a picture (H, W, 3)."""
    frame = av.VideoFrame(*planes.luma.shape[::-1], FORMAT)
    for plane, values in zip(planes_in(frame), planes, strict=True):
        plane[:] = values
    return frame.to_ndarray(format="rgb24").astype(int)


def is_color(pixels, color):
    """Whether pixels (..., 3) have a color, but for rounding."""
    return np.abs(pixels - np.array(color)).max() <= 4


def people(count):
    centers, sides = random.uniform(0.1, 0.9, (count, 2)), random.uniform(0.02, 0.15, (count, 2))
    boxes = np.clip(np.concatenate([centers - sides, centers + sides], 1), 0, 1)
    return [
        Person(number, box, [(number % 5, 0.9), ((number + 1) % 5, 0.5)])
        for number, box in enumerate(boxes, 1)
    ]


@pytest.mark.parametrize("size", [(240, 320), (2160, 3840), (1280, 720)])
@pytest.mark.parametrize("count", [1, 50])
def test_captions_cover_nothing_else(monkeypatch, size, count):
    places = []

    def paste(planes, patch, left, top):
        height, width = patch.luma.shape
        assert 0 <= left and 0 <= top, "a caption begins outside of the picture"
        assert left + width <= size[1] and top + height <= size[0]
        assert not any(edge % 2 for edge in (left, top, height, width)), "colors would be blurred"
        places.append((left, top, left + width, top + height))

    monkeypatch.setattr(module, "paste", paste)
    truths = [(np.array([0.3, 0.3, 0.6, 0.6]), ["walk", "run"])]
    overlay = Overlay(3.0, [(3, 0.7), (0, 0.2)], people(count), truths)
    Painter(CHOICE, *size, duration=9.0).draw(gray(*size), overlay)
    assert len(places) >= 4 if count == 1 else len(places) > 12  # the panel, time, truth, persons
    for number, (left, top, right, bottom) in enumerate(places):
        for other in places[number + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def captions_of(monkeypatch, persons):
    """The texts of the captions that are drawn, in order, without the time."""
    texts = []

    def drawn(lines, *rest):
        texts.append(lines)
        return caption(lines, *rest)

    monkeypatch.setattr(module, "caption", drawn)
    Painter(CHOICE, 480, 640, 0.0).draw(gray(480, 640), Overlay(0.0, (), persons))
    return texts[1:]


def test_captions_of_large_boxes_come_first(monkeypatch):
    boxes = [[0.1, 0.1, 0.2, 0.2], [0.4, 0.2, 0.8, 0.9], [0.1, 0.4, 0.3, 0.7]]
    persons = [Person(number, np.array(box)) for number, box in enumerate(boxes, 1)]
    assert captions_of(monkeypatch, persons) == [("#2",), ("#3",), ("#1",)]


@pytest.mark.parametrize(("count", "lines"), [(8, 2), (9, 1)])
def test_in_a_crowd_each_shows_the_best_label(monkeypatch, count, lines):
    persons = [
        Person(number, np.array([0.1 * number, 0.5, 0.1 * number + 0.1, 0.9]), [(0, 0.9), (1, 0.8)])
        for number in range(count)
    ]
    assert len(captions_of(monkeypatch, persons)[0]) == lines


def test_persons_keep_their_color_and_captions_follow_their_box():
    frame = gray(480, 640, 16)
    box = np.array([0.25, 0.5, 0.5, 0.75])
    Painter(CHOICE, 480, 640, 0.0).draw(frame, Overlay(0.0, (), [Person(3, box)]))
    picture = rgb(planes_in(frame))
    assert is_color(picture[240:242, 170:310], PALETTE[2])
    assert is_color(picture[225:240, 160:164], PALETTE[2])  # the background of "#3"
    assert not picture[250:350, 170:310].any()
    assert color_of(2) == color_of(2 + len(PALETTE)) != color_of(3)


def test_edges_are_sharp_in_brightness_and_color():
    frame = gray(240, 320, 16)
    box = np.array([0.2531, 0.3333, 0.5047, 0.7777])  # at odd pixels
    Painter(CHOICE, 240, 320, 0.0).draw(frame, Overlay(0.0, (), [Person(0, box)]))
    luma, blue, red = planes_in(frame)
    drawn = np.kron((blue != 128) | (red != 128), np.ones((2, 2), bool))
    assert ((luma != 16) == drawn)[:200, :200].all() and drawn[:200, :200].any()


def test_text_grows_with_the_picture_and_stands_out():
    small, large = (panel((("walk", 0.9, PALETTE[0]),), pen(size), 10**4) for size in (11, 72))
    assert large.luma.shape[0] > 5 * small.luma.shape[0]
    for color in PALETTE:
        patch = rgb(caption(("walk",), pen(20), color, 999)).reshape(-1, 3)
        text = np.abs(patch - np.array(text_color(color))).max(1) < 40
        assert text.any() and (np.abs(patch - np.array(color)).max(1) <= 4).any()


def test_long_names_are_shortened_to_fit():
    text = NAMES[3]
    assert caption((text,), pen(20), PALETTE[0], 200).luma.shape[1] <= 200
    assert panel(((text, 1.0, PALETTE[0]),), pen(20), 200).luma.shape[1] <= 200


def test_the_time_bar_shows_what_was_seen():
    painter, frame = Painter(CHOICE, 240, 400, duration=10.0), gray(240, 400)
    painter.draw(gray(240, 400), Overlay(2.5, [(1, 0.9)]))
    painter.draw(frame, Overlay(5.0, [(4, 0.9)]))
    bar = rgb(planes_in(frame))[-1, [50, 150, 250]]
    for found, color in zip(bar, (color_of(1), color_of(4), PANEL), strict=True):
        assert is_color(found, color)
