"""What people do: the scores of the clip around each moment, for networks that take boxes."""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from data_pipelines.sampling import keyframe_indices
from data_pipelines.transforms import boxes as box_arithmetic
from data_pipelines.transforms import geometry
from slowfast_jax.demo.sources.frames import Frame
from slowfast_jax.demo.stages.clips import ClipBuffer
from slowfast_jax.demo.stages.persons import PeopleAt
from slowfast_jax.demo.stages.worker import Worker
from slowfast_jax.demo.timing import Timing
from slowfast_jax.inference.box_scores import with_padding

if TYPE_CHECKING:
    from slowfast_jax.recognizer import Recognizer

STRIDE = 0.5  # seconds from one moment with scores to the next
ROWS = 8  # boxes are padded to this number, or to twice, four times, ... as many
LIVE_ROWS = 16  # the same for cameras and streams, where nothing is compiled later on


class PersonScores(NamedTuple):
    """Scores of the people at a moment.

    Attributes:
      moment: their boxes and numbers.
      scores: float32 (B, K).
    """

    moment: PeopleAt
    scores: np.ndarray


def recognize_persons(
    events: Iterable[Any], recognizer: "Recognizer", timing: Timing, *, stride: float = STRIDE,
    late: bool = False,
) -> Iterator[Any]:
    """Passes events on, and adds the scores of the people of a `PeopleAt` once they are known.

    A clip has its moment in the middle, so scores come half a clip later. Its frames are as far
    apart in time as in training, whatever the frame rate of the video: those that `load_keyframe`
    takes of a video with the frame rate of the network's protocol.

    Args:
      events: frames and moments in order of time, and anything else.
      recognizer: a network that takes boxes.
      stride: minimum seconds from one moment with scores to the next.
      late: leave out moments for which the network has no time, instead of waiting for it, and
        take the best known LIVE_ROWS persons of a moment at most.

    Yields:
      The events, and `PersonScores`.
    """
    protocol = recognizer.config.protocol
    length = protocol.num_frames * protocol.sampling_rate
    crop, rate = protocol.test_crop, protocol.target_fps
    buffer = ClipBuffer(rate, partial(_whole, crop=crop))
    waiting: deque[PeopleAt] = deque()
    due, source = 0.0, (0, 0)

    with Worker() as worker:

        def submit(moment: PeopleAt) -> None:
            if late and worker.busy:
                return
            if late:
                moment = PeopleAt(moment.time, moment.boxes[:LIVE_ROWS], moment.ids[:LIVE_ROWS])
            if not len(moment.boxes):
                worker.submit(moment, partial(np.zeros, (0, len(recognizer.class_names))))
                return
            with timing.part("recognize"):
                clip = buffer.clip(keyframe_indices(
                    round(moment.time * rate), protocol.num_frames, protocol.sampling_rate,
                    buffer.count,
                ))
            rows = LIVE_ROWS if late else ROWS
            job = partial(_scores, recognizer, clip, moment.boxes, source, rows, timing)
            worker.submit(moment, job)

        for event in events:
            yield event
            if isinstance(event, Frame):
                source = source if any(source) else event.picture().shape[:2]
                buffer.push(event)
            elif isinstance(event, PeopleAt) and event.time >= due - 1e-6:
                due = due + stride if due + stride > event.time else event.time + stride
                waiting.append(event)
            while waiting and round(waiting[0].time * rate) + length - length // 2 <= buffer.count:
                submit(waiting.popleft())
                yield from (PersonScores(*found) for found in worker.results())
            first = round(waiting[0].time * rate) if waiting else buffer.count - 1
            buffer.forget(first - length // 2)
            yield from (PersonScores(*found) for found in worker.results())
        for moment in waiting:
            submit(moment)
            yield from (PersonScores(*found) for found in worker.results())
        yield from (PersonScores(*found) for found in worker.results(all_jobs=True))


def score_nobody(recognizer: "Recognizer", height: int, width: int, rows: int) -> None:
    """Runs the network on a black clip of a source of this size, so that it is compiled."""
    protocol = recognizer.config.protocol
    picture = _whole(np.zeros((height, width, 3), np.uint8), protocol.test_crop)
    clip = np.repeat(picture[None], protocol.num_frames, 0)
    box = np.array([[0, 0, 1, 1]], np.float32)
    _scores(recognizer, clip, box, (height, width), rows, Timing())


def _whole(picture: np.ndarray, crop: int) -> np.ndarray:
    drawn = geometry.whole(*picture.shape[:2], short_side=crop)
    return geometry.apply(picture[None], drawn)[0]


def _scores(
    recognizer: "Recognizer", clip: np.ndarray, boxes: np.ndarray, source: tuple[int, int],
    rows: int, timing: Timing,
) -> np.ndarray:
    """Scores (B, K) of the boxes (B, 4), fractions of a picture of (height, width) `source`."""
    with timing.part("recognize"):
        count = len(boxes)
        while rows < count:
            rows *= 2
        drawn = geometry.whole(*source, short_side=recognizer.config.protocol.test_crop)
        pixels = geometry.apply_boxes(box_arithmetic.from_fractions(boxes, *source), drawn)
        padded = np.zeros((rows, 4), np.float32)
        padded[:count] = pixels
        present = np.arange(rows) < count
        present[:count] = box_arithmetic.has_area(pixels)
        padded = with_padding(padded, present, clip.shape)
        return np.asarray(recognizer(clip[None], padded[None]))[0, :count]
