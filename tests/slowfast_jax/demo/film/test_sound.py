"""The sound of a video in a film: copied where browsers play it, otherwise AAC."""

import pytest

import slowfast_jax
from slowfast_jax.demo.annotate import Options, annotate_film
from tests.support.films import gray_pictures, sound_of, write_film


@pytest.mark.parametrize(("suffix", "codec", "kept"), [
    ("mp4", "aac", "aac"), ("ts", "aac", "aac"), ("mkv", "pcm_s16le", "aac"), ("mkv", "", ""),
    ("avi", "libmp3lame", "mp3"),
])
def test_the_film_has_the_sound(tiny, tmp_path, suffix, codec, kept):
    recognizer = slowfast_jax.load("test/tiny", weights="random")
    write_film(tmp_path / f"a.{suffix}", gray_pictures(45, 200, 200), sound=codec)
    annotate_film(recognizer, tmp_path / f"a.{suffix}", tmp_path / "b.mp4")
    found, seconds = sound_of(tmp_path / "b.mp4")
    assert found == kept and (not codec or seconds == pytest.approx(1.5, abs=0.15))


def test_sound_ends_with_the_pictures_and_slow_motion_is_silent(tiny, tmp_path):
    recognizer = slowfast_jax.load("test/tiny", weights="random")
    write_film(tmp_path / "a.mp4", gray_pictures(30, 200, 200), sound="aac", seconds=4)
    annotate_film(recognizer, tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert sound_of(tmp_path / "b.mp4")[1] == pytest.approx(1.0, abs=0.15)
    annotate_film(
        recognizer, tmp_path / "a.mp4", tmp_path / "c.mp4", Options(slow_motion=3.0)
    )
    assert sound_of(tmp_path / "c.mp4") == ("", 0.0)
