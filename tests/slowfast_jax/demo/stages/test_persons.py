"""People: detections at some frames, numbers, and boxes in between."""

import numpy as np
import pytest

from slowfast_jax.demo.sources.frames import Frame, Info
from slowfast_jax.demo.stages.persons import (
    People,
    PeopleAt,
    add_people,
    detect_people,
    given_people,
)
from slowfast_jax.demo.timing import Timing
from slowfast_jax.detectors.detections import Detections, Detector, whole_frame

INFO = Info(30.0, 64, 48, 2.0)
NOBODY = np.zeros((0, 4), np.float32)


def frames(count=60, fps=30):
    picture = np.zeros((48, 64, 3), np.uint8)
    return [Frame(number / fps, picture) for number in range(count)]


def moments_in(people, count=60, fps=30):
    find = people(INFO._replace(fps=fps), Timing())
    events = add_people(frames(count, fps), find)
    return [event for event in events if isinstance(event, PeopleAt)]


def test_people_are_looked_for_now_and_then_and_followed():
    pytest.importorskip("trackers")
    calls = []

    def walk(picture):
        calls.append(picture.shape)
        left = 0.1 + 0.02 * len(calls)
        return Detections(
            np.array([[left, 0.2, left + 0.2, 0.9]], np.float32), np.array([0.9], np.float32)
        )

    found = moments_in(detect_people(Detector("stub", walk), every=0.2))
    assert [round(moment.time, 2) for moment in found] == [n / 5 for n in range(10)]
    assert len(calls) == 10 and calls[0] == (48, 64, 3)
    assert [moment.ids.tolist() for moment in found[1:]] == [[1]] * 9


def test_after_a_gap_people_are_not_looked_for_in_every_frame():
    find = detect_people(Detector("frame", whole_frame), every=0.2)(INFO, Timing())
    picture = np.zeros((48, 64, 3), np.uint8)
    times = [*np.arange(10) / 30, *(5 + np.arange(10) / 30)]
    found = [time for time in times if find(Frame(time, picture)) is not None]
    assert found == pytest.approx([0.0, 0.2, 5.0, 5.2])


def test_boxes_that_reach_out_of_the_picture_are_cut():
    boxes = np.array([[-0.2, 0.1, 0.3, 1.4], [1.1, 0.1, 1.3, 0.9]], np.float32)

    def find(picture):
        return Detections(boxes, np.array([0.9, 0.8], np.float32))

    (moment,) = moments_in(detect_people(Detector("frame", find)), 1)
    np.testing.assert_allclose(moment.boxes, [[0, 0.1, 0.3, 1]])
    assert moment.ids.tolist() == [1]


def test_the_whole_frame_needs_no_tracks():
    found = moments_in(detect_people(Detector("frame", whole_frame), every=0.001), 4)
    assert len(found) == 4
    assert all(m.ids.tolist() == [1] and m.boxes.tolist() == [[0, 0, 1, 1]] for m in found)


def test_nobody_is_a_moment_too():
    pytest.importorskip("trackers")
    empty = Detector("stub", lambda picture: Detections(NOBODY, np.zeros(0, np.float32)))
    found = moments_in(detect_people(empty))
    assert len(found) == 8 and all(moment.boxes.shape == (0, 4) for moment in found)


def test_known_moments_come_with_the_nearest_frame():
    moments = [PeopleAt(time, NOBODY, np.zeros(0, int)) for time in (0.0, 0.34, 0.36, 1.4)]
    found = moments_in(given_people(moments), 30, 10)
    assert [moment.time for moment in found] == pytest.approx([0.0, 0.3, 0.4, 1.4])


def test_boxes_are_interpolated_between_moments():
    people = People()
    people.add(PeopleAt(1.0, np.array([[0, 0, 0.2, 0.4], [0.5, 0.5, 1, 1]]), np.array([1, 2])))
    people.add(PeopleAt(2.0, np.array([[0.4, 0, 0.6, 0.8], [0, 0, 1, 1]]), np.array([1, 0])))
    (number, box), *others = people.at(1.25)
    assert number == 1 and box == pytest.approx([0.1, 0, 0.3, 0.5])
    assert [number for number, _ in others] == [2]  # only the nearest moment has seen it
    assert [number for number, _ in people.at(1.75)] == [1, 0]
    assert [number for number, _ in people.at(2.4)] == [1, 0]
    assert people.at(2.6) == [] and people.at(0.4) == []
    people.forget(2.0)
    assert [number for number, _ in people.at(2.0)] == [1, 0]
