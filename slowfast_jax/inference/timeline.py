"""Scores of long videos over time: clips all along them, averaged over windows.

Clips of the network's own length follow each other without gaps, so that each frame is seen at the
speed that the network was trained for. A window has the mean scores of the clips within it.
"""

import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.examples.sliding_windows import Window, iterate_windows
from data_pipelines.loading.background import read_ahead, work_queues
from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError, probe
from data_pipelines.video.image_files import Pictures
from slowfast_jax.inference.inputs import as_video
from slowfast_jax.inference.multiview import decoders_for
from slowfast_jax.metrics.ensemble import ensemble

CLOSE = 1e-6  # of a clip: lengths that differ by less are the same


class WindowScores(NamedTuple):
    """start, end: seconds from the start of the video; scores: float32 (K,)."""

    start: float
    end: float
    scores: np.ndarray


class Event(NamedTuple):
    """A window of a video, or the end of a video.

    Attributes:
      index: position of the video in the list.
      window: None: the video ended.
      fps: of the video that ended.
      error: why the video ended early: VideoError, or ValueError for a stride of less than a frame.
    """

    index: int
    window: WindowScores | None = None
    fps: float = 0.0
    error: Exception | None = None


class _Item(NamedTuple):
    """A decoder's output: clip `number` of a video that takes `duration` seconds, or, if the clip
    is None, the end of the video, as in `Event`."""

    index: int
    number: int = 0
    clip: Window | None = None
    duration: float = 0.0
    fps: float = 0.0
    error: Exception | None = None


class Plan(NamedTuple):
    """How clips make windows: window i has the clips i * every ... i * every + count - 1.

    Attributes:
      length: seconds of a window.
      step: seconds from one clip to the next.
      every: clips from one window to the next.
      count: clips of a window.
    """

    length: float
    step: float
    every: int
    count: int


def plan(clip: float, window: float, stride: float) -> Plan:
    """The plan for windows of `window` seconds, one every `stride` seconds.

    Windows shorter than a clip, which takes `clip` seconds, get the length of a clip. The last clip
    of a window may reach beyond it by less than half of the clip, so that no frame is left out.
    """
    window = max(window, clip)
    every = max(1, math.ceil(stride / clip - CLOSE))
    step = stride / every
    last = step if stride >= clip else clip  # what the last clip needs of the window
    return Plan(window, step, every, 1 + math.floor((window - last) / step + CLOSE))


def clip_length(config: ConfigDict) -> float:
    """The seconds of a clip, which no window is shorter than; 0 if clips span the window, whatever
    its length."""
    return 0.0 if config.data.sampling == "ssv2" else clip_seconds(_sampling(config))


def _sampling(config: ConfigDict) -> dict[str, Any]:
    protocol = config.protocol
    return dict(
        num_frames=protocol.num_frames, sampling_rate=protocol.sampling_rate,
        target_fps=protocol.target_fps, crop=protocol.test_crop,
    )


def window_options(
    config: ConfigDict, window: float | None, stride: float | None
) -> dict[str, Any]:
    """Keywords of `score_windows` that follow from a config: all but `batch_size`.

    `window` None is the length of a clip, and `stride` None that of the window. Raises ValueError
    if one is not positive.
    """
    protocol, sampling = config.protocol, _sampling(config)
    window = clip_seconds(sampling) if window is None else window
    stride = window if stride is None else stride
    for name, seconds in (("window", window), ("stride", stride)):
        if not isinstance(seconds, numbers.Real) or not 0 < seconds < math.inf:
            raise ValueError(f"{name} is {seconds!r}, expected a positive number of seconds")
    if config.data.sampling == "ssv2":  # a clip spans the whole video, here the window
        sampling["sampling_rate"] = window * protocol.target_fps / protocol.num_frames
    return dict(sampling=sampling, window=window, stride=stride, method=protocol.ensemble)


def score_windows(
    predict: Callable[[np.ndarray], Any], video: Video, sampling: Mapping[str, Any],
    **options: Any,
) -> Iterator[WindowScores]:
    """Scores the windows of a video, in order of time. The video may have any length.

    Args: those of `score_timelines`.

    Raises:
      VideoError: the video cannot be decoded; the complete windows before that are yielded.
      ValueError: the stride is shorter than a frame.
    """
    for event in score_timelines(predict, [video], sampling, **options):
        if event.error:
            raise event.error
        if event.window:
            yield event.window


