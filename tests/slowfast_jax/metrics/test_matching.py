import numpy as np
import pytest

from slowfast_jax.metrics.ava_files import BoxTable, from_arrays
from slowfast_jax.metrics.confusion import most_mistaken
from slowfast_jax.metrics.matching import judge, keyframe_key

CLASSES = (3, 5, 8)
LEFT, RIGHT, LOW = [0.1, 0.1, 0.4, 0.9], [0.5, 0.1, 0.9, 0.9], [0.0, 0.9, 1.0, 1.0]


def truth(*rows):
    """Rows (keyframe, box, action) of three keyframes; action 4 does not count."""
    frame, boxes, actions = zip(*rows, strict=True)
    keyframes = [("a", 902.0), ("a", 903.1234567), ("b", 902.0)]
    return BoxTable(keyframes, np.array(frame), np.array(boxes), np.array(actions), None)


def detections(*rows):
    """Rows (keyframe, box) whose scores are 0.1, 0.2, 0.3 and so on."""
    frame, boxes = zip(*rows, strict=True)
    scores = 0.1 * (1 + np.arange(len(rows) * 3).reshape(-1, 3))
    keyframes = [("a", 902), ("a", 903.123457), ("c", 902)]
    return from_arrays(keyframes, np.array(frame), np.array(boxes), scores, classes=CLASSES)


def test_boxes_have_the_actions_of_the_person_they_are_on():
    near = [0.12, 0.1, 0.42, 0.9]
    judged = judge(
        detections((1, LEFT), (0, RIGHT), (0, near), (0, LOW), (2, LOW)),
        truth((0, LEFT, 3), (0, RIGHT, 4), (0, LEFT, 8), (1, RIGHT, 5), (2, LEFT, 3)),
        CLASSES,
    )
    assert set(judged) == {("a", 902.0), ("a", 903.123457), ("c", 902.0)}
    boxes, scores, labels = judged["a", 902.0]
    np.testing.assert_array_equal(boxes, [RIGHT, near, LOW])
    np.testing.assert_array_equal(labels, [[0, 0, 0], [1, 0, 1], [0, 0, 0]])
    np.testing.assert_allclose(scores[:, 0], [0.4, 0.7, 1.0])
    # A person that no box is on comes last, without scores; one that does nothing of note does not.
    boxes, scores, labels = judged[keyframe_key("a", 903.1234567)]
    np.testing.assert_array_equal(boxes, [LEFT, RIGHT])
    np.testing.assert_array_equal(labels, [[0, 0, 0], [0, 1, 0]])
    assert np.isnan(scores[1]).all() and not np.isnan(scores[0]).any()
    # A keyframe that the ground truth does not have.
    np.testing.assert_array_equal(judged["c", 902.0].labels, [[0, 0, 0]])


def test_of_two_persons_the_one_overlapped_most():
    behind = [0.1, 0.1, 0.5, 0.9]
    judged = judge(detections((0, LEFT)), truth((0, behind, 3), (0, LEFT, 5)), CLASSES)
    np.testing.assert_array_equal(judged["a", 902.0].labels, [[0, 1, 0], [1, 0, 0]])
    half = [0.1, 0.1, 0.25, 0.9]
    for least, labels in ((0.49, [[1, 0, 0]]), (0.51, [[0, 0, 0], [1, 0, 0]])):
        judged = judge(detections((0, half)), truth((0, LEFT, 3)), CLASSES, iou=least)
        np.testing.assert_array_equal(judged["a", 902.0].labels, labels)


def test_detections_of_other_classes_are_refused():
    table = detections((0, LEFT), (0, RIGHT))
    for classes in ((3, 5), (3, 5, 9), (3, 8, 5), (1, 2, 3, 4)):
        with pytest.raises(ValueError, match=f"not of {len(classes)} classes each"):
            judge(table, truth((0, LEFT, 3)), classes)


def test_the_classes_most_mistaken():
    matrix = np.array([[0.9, 0.1, 0.0], [0.0, 0.2, 0.0], [np.nan, np.nan, np.nan]])
    assert most_mistaken(matrix, 2) == [0, 1] and most_mistaken(matrix, 9) == [0, 1, 2]
    assert most_mistaken(matrix[::-1, ::-1], 2) == [1, 2]
