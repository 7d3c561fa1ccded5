import numpy as np
import pytest

from slowfast_jax.metrics.ava_files import BoxTable, from_arrays
from slowfast_jax.metrics.confusion import most_confused
from slowfast_jax.metrics.matching import keyframe_key, match_boxes

CLASSES = (3, 5, 8)
LEFT, RIGHT, LOW = [0.1, 0.1, 0.4, 0.9], [0.5, 0.1, 0.9, 0.9], [0.0, 0.9, 1.0, 1.0]


def truth(*rows):
    """A table of rows (keyframe, box, action) in three keyframes; action 4 is not evaluated."""
    frame, boxes, actions = zip(*rows, strict=True)
    keyframes = [("a", 902.0), ("a", 903.1234567), ("b", 902.0)]
    return BoxTable(keyframes, np.array(frame), np.array(boxes), np.array(actions), None)


def detections(*rows):
    """A table of boxes (keyframe, box) whose scores are 0.1, 0.2, 0.3 and so on."""
    frame, boxes = zip(*rows, strict=True)
    scores = 0.1 * (1 + np.arange(len(rows) * 3).reshape(-1, 3))
    keyframes = [("a", 902), ("a", 903.123457), ("c", 902)]
    return from_arrays(keyframes, np.array(frame), np.array(boxes), scores, classes=CLASSES)


def test_boxes_get_the_actions_of_the_person_they_are_on():
    near = [0.12, 0.1, 0.42, 0.9]
    matched = match_boxes(
        detections((1, LEFT), (0, RIGHT), (0, near), (0, LOW), (2, LOW)),
        truth((0, LEFT, 3), (0, RIGHT, 4), (0, LEFT, 8), (1, RIGHT, 5), (2, LEFT, 3)),
        CLASSES,
    )
    assert set(matched) == {("a", 902.0), ("a", 903.123457), ("c", 902.0)}
    boxes, scores, labels = matched["a", 902.0]
    np.testing.assert_array_equal(boxes, [RIGHT, near, LOW])
    np.testing.assert_array_equal(labels, [[0, 0, 0], [1, 0, 1], [0, 0, 0]])
    np.testing.assert_allclose(scores[:, 0], [0.4, 0.7, 1.0])
    # Missed people come last, without scores, unless none of their actions is evaluated.
    boxes, scores, labels = matched[keyframe_key("a", 903.1234567)]
    np.testing.assert_array_equal(boxes, [LEFT, RIGHT])
    np.testing.assert_array_equal(labels, [[0, 0, 0], [0, 1, 0]])
    assert np.isnan(scores[1]).all() and not np.isnan(scores[0]).any()
    # The ground truth doesn't have this keyframe.
    np.testing.assert_array_equal(matched["c", 902.0].labels, [[0, 0, 0]])


def test_a_box_matches_the_person_it_overlaps_most():
    behind = [0.1, 0.1, 0.5, 0.9]
    matched = match_boxes(detections((0, LEFT)), truth((0, behind, 3), (0, LEFT, 5)), CLASSES)
    np.testing.assert_array_equal(matched["a", 902.0].labels, [[0, 1, 0], [1, 0, 0]])
    half = [0.1, 0.1, 0.25, 0.9]
    for least, labels in ((0.49, [[1, 0, 0]]), (0.51, [[0, 0, 0], [1, 0, 0]])):
        matched = match_boxes(detections((0, half)), truth((0, LEFT, 3)), CLASSES, iou=least)
        np.testing.assert_array_equal(matched["a", 902.0].labels, labels)


def test_detections_of_other_classes_are_refused():
    table = detections((0, LEFT), (0, RIGHT))
    for classes in ((3, 5), (3, 5, 9), (3, 8, 5), (1, 2, 3, 4)):
        with pytest.raises(ValueError, match=f"a row for each of {len(classes)} classes per"):
            match_boxes(table, truth((0, LEFT, 3)), classes)


def test_most_confused_classes():
    matrix = np.array([[0.9, 0.1, 0.0], [0.0, 0.2, 0.0], [np.nan, np.nan, np.nan]])
    assert most_confused(matrix, 2) == [0, 1] and most_confused(matrix, 9) == [0, 1, 2]
    assert most_confused(matrix[::-1, ::-1], 2) == [1, 2]
    assert most_confused(np.eye(3), 2) == [] and most_confused(np.eye(3), 3) == [0, 1, 2]