def score_timelines(
    predict: Callable[[np.ndarray], Any],
    videos: Sequence[Video],
    sampling: Mapping[str, Any],
    *,
    window: float,
    stride: float,
    method: str,
    batch_size: int,
) -> Iterator[Event]:
    """Scores the windows of many videos, several of which are decoded at the same time.

    A batch may hold clips of several videos. Only a few batches are in memory.

    Args:
      predict: uint8 (batch_size, T, S, S, 3) -> array (batch_size, K); it may return before the
        array is computed.
      videos: files, folders of frames, or frames stored as image files.
      sampling: num_frames, sampling_rate, target_fps and crop, see `iterate_windows`.
      window, stride: seconds, see `plan`.
      method: how the scores of clips are combined, "sum" or "max".
      batch_size: clips per call of `predict`.

    Yields:
      The windows of each video in order of time, then its end; see `Event`.
    """
    seconds = clip_seconds(sampling)
    planned = plan(seconds, window, stride)
    unfinished: dict[int, WindowCombiner] = {}

    def resolve(items: list[_Item], scores: Any) -> Iterator[Event]:
        rows = iter(np.asarray(scores))  # those after the last item are padding
        for item in items:
            windows = unfinished.setdefault(
                item.index, WindowCombiner(planned, stride, method)
            )
            if item.clip is not None:
                windows.duration, begin = item.duration, item.number * planned.step
                gaps = item.clip.begin - begin, item.clip.end - begin - seconds
                found = windows.add(item.number, next(rows), gaps)
            else:
                found = windows.last() if not item.error else ()
            yield from (Event(item.index, window) for window in found)
            if item.clip is None:
                del unfinished[item.index]
                yield Event(item.index, fps=item.fps, error=item.error)

    items: list[_Item] = []
    count, batch, running = 0, None, None  # `running` is the batch on the device
    for item in _decode(videos, sampling, planned, batch_size):
        pictures = item.clip and item.clip.clip
        items.append(item._replace(clip=item.clip and item.clip._replace(clip=None)))
        if pictures is None:
            continue
        if batch is None:  # never reused: the device may still read the last one
            batch = np.zeros((batch_size, *pictures.shape), np.uint8)
        batch[count] = pictures
        count += 1
        if count == batch_size:
            before, running = running, (items, predict(batch))
            items, count, batch = [], 0, None
            if before:
                yield from resolve(*before)
    if running:
        yield from resolve(*running)
    yield from resolve(items, predict(batch) if count else ())


def clip_seconds(sampling: Mapping[str, Any]) -> float:
    """Seconds that a clip takes."""
    return sampling["num_frames"] * sampling["sampling_rate"] / sampling["target_fps"]


class WindowCombiner:
    """Combines the scores of one video's clips, given in order of time, into those of its windows.

    Attributes:
      duration: seconds of the video, beyond which no window reaches; inf until they are known.
    """

    def __init__(self, planned: Plan, stride: float, method: str):
        self.duration = math.inf
        self._plan, self._stride, self._method = planned, stride, method
        # Clip -> scores (K,) and gaps, for clips that are still needed.
        self._clips: dict[int, tuple[np.ndarray, tuple[float, float]]] = {}
        self._index = 0  # of the next window
        self._end = -1  # the last clip of the window before it

    def add(
        self, number: int, row: np.ndarray, gaps: tuple[float, float] = (0.0, 0.0)
    ) -> Iterator[WindowScores]:
        """Yields the windows that are complete once the next clip has its scores.

        Args:
          number: of the clip. Clips may be left out; the window has the scores of the others.
          row: scores (K,).
          gaps: seconds from where the plan has the start and the end of the clip to where they are.
        """
        self._clips[number] = row, gaps
        while number >= (last := self._index * self._plan.every + self._plan.count - 1):
            yield from self._combined(last)

    def last(self) -> Iterator[WindowScores]:
        """Yields the last window of the video, if clips are left that no other has."""
        if self._clips and max(self._clips) > self._end:
            yield from self._combined(max(self._clips))

    def _combined(self, last: int) -> Iterator[WindowScores]:
        """The window that ends with clip `last`, unless all of its clips were left out."""
        first, start = self._index * self._plan.every, self._index * self._stride
        clips = [clip for number, clip in self._clips.items() if first <= number <= last]
        end = min(start + self._plan.length, max(self.duration, start))
        if clips:
            (_, (late, _)), (_, (_, later)) = clips[0], clips[-1]
            scores = ensemble(np.stack([row for row, _ in clips]), self._method)
            yield WindowScores(start + late, end + later, scores)
        self._index, self._end = self._index + 1, last
        for number in [n for n in self._clips if n < self._index * self._plan.every]:
            del self._clips[number]


def _decode(
    videos: Sequence[Video], sampling: Mapping[str, Any], planned: Plan, batch_size: int
) -> Iterator[_Item]:
    """Decodes in threads and yields the clips as they come, those of one video in order."""
    count = decoders_for(len(videos))
    if count > 1:  # FFmpeg's own threads only pay off with a single decoder
        sampling = {**sampling, "thread_type": "NONE"}
    decode = partial(_decode_video, sampling=sampling, planned=planned)
    with closing(read_ahead(work_queues(videos, decode, count), 2 * batch_size)) as stream:
        yield from stream


def _decode_video(
    index: int, video: Video, sampling: Mapping[str, Any], planned: Plan
) -> Iterator[_Item]:
    """The clips of a video that are in a window, and its end."""
    error, fps = None, 0.0
    try:
        video = as_video(video)
        duration, fps = length_of(video, sampling["target_fps"])
        clips = iterate_windows(video, stride=planned.step, **sampling)
        for number, clip in enumerate(clips):
            if number % planned.every < planned.count:
                yield _Item(index, number, clip, duration)
    except (VideoError, ValueError) as caught:
        error = caught
    yield _Item(index, fps=fps, error=error)


def length_of(video: Video, target_fps: float) -> tuple[float, float]:
    """Seconds that a video lasts, and its frame rate; that of frames is `target_fps` by default."""
    if isinstance(video, Pictures):
        fps = video.fps or target_fps
        return video.open()[0] / fps, fps
    info = probe(video)
    return info.frames / info.fps, info.fps
