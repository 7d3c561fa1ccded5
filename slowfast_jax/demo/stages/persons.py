"""Where people are: boxes at some moments of a video, and in between."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from slowfast_jax.demo.sources.frames import Frame, Info
from slowfast_jax.demo.timing import Timing
from slowfast_jax.detectors.detections import Detector
from slowfast_jax.detectors.load import FRAME
from slowfast_jax.detectors.tracking import HIGH_SCORE, Tracks

EVERY = 0.25  # seconds from one detection to the next
LONGEST = 0.5  # seconds before and after its moment for which a box is shown


class PeopleAt(NamedTuple):
    """The people at a moment.

    Attributes:
      time: seconds from the start.
      boxes: float32 (B, 4) x1, y1, x2, y2 as fractions of the picture.
      ids: int (B,), numbers of the persons from 1 on; 0: unknown.
    """

    time: float
    boxes: np.ndarray
    ids: np.ndarray


# Frame -> the people in it; None if they were not looked for.
Find = Callable[[Frame], PeopleAt | None]
FindIn = Callable[[Info, Timing], Find]  # makes what looks for people in the frames of a source


def add_people(events: Iterable[Any], find: Find) -> Iterator[Any]:
    """Passes events on, and after a frame the `PeopleAt` that `find` returns for it, if any."""
    for event in events:
        yield event
        if isinstance(event, Frame) and (moment := find(event)) is not None:
            yield moment


def detected(
    detector: Detector, tracks: Tracks | None, timing: Timing, *, every: float = EVERY
) -> Find:
    """Looks for people with a detector every `every` seconds, and tracks them.

    Args:
      detector: uint8 (H, W, 3) RGB -> boxes and scores.
      tracks: gives the numbers of persons; None: they are numbered by score.
      timing: receives the parts "detect" and "track".
      every: seconds; a frame or less looks at every frame.
    """
    due = 0.0

    def find(frame: Frame) -> PeopleAt | None:
        nonlocal due
        if frame.time < due - 1e-6:
            return None
        # After a gap, the next frame is not looked at as well.
        due = due + every if due + every > frame.time else frame.time + every
        with timing.part("detect"):
            detections = detector(frame.picture())
        boxes, ids = detections.boxes, np.arange(1, len(detections.boxes) + 1)
        if tracks is not None:
            with timing.part("track"):
                boxes, _, ids = tracks.update(detections, frame.time)
        boxes = np.clip(boxes, 0, 1).astype(np.float32)  # a track may reach out of the picture
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        return PeopleAt(frame.time, boxes[inside], ids[inside])

    return find


def given(moments: Sequence[PeopleAt], fps: float) -> Find:
    """Finds people at known moments, in order of time, in the frames nearest to them."""
    left = list(moments)[::-1]

    def find(frame: Frame) -> PeopleAt | None:
        found = None
        while left and left[-1].time <= frame.time + 0.5 / fps:
            found = left.pop()  # of several moments in one frame, the last one
        return found and found._replace(time=frame.time)

    return find


def detect_people(
    detector: Detector, threshold: float = HIGH_SCORE, every: float = EVERY
) -> FindIn:
    """For `annotate.Options`: looks for people with a detector, and tracks them.

    Args:
      detector: from `load_detector`, with the threshold LOW_SCORE, so that tracks continue when
        people are hard to see for a moment. "frame" needs no tracks.
      threshold: minimum score of a box for a new person.
      every: seconds from one detection to the next; less than a frame looks at every frame.
    """

    def make(info: Info, timing: Timing) -> Find:
        step = max(every, 1 / info.fps)
        tracks = None if detector.name == FRAME else Tracks(1 / step, threshold)
        return detected(detector, tracks, timing, every=step)

    return make


def given_people(moments: Sequence[PeopleAt]) -> FindIn:
    """For `annotate.Options`: people at known moments, in order of time."""
    return lambda info, timing: given(moments, info.fps)


class People:
    """The most recent moments of a video, and the boxes between them."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._moments: list[PeopleAt] = []

    def add(self, moment: PeopleAt) -> None:
        """Adds the next moment."""
        self._times.append(moment.time)
        self._moments.append(moment)

    def forget(self, time: float) -> None:
        """Drops the moments that only frames before `time` need."""
        first = max(bisect_right(self._times, time) - 1, 0)
        del self._times[:first], self._moments[:first]

    def at(self, time: float) -> list[tuple[int, np.ndarray]]:
        """(number, box) of the people at a time.

        The boxes of persons who were seen before and after it are interpolated. Other boxes are
        those of the nearest moment, if that is LONGEST seconds away at most.
        """
        after = bisect_right(self._times, time)
        around = self._moments[max(after - 1, 0) : after + 1]
        if len(around) == 2:
            before, later = around
            share = (time - before.time) / (later.time - before.time)
            nearest = before if share < 0.5 else later
            both = _boxes(before), _boxes(later)
        elif around:
            nearest, share, both = around[0], 0.0, ({}, {})
        else:
            return []
        shown = {
            number: both[0][number] * (1 - share) + both[1][number] * share
            for number in both[0].keys() & both[1].keys()
        }
        if abs(nearest.time - time) <= LONGEST:
            alone = zip(nearest.ids.tolist(), nearest.boxes, strict=True)
            others = [(number, box) for number, box in alone if number not in shown]
        else:
            others = []
        return [*sorted(shown.items()), *others]


def _boxes(moment: PeopleAt) -> dict[int, np.ndarray]:
    return {
        number: box for number, box in zip(moment.ids.tolist(), moment.boxes, strict=True) if number
    }
