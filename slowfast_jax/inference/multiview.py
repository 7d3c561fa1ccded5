"""Multi-view scoring of videos: decodes ahead in threads, batches views, combines their scores.

A batch may hold views of several videos. All batches have the same shape (the last one is padded),
so the network is compiled once, whatever the number and lengths of the videos.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.cores import available_cores
from data_pipelines.examples.eval_views import iterate_views
from data_pipelines.loading.background import read_ahead, work_queues
from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError
from slowfast_jax.inference.inputs import as_video
from slowfast_jax.metrics.ensemble import ensemble

SAMPLING = (
    "num_frames", "sampling_rate", "target_fps", "test_crop", "clips", "crops", "offset_sampling"
)
MAX_DECODERS = 8
BATCHES_AHEAD = 2  # batches of decoded views that may wait for the device


class VideoScores(NamedTuple):
    """The result for one video.

    Attributes:
      index: position of the video in the list.
      scores: (K,) scores of the video; None if it could not be decoded.
      views: (V, K) scores of its views, view `clip * crops + crop` being that clip and crop.
      error: why the video could not be decoded; "" if it could.
    """

    index: int
    scores: np.ndarray | None
    views: np.ndarray | None
    error: str


def view_options(config: Any) -> dict[str, Any]:
    """The keywords of `iterate_views` by which a complete config takes the clips of a video."""
    options = {key: config.protocol[key] for key in SAMPLING}
    options["sampling"] = config.data.sampling
    if "jitter" in config.data:  # with a single crop, the original resizes to this
        options["train_jitter_min"] = config.data.jitter[0]
    return options


class _Decoded(NamedTuple):
    """A decoder's output: views of a video from `first_view` on, or, if clips is None, its end."""

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
    """Scores videos, combining the scores of each video's views.

    Args:
      predict: uint8 (batch_size, T, S, S, 3) -> array (batch_size, K); it may return before the
        array is computed.
      videos: files, folders of frames, or frames stored as image files.
      sampling: keywords of `data_pipelines.examples.eval_views.iterate_views`.
      method: how views are combined, "sum" or "max".
      batch_size: views per call of `predict`.
      timing: receives "waited", the seconds spent waiting for decoded views.

    Yields:
      One VideoScores per video, as soon as it is complete. An unreadable video has an error in
      place of scores; any other exception is raised.
    """
    views = sampling["clips"] * sampling["crops"]
    timing = {} if timing is None else timing
    timing["waited"] = 0.0
    collected: dict[int, np.ndarray] = {}  # video -> (views, K), for incomplete videos
    missing: dict[int, int] = {}  # video -> views without scores yet
    failed: set[int] = set()

    def resolve(keys: list[tuple[int, int]], scores: Any) -> Iterator[VideoScores]:
        scores = np.asarray(scores)
        for (index, view), row in zip(keys, scores, strict=False):  # further rows are padding
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

    running: tuple[list[tuple[int, int]], Any] | None = None  # the batch on the device
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
    """Batches the views of all videos.

    Yields ((video, view) of each row, clips (batch_size, ...), (video, error) of failed videos);
    the clips are None if only failures are left to report.
    """
    keys: list[tuple[int, int]] = []
    batch = None
    failures: list[tuple[int, str]] = []
    for decoded in _decode(videos, sampling, batch_size, timing):
        if decoded.clips is None:
            if decoded.error:
                failures.append((decoded.index, decoded.error))
            continue
        for i, clip in enumerate(decoded.clips):
            if batch is None:  # never reused: the device may still read the last one
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
    """Decodes in threads (decoding releases the GIL) and yields the views as they arrive."""
    ahead = max(2, BATCHES_AHEAD * batch_size // sampling["crops"])
    count = decoders_for(len(videos))
    if count > 1:  # FFmpeg's own threads only pay off with a single decoder
        sampling = {**sampling, "thread_type": "NONE"}
    decoders = work_queues(videos, partial(_decode_video, sampling=sampling), count)
    with closing(read_ahead(decoders, ahead)) as stream:
        while True:
            start = time.perf_counter()
            decoded = next(stream, None)
            timing["waited"] += time.perf_counter() - start
            if decoded is None:
                return
            yield decoded


def decoders_for(videos: int) -> int:
    """Number of threads that decode `videos` videos."""
    return min(videos, MAX_DECODERS, max(1, available_cores() - 1))


def _decode_video(index: int, video: Video, sampling: Mapping[str, Any]) -> Iterator[_Decoded]:
    """The views of a video, and its end."""
    count = 0
    try:
        for clips in views_of(video, sampling):
            yield _Decoded(index, count, clips)
            count += len(clips)
        yield _Decoded(index, count, None)
    except VideoError as error:
        yield _Decoded(index, count, None, error.reason)


def views_of(video: Video, sampling: Mapping[str, Any]) -> Iterator[np.ndarray]:
    """The views of a video as `iterate_views` yields them: uint8 (crops, T, S, S, 3) per clip.

    Raises:
      VideoError: the video cannot be decoded, or not all of its views.
    """
    expected, count = sampling["clips"] * sampling["crops"], 0
    for clips in iterate_views(as_video(video), **sampling):
        yield clips
        count += len(clips)
    if count != expected:
        raise VideoError(str(video), f"decoded only {count} of {expected} views")
