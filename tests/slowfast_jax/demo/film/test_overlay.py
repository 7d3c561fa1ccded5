"""Overlays: legible on small and large pictures, with captions that do not cover each other."""

import numpy as np
import pytest

from slowfast_jax.demo.choice import choose
from slowfast_jax.demo.film import overlay as module
from slowfast_jax.demo.film.overlay import Overlay, Painter, Person
from slowfast_jax.demo.film.patches import PALETTE, caption, color_of, panel, shortened, text_color

NAMES = [
    "walk", "sit", "talk to (e.g., self, a person, a group)", "carry/hold (an object) " * 4, "run",
]
CHOICE = choose(NAMES, several=True)
random = np.random.default_rng(0)


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

    def paste(picture, patch, left, top):
        assert 0 <= left and 0 <= top, "a caption begins outside of the picture"
        assert left + patch.shape[1] <= size[1] and top + patch.shape[0] <= size[0]
        places.append((left, top, left + patch.shape[1], top + patch.shape[0]))

    monkeypatch.setattr(module, "_paste", paste)
    picture = np.full((*size, 3), 90, np.uint8)
    truths = [(np.array([0.3, 0.3, 0.6, 0.6]), ["walk", "run"])]
    overlay = Overlay(3.0, [(3, 0.7), (0, 0.2)], people(count), truths)
    Painter(CHOICE, *size, duration=9.0).draw(picture, overlay)
    assert len(places) >= 4 if count == 1 else len(places) > 12  # the panel, time, truth, persons
    for number, (left, top, right, bottom) in enumerate(places):
        for other in places[number + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_persons_keep_their_color_and_captions_follow_their_box():
    picture = np.zeros((480, 640, 3), np.uint8)
    box = np.array([0.25, 0.5, 0.5, 0.75])
    Painter(CHOICE, 480, 640, 0.0).draw(picture, Overlay(0.0, (), [Person(3, box)]))
    assert (picture[240:242, 170:310] == PALETTE[2]).all()
    assert (picture[225:240, 160:164] == PALETTE[2]).all()  # the background of "#3"
    assert not picture[250:350, 170:310].any()
    assert color_of(2) == color_of(2 + len(PALETTE)) != color_of(3)


def test_text_grows_with_the_picture_and_stands_out():
    small, large = (panel((("walk", 0.9, PALETTE[0]),), size, 10**4) for size in (11, 72))
    assert large.shape[0] > 5 * small.shape[0]
    for color in PALETTE:
        patch = caption(("walk",), 20, color, 999).reshape(-1, 3)
        assert (patch == text_color(color)).all(1).any() and (patch == color).all(1).any()


def test_long_names_are_shortened_to_fit():
    text = NAMES[3]
    assert shortened("walk", 20, 500) == "walk"
    cut = shortened(text, 20, 200)
    assert cut.endswith("…") and text.startswith(cut[:-1])
    assert caption((text,), 20, PALETTE[0], 200).shape[1] <= 200
    assert panel(((text, 1.0, PALETTE[0]),), 20, 200).shape[1] <= 200


def test_the_time_bar_shows_what_was_seen():
    painter, picture = Painter(CHOICE, 240, 400, duration=10.0), np.zeros((240, 400, 3), np.uint8)
    painter.draw(picture.copy(), Overlay(2.5, [(1, 0.9)]))
    painter.draw(picture, Overlay(5.0, [(4, 0.9)]))
    colors = [tuple(color) for color in picture[-1, [50, 150, 250]].tolist()]
    assert colors == [color_of(1), color_of(4), (24, 27, 31)]
