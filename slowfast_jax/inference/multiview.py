"""Multi-view testing: decode videos in threads, score batches of views, combine the scores.

Views of all videos go through batches of the same shape (the last one is padded), so the network is
compiled once, however many videos there are and whatever their lengths.
"""

import os
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.examples.eval_views import iterate_views
from data_pipelines.loading.background import read_ahead
from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError
from slowfast_jax.metrics.ensemble import ensemble

MAX_DECODERS = 8
BATCHES_AHEAD = 2  # of decoded views that may wait for the device


class VideoScores(NamedTuple):
    """What became of one video.

    index: its place in the list. scores: (K,) of the video, None if it failed. views: (V, K) of
    its views in the order clip * crops + crop. error: why it failed, "" if it did not.
    """

    index: int
    scores: np.ndarray | None
    views: np.ndarray | None
    error: str


class _Decoded(NamedTuple):
    """From a decoder: views `first_view`.. of a video, or, with clips None, its end."""

    index: int
    first_view: int
    clips: np.ndarray | None
    error: str = ""


def score_videos(
    predict: Callable[[np.ndarray], Any],
    videos: Sequence[Video],
    sampling: Mapping[str, Any],
    *,
    method: str,
    batch_size: int,
    timing: dict[str, float] | None = None,
) -> Iterator[VideoScores]:
    """Scores of every video, combined over its views, each as soon as it is complete.

    Args:
      predict: uint8 (batch_size, T, S, S, 3) -> array (batch_size, K), which may not be ready yet.
      videos: files, or frames stored as image files.
      sampling: keywords of `data_pipelines.examples.eval_views.iterate_views`.
      method: how views are combined, "sum" or "max".
      batch_size: views per call of `predict`.
      timing: gets "waited", the seconds spent waiting for decoded views.

    Yields:
      One VideoScores per video, in the order they complete. A video that cannot be decoded comes
      with its error; nothing else is caught.
    """
    views = sampling["clips"] * sampling["crops"]
    timing = {} if timing is None else timing
    timing["waited"] = 0.0
    collected: dict[int, np.ndarray] = {}  # video -> (views, K), for those under way
    missing: dict[int, int] = {}  # video -> views without scores yet
    failed: set[int] = set()

    def resolve(keys: list[tuple[int, int]], scores: Any) -> Iterator[VideoScores]:
        scores = np.asarray(scores)
        for (index, view), row in zip(keys, scores, strict=False):  # rows beyond the keys pad
            if index in failed:
                continue
            if index not in collected:
                collected[index] = np.empty((views, scores.shape[1]), np.float32)
                missing[index] = views
            collected[index][view] = row
            missing[index] -= 1
            if missing[index] == 0:
                all_views = collected.pop(index)
                yield VideoScores(index, ensemble(all_views, method), all_views, "")

    running: tuple[list[tuple[int, int]], Any] | None = None  # on the device
    for keys, batch, failures in _batches(videos, sampling, batch_size, timing):
        for index, error in failures:
            failed.add(index)
            collected.pop(index, None)
            yield VideoScores(index, None, None, error)
        if keys:
            before, running = running, (keys, predict(batch))
            if before:
                yield from resolve(*before)
    if running:
        yield from resolve(*running)


def _batches(
    videos: Sequence[Video],
    sampling: Mapping[str, Any],
    batch_size: int,
    timing: dict[str, float],
) -> Iterator[tuple[list[tuple[int, int]], np.ndarray | None, list[tuple[int, str]]]]:
    """((video, view) of each row, clips (batch_size, ...), (video, error) of those that failed)."""
    keys: list[tuple[int, int]] = []
    batch = None
    failures: list[tuple[int, str]] = []
    for decoded in _decode(videos, sampling, batch_size, timing):
        if decoded.clips is None:
            if decoded.error:
                failures.append((decoded.index, decoded.error))
            continue
        for i, clip in enumerate(decoded.clips):
            if batch is None:  # a new one each time: the device may still read the last
                batch = np.zeros((batch_size, *clip.shape), np.uint8)
            batch[len(keys)] = clip
            keys.append((decoded.index, decoded.first_view + i))
            if len(keys) == batch_size:
                yield keys, batch, failures
                keys, batch, failures = [], None, []
    if keys or failures:
        yield keys, batch, failures


def _decode(
    videos: Sequence[Video],
    sampling: Mapping[str, Any],
    batch_size: int,
    timing: dict[str, float],
) -> Iterator[_Decoded]:
    """Decodes the videos in several threads and yields what they give, as it comes."""
    tasks: queue.SimpleQueue = queue.SimpleQueue()
    for index, video in enumerate(videos):
        tasks.put((index, video))
    ahead = max(2, BATCHES_AHEAD * batch_size // sampling["crops"])
    count = min(len(videos), MAX_DECODERS, max(1, (os.cpu_count() or 1) - 1))
    if count > 1:  # FFmpeg's own threads pay only where there is one decoder
        sampling = {**sampling, "thread_type": "NONE"}
    decoders = [_decode_next(tasks, sampling) for _ in range(count)]
    with closing(read_ahead(decoders, ahead)) as stream:
        while True:
            start = time.perf_counter()
            decoded = next(stream, None)
            timing["waited"] += time.perf_counter() - start
            if decoded is None:
                return
            yield decoded


def _decode_next(tasks: queue.SimpleQueue, sampling: Mapping[str, Any]) -> Iterator[_Decoded]:
    """Takes one video after another from `tasks` and decodes it, until none is left."""
    expected = sampling["clips"] * sampling["crops"]
    while True:
        try:
            index, video = tasks.get_nowait()
        except queue.Empty:
            return
        try:
            count = 0
            for clips in iterate_views(video, **sampling):
                yield _Decoded(index, count, clips)
                count += len(clips)
            error = "" if count == expected else f"gave {count} of {expected} views"
            yield _Decoded(index, count, None, error)
        except VideoError as error:
            yield _Decoded(index, 0, None, error.reason)
