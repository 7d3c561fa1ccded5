"""Labels in other scripts get a font of the system that has their characters."""

import shutil
from pathlib import Path

import pytest

from slowfast_jax.demo.film import fonts
from slowfast_jax.demo.film.fonts import OWN, Face, FontError, best_face, missing, open_face


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """The only folder with fonts; it has a file that is none."""
    (tmp_path / "A Sans.ttf").write_text("this is a text")
    monkeypatch.setattr(fonts, "_folders", lambda: [tmp_path])
    best_face.cache_clear()
    yield tmp_path
    best_face.cache_clear()


@pytest.fixture
def installed(folder):
    """A font with Cyrillic letters, and a bold one, which comes later."""
    matplotlib = pytest.importorskip("matplotlib")
    place = Path(matplotlib.get_data_path(), "fonts/ttf")
    for name in ("DejaVuSans-Bold.ttf", "DejaVuSans.ttf"):
        shutil.copy(place / name, folder)
    return Face(str(folder / "DejaVuSans.ttf"))


def test_latin_names_need_no_other_font(installed):
    assert best_face(("walk", "talk to (e.g., self)", "…")) == OWN


def test_a_font_with_the_characters_is_found(installed):
    assert missing(OWN, ["walk", "ходить"]) == "ходить"
    assert best_face(("walk", "ходить")) == installed
    assert missing(installed, ["ходить", "größer – schön"]) == ""


def test_characters_that_no_font_has(installed):
    assert missing(best_face(("走路", "walk 走")), ["走路", "walk 走"]) == "走路"
    assert best_face(("走路",)) == OWN
    assert best_face(("走 ходить",)) == installed  # it has most of them
    assert missing(OWN, ["走走 路\ufe0f\u200d"]) == "走路" and missing(OWN, ["走路"], 1) == "走"


def test_without_fonts_there_is_pillows_own(folder):
    assert best_face(("ходить",)) == OWN


def test_what_cannot_be_drawn_is_told_in_a_sentence(installed):
    assert fonts.warnings_of(["walk", "ходить"], None) == []
    (sentence,) = fonts.warnings_of(["走路 walk"], None)
    assert sentence.startswith("2 characters of the class names, 走 路, cannot be drawn, because")
    (sentence,) = fonts.warnings_of(["走" * 3], installed)
    assert sentence.startswith("1 character of") and f"{installed.path} lacks them" in sentence


def test_a_file_that_is_no_font(folder):
    with pytest.raises(FontError, match=r"A Sans\.ttf is not a font \(.*\); expected a TrueType"):
        open_face(folder / "A Sans.ttf")


@pytest.mark.parametrize(("raqm", "text", "wrong"), [
    (False, "يمشي", True), (True, "يمشي", False), (False, "walk 走", False),
])
def test_letters_that_must_be_joined(monkeypatch, raqm, text, wrong):
    monkeypatch.setattr(fonts.features, "check_feature", lambda name: raqm)
    assert fonts.is_shaped_wrong([text]) is wrong
