"""Annotates a video or a live source: what is in it is recognized, drawn and written to a film.

    frames -> (people: boxes and numbers) -> scores of windows, or of people -> film and results

Stages pass on what comes from the one before and add what they find, so that one loop serves all.
A frame waits for the scores that belong to its time, unless it is live.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from data_pipelines.loading.background import read_ahead
from data_pipelines.video import Video
from data_pipelines.video.image_files import Pictures
from data_pipelines.video.opening import VideoError
from slowfast_jax.demo.choice import Choice, choose
from slowfast_jax.demo.film.fonts import Face
from slowfast_jax.demo.film.overlay import Painter
from slowfast_jax.demo.film.writing import Film, Show, size_of
from slowfast_jax.demo.knowledge import Knowledge
from slowfast_jax.demo.sources.frames import Frame, Info, open_frames
from slowfast_jax.demo.sources.live import LiveFrames
from slowfast_jax.demo.stages.actions import (
    LIVE_ROWS,
    ROWS,
    STRIDE,
    PersonScores,
    recognize_persons,
    score_nobody,
)
from slowfast_jax.demo.stages.given_boxes import Truth
from slowfast_jax.demo.stages.persons import FindIn, PeopleAt, add_people
from slowfast_jax.demo.stages.windows import classify, empty_clip
from slowfast_jax.demo.timing import Timing
from slowfast_jax.inference.timeline import WindowScores

if TYPE_CHECKING:
    from slowfast_jax.recognizer import Recognizer

AHEAD_BYTES = 1 << 26  # of frames that are decoded ahead
HELD_BYTES = 1 << 30  # of frames that wait for scores; further ones are drawn with earlier scores


class Progress(NamedTuple):
    """How far the work is.

    Attributes:
      frames: number of frames that were taken from the source.
      time: seconds of the source that they are.
      duration: seconds of the whole source; 0 if unknown.
      latency: of live sources, the seconds from the arrival of a frame until the encoder of the
        film had it, for the last frame of which this is known; without a film, until now.
    """

    frames: int
    time: float
    duration: float
    latency: float = 0.0


@dataclass(frozen=True)
class Options:
    """What is recognized and drawn.

    Attributes:
      window: seconds that a window lasts, for networks that classify clips. None: as long as a
        clip, which is the least.
      stride: seconds from one window to the next, or from one moment at which actions of people
        are recognized to the next. None: the length of the window, or STRIDE.
      people: makes what looks for people, such as `detect_people`. Networks that take boxes need
        it; with others, the people are tracked and drawn.
      choice: which labels are drawn. None: those of `choose` without options.
      truths: annotated boxes, which are drawn beside.
      slow_motion: how many times longer than the source the film is; then it has no sound.
      face: the font of labels. None: one that has the characters of the class names.
    """

    window: float | None = None
    stride: float | None = None
    people: FindIn | None = None
    choice: Choice | None = None
    truths: Sequence[Truth] = ()
    slow_motion: float = 1.0
    face: Face | None = None


@dataclass
class Result:
    """What was found in a source.

    Attributes:
      info: properties of the source.
      timing: where the time went.
      windows: scores of windows, for networks that classify clips; empty for live sources, which
        may have no end.
      persons: people at the moments that have scores, for networks that take boxes; empty for live
        sources.
      error: why the source ended too early; "" if it did not.
    """

    info: Info
    timing: Timing
    windows: list[WindowScores] = field(default_factory=list)
    persons: list[PersonScores] = field(default_factory=list)
    error: str = ""


def annotate_film(
    recognizer: "Recognizer", video: Video, out: str | os.PathLike | None = None,
    options: Options = Options(), *, fps: float = 30.0,
    report: Callable[[Progress], object] = lambda progress: None,
    found: Callable[[WindowScores | PersonScores | PeopleAt], object] = lambda event: None,
    show: Show | None = None,
) -> Result:
    """Recognizes what is in a video, and writes a film with labels, boxes and the video's sound.

    An exception of `report` or `found` ends the work; the film then has the frames up to there.

    Args:
      recognizer: a network with weights.
      video: a file, or frames stored as image files.
      out: the .mp4 file to write; None for no film.
      options: what is recognized and drawn.
      fps: frame rate of image files that state none.
      report: called after each frame.
      found: called with the scores of each window or moment, and with the people, as they come.
      show: called with each frame that is drawn, and its second in the film, in a thread.

    Returns:
      The scores. If the video is damaged or cut short, the result has an error and what came
      before.

    Raises:
      VideoError: it is not a video, or no frame can be decoded.
      ValueError: the network takes boxes and `options.people` is None; or a window or stride is
        not positive, or less than a frame.
      OSError: the film cannot be written.
    """
    info, frames = open_frames(video, fps)
    options = _with_choice(options, recognizer)
    _prepare(recognizer, options, info, live=False)
    result = Result(info, Timing())
    ahead = max(2, min(16, AHEAD_BYTES // (info.width * info.height * 2)))
    source = read_ahead([result.timing.each("decode", frames)], ahead)
    sound = None if isinstance(video, Pictures) or options.slow_motion != 1 else video
    film = _film_of(result, options, out, sound, show)
    with closing(source):
        _annotate(recognizer, source, film, options, result, report, found, live=False)
    return result


def annotate_live(
    recognizer: "Recognizer", source: LiveFrames, out: str | os.PathLike | None = None,
    options: Options = Options(), *,
    report: Callable[[Progress], object] = lambda progress: None,
    found: Callable[[WindowScores | PersonScores | PeopleAt], object] = lambda event: None,
    show: Show | None = None,
) -> Result:
    """As `annotate_film`, for a camera or stream, until it ends or an exception ends the work.

    Every frame is drawn at once, with the latest scores. Frames and clips for which there is no
    time are left out. The network is compiled before the first frame is taken.

    Args:
      source: the opened camera or stream. It is not closed.

    Returns:
      The result, without scores; these go to `found` as they come. If the source is lost, the
      result has an error.
    """
    options = _with_choice(options, recognizer)
    _prepare(recognizer, options, source.info, live=True)
    result = Result(source.info, Timing())
    source.forget()  # what came while the network was compiled
    film = _film_of(result, options, out, None, show)
    frames = _from_zero(source)
    _annotate(recognizer, frames, film, options, result, report, found, live=True)
    return result


def _with_choice(options: Options, recognizer: "Recognizer") -> Options:
    if options.choice:
        return options
    several = recognizer.model.activation == "sigmoid"
    return replace(options, choice=choose(recognizer.class_names, several=several))


def _prepare(recognizer: "Recognizer", options: Options, info: Info, *, live: bool) -> None:
    """Compiles the network, so that the time of this does not count as that of the source."""
    if not recognizer.takes_boxes:
        recognizer(empty_clip(recognizer))
        return
    if options.people is None:
        raise ValueError(
            f"{recognizer.config.name} classifies people: it needs a detector, or their boxes"
        )
    score_nobody(recognizer, info.height, info.width, LIVE_ROWS if live else ROWS)


def _film_of(
    result: Result, options: Options, out: str | os.PathLike | None, sound: Video | None,
    show: Show | None,
) -> Film | None:
    """What draws the frames, and writes or shows them; None if nobody wants them."""
    if out is None and show is None:
        return None
    info = result.info
    painter = Painter(options.choice, *size_of(info), info.duration, options.face)
    return Film(
        out, info, painter.draw, result.timing, sound=sound, slow_motion=options.slow_motion,
        show=show,
    )


def _annotate(
    recognizer: "Recognizer", frames: Iterator[Frame], film: Film | None, options: Options,
    result: Result, report: Callable[[Progress], object], found: Callable[[Any], object], *,
    live: bool,
) -> None:
    """Passes frames through the stages, and on to the film, which it closes."""
    info, timing = result.info, result.timing
    known = Knowledge(
        options.choice, options.truths, windows=not recognizer.takes_boxes,
        people=options.people is not None, actions=recognizer.takes_boxes,
    )
    waiting = _Waiting(film, known, live)
    events = _stages(recognizer, _without_error(frames, result), options, result, live=live)
    try:
        with closing(events):
            for event in events:
                if not isinstance(event, Frame):
                    known.add(event)
                    _keep(event, result, live)
                    found(event)
                waiting.pass_on(event if isinstance(event, Frame) else None)
                if isinstance(event, Frame):
                    timing.frames += 1
                    latency = film.latency if film else time.monotonic() - event.arrived
                    report(Progress(
                        timing.frames, event.time, info.duration, latency if live else 0.0
                    ))
        waiting.end()
    finally:
        if film is not None:
            film.close()
        timing.stop()


def _stages(
    recognizer: "Recognizer", frames: Iterator[Frame], options: Options, result: Result, *,
    live: bool,
) -> Iterator[Any]:
    """The frames, and what is found in them."""
    info, timing, events = result.info, result.timing, frames
    if options.people is not None:
        events = add_people(events, options.people(info, timing))
    if recognizer.takes_boxes:
        stride = STRIDE if options.stride is None else options.stride
        return recognize_persons(events, recognizer, timing, stride=stride, late=live)
    return classify(
        events, recognizer, info.fps, timing, window=options.window, stride=options.stride,
        late=live,
    )


class _Waiting:
    """Frames that wait until all is known that is drawn into them.

    Beyond HELD_BYTES of them, the oldest are drawn with what is known so far.
    """

    def __init__(self, film: Film | None, known: Knowledge, live: bool):
        """live: no frame waits."""
        self._film, self._known, self._live = film, known, live
        self._frames: deque[Frame] = deque()
        self._bytes = 0

    def pass_on(self, frame: Frame | None = None) -> None:
        """Adds a frame, if one is given, and passes on to the film those that need not wait."""
        if self._film is None:
            return
        if frame is not None:
            self._frames.append(frame)
            self._bytes += frame.bytes
        while self._frames and (
            self._live or self._frames[0].time <= self._known.settled or self._bytes > HELD_BYTES
        ):
            self._put()

    def end(self) -> None:
        """Passes on all that wait."""
        while self._frames:
            self._put()

    def _put(self) -> None:
        frame = self._frames.popleft()
        self._bytes -= frame.bytes
        self._film.put(frame, self._known.overlay(frame.time))


def _from_zero(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames, with times after the first of them."""
    first = None
    for frame in frames:
        first = frame.time if first is None else first
        yield frame._replace(time=frame.time - first)


def _keep(event: Any, result: Result, live: bool) -> None:
    if live:
        return
    if isinstance(event, WindowScores):
        result.windows.append(event)
    elif isinstance(event, PersonScores):
        result.persons.append(event)


def _without_error(frames: Iterable[Frame], result: Result) -> Iterator[Frame]:
    """The frames; an error after the first of them ends them, and goes to the result."""
    begun = False
    try:
        for frame in frames:
            begun = True
            yield frame
    except VideoError as error:
        if not begun:
            raise
        result.error = error.reason
