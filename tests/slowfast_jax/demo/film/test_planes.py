"""Frames keep their colors on the way into a film, and their pixels where nothing is drawn."""

import av
import numpy as np
import pytest

from slowfast_jax.demo.film import planes
from slowfast_jax.demo.film.planes import BT601, BT709, drawable, matrix_of, planes_in
from slowfast_jax.demo.sources.frames import Colors, Frame, colors_of

random = np.random.default_rng(0)


def source(width=64, height=48, form="yuv420p", matrix=2, limits=1):
    """A frame of smooth noise."""
    coarse = random.integers(40, 200, (4, 4, 3), np.uint8)
    picture = np.kron(coarse, np.ones((height // 4 + 1, width // 4 + 1, 1), np.uint8))
    frame = av.VideoFrame.from_ndarray(
        np.ascontiguousarray(picture[:height, :width]), format="rgb24"
    ).reformat(format=form, dst_colorspace=BT601, dst_color_range=limits)
    frame.colorspace = matrix
    return frame


def as_frame(stored, orientation=(False, False, False)):
    return Frame(0.0, stored, orientation, colors=colors_of(stored))


def test_planes_of_usual_video_are_copied_not_converted():
    stored = source(matrix=6)
    before = [plane.copy() for plane in planes_in(stored)]
    own = drawable(as_frame(stored))
    for ours, theirs in zip(planes_in(own), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for plane in planes_in(own):
        plane[:] = 0  # the decoder still refers to its frame
    for now, then in zip(planes_in(stored), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert own.colorspace == 6 and own.color_range == planes.LIMITED


@pytest.mark.parametrize("orientation", [
    (False, False, True), (False, True, True), (True, True, False), (True, False, True),
])
@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_pictures_are_upright_and_have_even_sides(orientation, size):
    stored = source(*size)
    own = drawable(as_frame(stored, orientation))
    transpose, flip_rows, flip_columns = orientation
    for ours, theirs, half in zip(planes_in(own), planes_in(stored), (1, 2, 2), strict=True):
        expected = theirs[: size[1] // 2 * 2 // half, : size[0] // 2 * 2 // half]
        expected = expected.T if transpose else expected
        expected = expected[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(("form", "limits"), [
    ("yuvj420p", 2), ("yuv444p", 1), ("yuv420p10le", 1), ("nv12", 1), ("rgb24", 2), ("gray", 2),
])
def test_other_formats_look_the_same(form, limits):
    stored = source(64, 48, form, 0 if form == "rgb24" else 6, limits)
    own = drawable(as_frame(stored))
    assert own.format.name == "yuv420p" and own.color_range == planes.LIMITED
    assert own.colorspace == (BT709 if form == "rgb24" else 6)
    difference = own.to_ndarray(format="rgb24").astype(int) - stored.to_ndarray(format="rgb24")
    assert np.median(np.abs(difference)) <= 3


def test_pictures_of_image_files_are_converted_and_enlarged():
    picture = np.full((48, 64, 3), (200, 40, 90), np.uint8)
    own = drawable(Frame(0.0, picture), scale=3)
    assert (own.width, own.height, own.colorspace) == (192, 144, BT709)
    assert np.abs(own.to_ndarray(format="rgb24").astype(int) - picture[0, 0]).max() <= 3


def test_a_high_dynamic_range_is_not_promised():
    stored = source(form="yuv420p10le")
    own = drawable(Frame(0.0, stored, colors=Colors(9, 9, 16)))
    assert (own.colorspace, own.color_primaries, own.color_trc) == (1, 1, 1)


def test_a_matrix_that_is_not_stated_is_guessed_by_the_size():
    assert matrix_of(source(64, 48)) == BT601 and matrix_of(source(1280, 720)) == BT709
    assert matrix_of(source(64, 48, matrix=1)) == BT709
