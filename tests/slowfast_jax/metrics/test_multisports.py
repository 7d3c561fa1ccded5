import os
import pickle
import re

import numpy as np
import pytest

from slowfast_jax.metrics.multisports import evaluated, read_detections, read_truth, read_tubes
from tests.support.tubes import NAMES, VIDEOS, scene


@pytest.fixture
def save(tmp_path):
    def save(name, content):
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol=2))
        return str(tmp_path / name)

    return save


def test_files_are_read(save):
    content, rows = scene(0)
    truth = read_truth(save("gt.pkl", content))
    assert truth.names == NAMES and truth.lengths == VIDEOS
    label, (array, *_) = next(iter(content["gttubes"]["football/a"].items()))
    tube = next(tube for tube in truth.tubes[label] if tube.video == "football/a")
    assert tube.first == array[0, 0] and tube.last == array[-1, 0]
    np.testing.assert_array_equal(tube.boxes, array[:, 1:])
    rows[3, 6] = rows[3, 4]
    table, flat = read_detections(save("d.pkl", rows), truth)
    assert flat == 1 and len(table.scores) == len(rows) - 1
    video, frame = table.keyframes[table.frame[0]]
    assert (list(VIDEOS).index(video), frame) == tuple(rows[0, :2])
    assert (table.actions[0], table.scores[0]) == tuple(rows[0, 2:4])
    assert table.boxes[0].tolist() == rows[0, 4:].tolist()
    listed, _ = read_detections(save("d.pkl", list(rows)), truth)
    np.testing.assert_array_equal(listed.boxes, table.boxes)


def test_found_tubes_are_read(save):
    truth = read_truth(save("gt.pkl", scene(0)[0]))
    rows = np.array([[3, 1, 2, 5, 6, 0.1], [4, 1, 2, 5, 7, 0.3]], np.float32)
    (tube,) = read_tubes(save("v.pkl", {2: [("football/a", 0.7, rows)]}), truth)[2]
    assert tube[:2] == ("football/a", 3) and tube.score == 0.7
    assert tube.boxes.tolist() == [[1, 2, 5, 6], [1, 2, 5, 7]]
    for content, reason in [
        ([1], "found list; expected a dict of tubes"), ({2: 5}, "expected {class:"),
        ({2: [("football/z", 0.7, rows)]}, "not a test video"),
        ({2: [("football/a", 0.7, rows[:, :5])]}, r"(2, 5); expected an array (T, 6)"),
    ]:
        with pytest.raises(ValueError, match=re.escape(reason)):
            read_tubes(save("v.pkl", content), truth)


def test_rare_classes_are_not_evaluated():
    assert evaluated(NAMES) == [0, 1, 3, 4]


@pytest.mark.parametrize("column, value", [
    (0, 4), (0, -1), (0, 0.5), (1, 0), (1, 61), (2, 5), (3, np.nan), (4, np.inf), (1, 1e300),
])
def test_invalid_rows_are_named(save, column, value):
    content, rows = scene(0)
    truth = read_truth(save("gt.pkl", content))
    rows[7, column] = value
    with pytest.raises(ValueError, match=r"d.pkl: 1 invalid row; row 7 is .*class from 0 to 4"):
        read_detections(save("d.pkl", rows), truth)


@pytest.mark.parametrize("content, reason", [
    ([1], "has no dict; expected"),
    ({"labels": []}, "has the keys labels; expected"),
    ({**scene(0)[0], "test_videos": []}, "is not MultiSports' ground truth"),
    ({**scene(0)[0], "nframes": {}}, "is not MultiSports' ground truth"),
    ({**scene(0)[0], "gttubes": {"football/a": {0: [np.ones((3, 4))]}}}, r"found \(3, 4\)"),
    ({**scene(0)[0], "gttubes": {"football/a": {0: [np.ones((3, 5))]}}}, "consecutive"),
])
def test_other_content_is_refused(save, content, reason):
    with pytest.raises(ValueError, match=reason):
        read_truth(save("gt.pkl", content))


@pytest.mark.parametrize("content", [[1], np.ones((3, 7)), np.array([["a"] * 8])])
def test_other_detections_are_refused(save, content):
    truth = read_truth(save("gt.pkl", scene(0)[0]))
    with pytest.raises(ValueError, match=r"d.pkl: found .*expected an array \(N, 8\)"):
        read_detections(save("d.pkl", content), truth)


class _Command:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_no_code_in_a_pickle_is_run(save, tmp_path):
    touched = tmp_path / "touched"
    path = save("gt.pkl", {**scene(0)[0], "gttubes": _Command(f"touch {touched}")})
    with pytest.raises(ValueError, match="gt.pkl"):
        read_truth(path)
    assert not touched.exists()
