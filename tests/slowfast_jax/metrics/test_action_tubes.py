import numpy as np
import pytest

from slowfast_jax.metrics.action_tubes import Tube, boxes_of, tube_iou, video_ap


def tube(first, count, *, x=0.0, score=1.0, video="v"):
    boxes = np.tile([x, 0, x + 10, 10], (count, 1)).astype(np.float32)
    return Tube(video, first, boxes, score)


@pytest.mark.parametrize("other, expected", [
    (tube(1, 11), 1.0),
    (tube(1, 11, x=5), 1 / 3),
    (tube(6, 11), 5 / 15),  # frames 6 to 11 of 1 to 16
    (tube(6, 11, x=5), 1 / 3 * 5 / 15),
    (tube(11, 5), 0.0),  # a single shared frame lasts no time
    (tube(12, 5), 0.0),
    (tube(30, 5), 0.0),
    (tube(1, 11, x=20), 0.0),
])
def test_overlap_in_space_and_time(other, expected):
    assert tube_iou(tube(1, 11), other) == pytest.approx(expected)
    assert tube_iou(other, tube(1, 11)) == pytest.approx(expected)


def test_tubes_of_the_same_single_frame_overlap_as_their_boxes():
    assert tube_iou(tube(3, 1), tube(3, 1, x=5)) == pytest.approx(1 / 3)


def test_two_perfect_tubes_have_an_ap_of_1():
    truth = [tube(1, 20), tube(30, 20, video="w")]
    assert video_ap(truth, truth, [0.2, 0.5, 0.95]).tolist() == [1, 1, 1]


def test_each_true_tube_is_found_once_and_by_the_best_score():
    truth = [tube(1, 20), tube(1, 20, x=100)]
    twice = [tube(1, 20, score=0.9), tube(1, 20, score=0.8), tube(1, 20, x=100, score=0.7)]
    # Ranks 1 and 3 of three are right: precisions 1 and 2/3.
    assert video_ap(twice, truth, [0.5]).tolist() == pytest.approx([(1 + 2 / 3) / 2])
    assert video_ap(twice[::-1], truth, [0.5]).tolist() == pytest.approx([(1 + 2 / 3) / 2])


def test_found_tubes_of_another_video_or_below_the_threshold_are_wrong():
    truth = [tube(1, 20)]
    assert video_ap([tube(1, 20, video="w")], truth, [0.05]).tolist() == [0]
    assert video_ap([tube(1, 20, x=5)], truth, [0.3, 0.5]).tolist() == [1, 0]
    assert video_ap([], truth, [0.5]).tolist() == [0]


def test_of_equal_overlaps_the_first_counts():
    truth = [tube(1, 20), tube(1, 20, x=10)]
    found = [tube(1, 20, x=5, score=0.9), tube(1, 20, x=10, score=0.8)]
    assert video_ap(found, truth, [0.3]).tolist() == [1]


def test_an_overlap_that_equals_the_threshold_is_enough():
    half = Tube("v", 1, np.tile([0, 0, 5, 10], (20, 1)))
    assert video_ap([half], [tube(1, 20)], [0.5, 0.51]).tolist() == [1, 0]


def test_boxes_of_tubes():
    table = boxes_of({3: [tube(5, 2), tube(6, 1, x=7)], 1: [tube(6, 1, video="w")]})
    assert table.keyframes == [("v", 5.0), ("v", 6.0), ("w", 6.0)]
    assert table.frame.tolist() == [0, 1, 1, 2] and table.actions.tolist() == [3, 3, 3, 1]
    assert table.boxes[2].tolist() == [7, 0, 17, 10]
