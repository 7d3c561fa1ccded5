"""Scores of a long video over time: clips all along it, averaged over windows.

Clips of the network's own length follow each other without gaps, so that each frame is seen at the
speed that the network was trained for. A window has the mean scores of the clips within it.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.examples.sliding_windows import Window, iterate_windows
from data_pipelines.loading.background import read_ahead
from data_pipelines.video import Video
from data_pipelines.video.decoding import probe
from data_pipelines.video.image_files import Pictures
from slowfast_jax.metrics.ensemble import ensemble

CLOSE = 1e-6  # of a clip: lengths that differ by less are the same


class WindowScores(NamedTuple):
    """start, end: seconds from the start of the video; scores: float32 (K,)."""

    start: float
    end: float
    scores: np.ndarray


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


def score_windows(
    predict: Callable[[np.ndarray], Any],
    video: Video,
    sampling: Mapping[str, Any],
    *,
    window: float,
    stride: float,
    method: str,
    batch_size: int,
) -> Iterator[WindowScores]:
    """Scores the windows of a video, in order of time. The video may have any length.

    Args:
      predict: uint8 (batch_size, T, S, S, 3) -> array (batch_size, K); it may return before the
        array is computed.
      video: a file, or frames stored as image files.
      sampling: num_frames, sampling_rate, target_fps and crop, see `iterate_windows`.
      window, stride: seconds, see `plan`.
      method: how the scores of clips are combined, "sum" or "max".
      batch_size: clips per call of `predict`.

    Raises:
      VideoError: the video cannot be decoded; the windows before that are yielded.
      ValueError: the stride is shorter than a frame.
    """
    seconds = sampling["num_frames"] * sampling["sampling_rate"] / sampling["target_fps"]
    planned = plan(seconds, window, stride)
    duration = _duration(video, sampling["target_fps"])
    clips = iterate_windows(video, stride=planned.step, **sampling)
    scores: dict[int, np.ndarray] = {}  # clip -> (K,), for the clips that are still needed
    gaps: dict[int, tuple[float, float]] = {}  # clip -> seconds of the gaps before start and end
    index = known = 0  # the window, and how many clips are scored

    def combined(present: list[int]) -> WindowScores:
        start = index * stride
        end = min(start + planned.length, max(duration, start))
        rows = np.stack([scores[number] for number in present])
        start, end = start + gaps[present[0]][0], end + gaps[present[-1]][1]
        return WindowScores(start, end, ensemble(rows, method))

    for number, clip, row in _score_clips(predict, clips, planned, batch_size):
        begin = number * planned.step
        gaps[number] = clip.begin - begin, clip.end - begin - seconds
        scores[number], known = row, number + 1
        first = index * planned.every
        if number == first + planned.count - 1:
            yield combined(list(range(first, first + planned.count)))
            index += 1
            for old in [old for old in scores if old < index * planned.every]:
                del scores[old], gaps[old]
    rest = sorted(number for number in scores if number >= index * planned.every)
    if rest and (index == 0 or known > (index - 1) * planned.every + planned.count):
        yield combined(rest)


def _score_clips(
    predict: Callable[[np.ndarray], Any], clips: Iterator[Window], planned: Plan, batch_size: int
) -> Iterator[tuple[int, Window, np.ndarray]]:
    """Yields (number, clip without its frames, scores (K,)) of the clips that are in a window."""
    rows: list[tuple[int, Window]] = []
    batch = running = None
    with closing(read_ahead([enumerate(clips)], 2 * batch_size)) as stream:
        for number, clip in stream:
            if number % planned.every >= planned.count:
                continue
            if batch is None:  # never reused: the device may still read the last one
                batch = np.zeros((batch_size, *clip.clip.shape), np.uint8)
            batch[len(rows)] = clip.clip
            rows.append((number, clip._replace(clip=None)))
            if len(rows) == batch_size:
                before, running = running, (rows, predict(batch))
                rows, batch = [], None
                yield from _resolve(before)
    yield from _resolve(running)
    yield from _resolve((rows, predict(batch)) if rows else None)


def _resolve(
    running: tuple[list[tuple[int, Window]], Any] | None
) -> Iterator[tuple[int, Window, np.ndarray]]:
    """The results of a batch; further rows of its scores are padding."""
    if running:
        for (number, clip), scores in zip(running[0], np.asarray(running[1]), strict=False):
            yield number, clip, scores


def _duration(video: Video, target_fps: float) -> float:
    """Seconds that the video lasts."""
    if isinstance(video, Pictures):
        return video.open()[0] / (video.fps or target_fps)
    info = probe(video)
    return info.frames / info.fps
