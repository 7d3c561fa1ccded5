"""Tracks of persons whose motion is known."""

import sys

import numpy as np
import pytest

from slowfast_jax.detectors.detections import Detections, DetectorError
from slowfast_jax.detectors.tracking import Tracks

HIGH, LOW = 0.9, 0.2


def boxes_at(*lefts, scores=None):
    """Persons of one size at these left edges."""
    boxes = np.array([[left, 0.2, left + 0.1, 0.8] for left in lefts], np.float32).reshape(-1, 4)
    scores = np.full(len(lefts), HIGH) if scores is None else np.array(scores)
    return Detections(boxes, scores.astype(np.float32))


def test_persons_keep_their_numbers_while_they_move():
    tracks, seen = Tracks(fps=30), {}
    for step in range(20):
        left, right = 0.1 + 0.01 * step, 0.8 - 0.01 * step
        found = tracks.update(boxes_at(right, left, scores=[0.7, 0.9]))
        assert step == 0 or found.scores.tolist() == pytest.approx([0.9, 0.7])
        for box, number in zip(found.boxes, found.ids, strict=True):
            seen.setdefault(int(number), []).append(float(box[0]))
    assert sorted(seen) == [1, 2]
    for lefts in seen.values():
        assert len(lefts) == 19 and np.ptp(np.diff(lefts)) < 1e-6


def test_a_person_is_confirmed_by_the_second_picture():
    tracks = Tracks(fps=30)
    assert not len(tracks.update(boxes_at(0.5)).ids)
    assert tracks.update(boxes_at(0.5)).ids.tolist() == [1]


def test_low_scores_continue_a_track_and_start_none():
    tracks = Tracks(fps=30)
    for _ in range(3):
        assert not len(tracks.update(boxes_at(0.5, scores=[LOW])).ids)
    for _ in range(2):
        tracks.update(boxes_at(0.5))
    found = tracks.update(boxes_at(0.5, 0.1, scores=[LOW, LOW]))
    assert found.ids.tolist() == [1] and found.scores.tolist() == pytest.approx([LOW])


def test_a_person_who_is_missed_for_less_than_a_second_keeps_the_number():
    tracks = Tracks(fps=10)
    for _ in range(3):
        tracks.update(boxes_at(0.5))
    for _ in range(8):
        found = tracks.update(boxes_at())
        assert found.boxes.shape == (0, 4) and found.ids.shape == found.scores.shape == (0,)
    assert tracks.update(boxes_at(0.5)).ids.tolist() == [1]
    for _ in range(15):
        tracks.update(boxes_at())
    tracks.update(boxes_at(0.5))
    assert tracks.update(boxes_at(0.5)).ids.tolist() == [2]


def test_times_of_pictures_that_are_not_equally_far_apart():
    tracks = Tracks(fps=10)
    for seconds in (0, 0.1, 0.15, 0.4, 1.2):
        found = tracks.update(boxes_at(0.1 + 0.1 * seconds), seconds)
    assert found.ids.tolist() == [1]
    tracks.update(boxes_at(0.22), 2.5)  # more than a second later
    assert tracks.update(boxes_at(0.22), 2.6).ids.tolist() == [2]


def test_numbers_start_at_one_in_every_video():
    for _ in range(2):
        tracks = Tracks(fps=30)
        tracks.update(boxes_at(0.5))
        assert tracks.update(boxes_at(0.5)).ids.tolist() == [1]


def test_the_threshold_says_which_boxes_start_a_track():
    tracks = Tracks(fps=30, threshold=0.1)
    tracks.update(boxes_at(0.5, scores=[LOW]))
    assert tracks.update(boxes_at(0.5, scores=[LOW])).ids.tolist() == [1]


@pytest.mark.parametrize("package", ["trackers", "supervision"])
def test_without_the_package_one_message_names_the_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DetectorError, match="trackers.*install the extra demo"):
        Tracks(fps=30)
