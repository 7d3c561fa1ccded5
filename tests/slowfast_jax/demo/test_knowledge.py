"""What is drawn into a frame: labels of the nearest window, and people with their last actions."""

import math

import numpy as np
import pytest

from slowfast_jax.demo.choice import choose
from slowfast_jax.demo.knowledge import FADED, Knowledge
from slowfast_jax.demo.stages.actions import PersonScores
from slowfast_jax.demo.stages.given_boxes import Truth
from slowfast_jax.demo.stages.persons import PeopleAt
from slowfast_jax.inference.timeline import WindowScores

CHOICE = choose(["walk", "sit"], several=True, threshold=0.5)
LEFT, RIGHT = [0.1, 0.1, 0.4, 0.9], [0.6, 0.1, 0.9, 0.9]


def moment(time, boxes, ids):
    return PeopleAt(time, np.array(boxes, np.float32).reshape(-1, 4), np.array(ids, int))


def people(**options):
    return Knowledge(CHOICE, (), windows=False, people=True, actions=True, **options)


def labels_at(known, time):
    """Number of each person at a time -> classes of the labels."""
    return [
        (person.number, [label for label, _ in person.labels])
        for person in known.overlay(time).persons
    ]


def test_labels_are_those_of_the_nearest_window():
    known = Knowledge(CHOICE, (), windows=True, people=False, actions=False)
    assert known.settled == -math.inf
    known.add(WindowScores(0.0, 2.0, np.array([0.9, 0.1])))
    assert known.settled == 1.0
    known.add(WindowScores(2.0, 4.0, np.array([0.1, 0.8])))
    found = [known.overlay(time).labels[0][0] for time in (0.0, 1.9, 2.1, 9.0)]
    assert found == [0, 0, 1, 1]


def test_people_keep_the_actions_of_their_last_moment_until_these_fade():
    known = people()
    for time in np.arange(0, 6, 0.5):
        known.add(moment(time, [LEFT], [1]))
    known.add(PersonScores(moment(1.0, [LEFT], [1]), np.array([[0.9, 0.2]])))
    known.add(PersonScores(moment(1.5, [], []), np.zeros((0, 2))))
    assert labels_at(known, 1.0) == [(1, [0])]
    assert labels_at(known, 1.0 + FADED - 0.1) == [(1, [0])]
    assert labels_at(known, 1.0 + FADED + 0.1) == [(1, [])]


def test_people_without_a_number_are_told_apart_by_their_boxes():
    known, both = people(), moment(1.0, [LEFT, RIGHT], [0, 0])
    known.add(both)
    known.add(PersonScores(both, np.array([[0.9, 0.2], [0.1, 0.8]])))
    assert labels_at(known, 1.0) == [(0, [0]), (0, [1])]


def test_frames_wait_for_all_that_will_be_known():
    known = people()
    known.add(moment(2.0, [LEFT], [1]))
    assert known.settled == -math.inf
    known.add(PersonScores(moment(0.5, [LEFT], [1]), np.array([[0.9, 0.2]])))
    assert known.settled == 0.5
    nothing = Knowledge(CHOICE, (), windows=False, people=False, actions=False)
    assert nothing.settled == math.inf


@pytest.mark.parametrize(("time", "shown"), [(0.4, 0), (0.6, 1), (1.4, 1), (1.6, 0)])
def test_ground_truth_is_shown_around_its_moment(time, shown):
    truths = [Truth(1.0, [(np.array(LEFT), ["walk"])])]
    known = Knowledge(CHOICE, truths, windows=False, people=False, actions=False)
    assert len(known.overlay(time).truths) == shown
