"""The clips of a video as the network sees them, and every frame between theirs for films."""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.examples.sliding_windows import iterate_windows
from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError
from slowfast_jax.inference.inputs import as_video
from slowfast_jax.inference.timeline import clip_length, clip_seconds, length_of, window_options

MOST_FRAMES = 900  # of a part of a film, which is in memory


class Part(NamedTuple):
    """A part of a video that a clip spans.

    Attributes:
      begin, end: seconds.
      clip: uint8 (T, S, S, 3) RGB, the frames that the network sees.
      frames: uint8 (F, S, S, 3) RGB, all frames of the part at the protocol's target_fps; the clip
        has evenly spaced ones of these, from the first to the last.
    """

    begin: float
    end: float
    clip: np.ndarray
    frames: np.ndarray


def iterate_parts(video: Video, config: ConfigDict, at: float | None = None) -> Iterator[Part]:
    """The parts of a video, one after the other, each with the center crop of its frames.

    Networks that see a whole video at once have a single part.

    Args:
      video: a file, a folder of frames, or frames.
      config: a complete config, whose protocol says what a clip is.
      at: a second of the video; only the part that has it is yielded.

    Raises:
      VideoError: the video cannot be decoded, or is shorter than `at`.
    """
    video = as_video(video)
    target = config.protocol.target_fps
    window = None if clip_length(config) else length_of(video, target)[0]
    sampling = window_options(config, window, None)["sampling"]
    seconds, count = clip_seconds(sampling), sampling["num_frames"]
    every = max(count, min(round(seconds * target), MOST_FRAMES))
    dense = sampling | {"num_frames": every, "sampling_rate": seconds * target / every}
    found = False
    for seen, all_frames in zip(
        iterate_windows(video, stride=seconds, **sampling),
        iterate_windows(video, stride=seconds, **dense),
        strict=False,  # rounding may decide whether one of them has a last, almost empty window
    ):
        if at is not None and at >= seen.end:
            continue
        found = True
        yield Part(seen.begin, seen.end, seen.clip, all_frames.clip)
        if at is not None:
            return
    if not found:
        raise VideoError(str(video), f"ends before second {at:g}")


def part_rate(config: ConfigDict, part: Part) -> Fraction:
    """Frame rate at which the frames of a part play as fast as the video."""
    seconds = part.end - part.begin
    rate = len(part.frames) / seconds if seconds > 0 else config.protocol.target_fps
    return Fraction(rate).limit_denominator(1001)


def between_frames(maps: np.ndarray, indices: np.ndarray, clip: int, frames: int) -> np.ndarray:
    """Maps of single frames of a clip, interpolated to all frames of its part.

    Args:
      maps: (T', H, W), of the frames `indices` of the clip.
      indices: (T',), increasing.
      clip: number of frames of the clip.
      frames: number of frames of the part.

    Returns:
      (frames, H, W). Before the first and after the last of the frames, their maps are repeated.
    """
    times = np.linspace(0, clip - 1, frames)
    places = np.interp(times, indices, np.arange(len(indices)))
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, len(indices) - 1)
    share = (places - low).astype(maps.dtype)[:, None, None]
    return maps[low] * (1 - share) + maps[high] * share
