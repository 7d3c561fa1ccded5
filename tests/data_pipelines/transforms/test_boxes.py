
import numpy as np

from data_pipelines.transforms import boxes
from data_pipelines.transforms.resize import short_side_size, uniform_crop_offsets
from tests.support.paths import needs_parity


@needs_parity
def test_scaled_boxes_equal_those_of_both_backends_of_the_original(recorded):
    for row in recorded["short_side"]["rows"]:
        height, width, size, new_height, new_width, after = row[:6]
        assert short_side_size(height, width, size) == (new_height, new_width) == tuple(row[6:8])
        scaled = boxes.scale(
            np.array([[10.0, 20, 50, 60]]), (height, width), (new_height, new_width)
        )
        np.testing.assert_array_equal(scaled[0], after)
        # In testing, its cv2 backend multiplies by the quotient, so it rounds at another place.
        np.testing.assert_allclose(scaled[0], row[8], rtol=1e-15)


@needs_parity
def test_cropped_boxes_equal_those_of_the_original(recorded):
    fitting = 0
    for height, width, size, position, top, left, _, _, after in recorded["uniform_crop"]["rows"]:
        cropped = boxes.crop(np.array([[10.0, 20, 50, 60]]), top, left)
        np.testing.assert_array_equal(cropped[0], after)
        if size <= min(height, width):
            fitting += 1
            assert uniform_crop_offsets(height, width, size, position) == (top, left)
    assert fitting > 20
    before = np.array([[1.0, 2, 30, 28], [5.5, 0, 31, 31]])
    for case in recorded["random_crop(boxes [[1,2,30,28],[5.5,0,31,31]])"]:
        cropped = boxes.crop(before, case["y_off"], case["x_off"])
        np.testing.assert_array_equal(cropped, case["boxes"])


@needs_parity
def test_flipped_boxes_equal_those_of_the_original(recorded):
    before = np.array([[1.0, 2, 12, 7], [0, 0, 19, 7]])
    for case in recorded["horizontal_flip(width 20, boxes [[1,2,12,7],[0,0,19,7]])"]:
        after = boxes.flip(before, 20) if case["flipped"] else before
        np.testing.assert_array_equal(after, case["boxes"])


@needs_parity
def test_clipped_boxes_equal_those_of_the_original(recorded):
    case = recorded["clip_boxes_to_image(h=40,w=60)"]
    np.testing.assert_array_equal(boxes.clip(np.array(case["in"]), 40, 60), case["out"])


def test_a_flip_moves_box_and_pixels_alike():
    picture = np.zeros((6, 9))
    picture[1:4, 2:5] = 1
    rows, columns = np.nonzero(picture[:, ::-1])
    before = np.array([[2.0, 1, 4, 3]])  # first and last pixel, both included
    np.testing.assert_array_equal(
        boxes.flip(before, 9)[0], [columns.min(), rows.min(), columns.max(), rows.max()]
    )


def test_each_axis_stretches_by_its_own_factor():
    stretched = boxes.stretch(np.array([[1.0, 2, 3, 4]]), (10, 20), (20, 10))
    np.testing.assert_array_equal(stretched, [[0.5, 4, 1.5, 8]])


def test_functions_accept_zero_boxes():
    none = np.zeros((0, 4))
    for result in (
        boxes.from_fractions(none, 4, 5), boxes.scale(none, (4, 5), (8, 10)),
        boxes.stretch(none, (4, 5), (5, 4)), boxes.crop(none, 1, 2), boxes.flip(none, 5),
        boxes.clip(none, 4, 5),
    ):
        assert result.shape == (0, 4)
    assert boxes.has_area(none).shape == (0,)


def test_a_box_outside_has_no_area_left():
    cut = boxes.clip(np.array([[-5.0, 0, -1, 3], [2, 2, 3, 9], [8, 1, 12, 3]]), 5, 8)
    np.testing.assert_array_equal(boxes.has_area(cut), [False, True, False])
