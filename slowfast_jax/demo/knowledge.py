"""What is known about the time around the frame that is drawn next."""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from slowfast_jax.demo.choice import Choice
from slowfast_jax.demo.film.overlay import Label, Overlay, Person
from slowfast_jax.demo.stages.actions import PersonScores
from slowfast_jax.demo.stages.given_boxes import Truth
from slowfast_jax.demo.stages.persons import LONGEST, People, PeopleAt
from slowfast_jax.inference.timeline import WindowScores

FADED = 2.0  # seconds after which the actions of a person are no longer shown


class Knowledge:
    """The latest scores and boxes, from which the overlay of each frame is made.

    Frames are asked for in order of time; what no later one needs is forgotten.
    """

    def __init__(
        self, choice: Choice, truths: Sequence[Truth], *, windows: bool, people: bool,
        actions: bool,
    ):
        """
        Args:
          choice: which labels are shown.
          truths: annotated boxes in order of time.
          windows, people, actions: what will be known: scores of windows, boxes of people, scores
            of people.
        """
        self._choice = choice
        self._truths, self._truth_times = truths, [truth.time for truth in truths]
        self._people = People()
        self._windows: deque[tuple[float, list[Label]]] = deque()  # by the middle of the window
        self._actions: deque[tuple[PeopleAt, list[list[Label]]]] = deque()
        kinds = {WindowScores: windows, PeopleAt: people, PersonScores: actions}
        self._until = {kind: -math.inf for kind, wanted in kinds.items() if wanted}

    @property
    def settled(self) -> float:
        """The time up to which frames can be drawn; what comes later does not change them."""
        return min(self._until.values(), default=math.inf)

    def add(self, event: Any) -> None:
        """Adds scores of a window, people, or their scores."""
        if isinstance(event, WindowScores):
            time = (event.start + event.end) / 2
            self._windows.append((time, self._choice.of(event.scores)))
        elif isinstance(event, PeopleAt):
            time = event.time
            self._people.add(event)
        elif isinstance(event, PersonScores):
            time = event.moment.time
            self._actions.append((event.moment, [self._choice.of(row) for row in event.scores]))
        self._until[type(event)] = time

    def overlay(self, time: float) -> Overlay:
        """What is drawn into the frame at a time."""
        while len(self._windows) > 1 and self._windows[1][0] <= time:
            self._windows.popleft()
        while len(self._actions) > 1 and self._actions[0][0].time < time - FADED:
            self._actions.popleft()
        self._people.forget(time)
        labels: Sequence[Label] = ()
        if self._windows:
            labels = min(self._windows, key=lambda window: abs(window[0] - time))[1]
        by_distance = sorted(self._actions, key=lambda found: abs(found[0].time - time))
        persons = [
            Person(number, box, _labels_of(number, box, by_distance, time))
            for number, box in self._people.at(time)
        ]
        return Overlay(time, labels, persons, self._truths_at(time))

    def _truths_at(self, time: float) -> Sequence[tuple[np.ndarray, Sequence[str]]]:
        """The annotations of the nearest moment, if it is LONGEST seconds away at most."""
        after = bisect_left(self._truth_times, time)
        near = self._truths[max(after - 1, 0) : after + 1]
        truth = min(near, key=lambda truth: abs(truth.time - time), default=None)
        return truth.people if truth and abs(truth.time - time) <= LONGEST else ()


def _labels_of(
    number: int, box: np.ndarray, actions: Sequence[tuple[PeopleAt, list[list[Label]]]], time: float
) -> list[Label]:
    """The labels of a person at the nearest moment that has some; one without a number is known by
    its box."""
    for moment, labels in actions:
        if abs(moment.time - time) > FADED:
            break
        same = moment.ids == number if number else (moment.boxes == box).all(1)
        if (rows := np.flatnonzero(same)).size:
            return labels[rows[0]]
    return []
