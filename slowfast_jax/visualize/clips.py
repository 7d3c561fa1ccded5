"""The clips of a video as the network sees them, and every frame between theirs for films."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.examples.keyframe_clips import load_keyframe
from data_pipelines.examples.sliding_windows import iterate_windows
from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError
from slowfast_jax.inference.inputs import as_video
from slowfast_jax.inference.timeline import clip_length, clip_seconds, length_of, window_options

MOST_FRAMES = 900  # of a part of a film, which is in memory


class Part(NamedTuple):
    """A part of a video that a clip spans.

    Attributes:
      begin, end: seconds.
      clip: uint8 (T, H, W, 3) RGB, the frames that the network sees.
      frames: uint8 (F, H, W, 3) RGB, all frames of the part. The clip may reach beyond the end of
        the video, where it repeats the last frame; these do not.
      places: float (T,), the positions of the clip's frames among all frames.
      box: float32 (4,) x1, y1, x2, y2 in pixels, whose classes are explained; None for networks
        that classify clips.
      title: what is shown, for captions.
    """

    begin: float
    end: float
    clip: np.ndarray
    frames: np.ndarray
    places: np.ndarray
    box: np.ndarray | None
    title: str


def parts_of(
    video: Video, config: ConfigDict, at: float | None = None,
    keyframes: Sequence[Keyframe] = (), box: int | None = None,
) -> Iterator[Part]:
    """The parts of a video: those of its keyframes if there are any, otherwise all of it.

    See `iterate_parts` and `iterate_boxes`.
    """
    if keyframes:
        return iterate_boxes(keyframes, config, at, box)
    return iterate_parts(video, config, at)


def iterate_parts(video: Video, config: ConfigDict, at: float | None = None) -> Iterator[Part]:
    """The parts of a video, one after the other, each with the center crop of its frames.

    Networks that see a whole video at once have a single part. The frames have the protocol's
    target_fps.

    Args:
      video: a file, a folder of frames, or frames.
      config: a complete config, whose protocol says what a clip is.
      at: a second of the video; only the part that has it is yielded.

    Raises:
      VideoError: the video cannot be decoded, or is shorter than `at`.
    """
    video = as_video(video)
    target = config.protocol.target_fps
    length = length_of(video, target)[0]
    window = None if clip_length(config) else length
    sampling = window_options(config, window, None)["sampling"]
    seconds, count = clip_seconds(sampling), sampling["num_frames"]
    every = max(count, min(round(seconds * target), MOST_FRAMES))
    dense = sampling | {"num_frames": every, "sampling_rate": seconds * target / every}
    places = np.linspace(0, every - 1, count)
    found = False
    for seen, all_frames in zip(
        iterate_windows(video, stride=seconds, **sampling),
        iterate_windows(video, stride=seconds, **dense),
        strict=False,  # rounding may decide whether one of them has a last, almost empty window
    ):
        if at is not None and at >= seen.end:
            continue
        found = True
        end, frames = seen.end, all_frames.clip
        if seen.begin < length < end:
            share = (length - seen.begin) / (end - seen.begin)
            end, frames = length, frames[: max(math.ceil(len(frames) * share - 1e-6), 1)]
        title = f"{seen.begin:.1f} to {end:.1f} s"
        yield Part(seen.begin, end, seen.clip, frames, places, None, title)
        if at is not None:
            return
    if not found:
        raise VideoError(str(video), f"ends before second {at:g}")


def iterate_boxes(
    keyframes: Sequence[Keyframe], config: ConfigDict, at: float | None = None,
    box: int | None = None,
) -> Iterator[Part]:
    """The clip around each keyframe of a video, once for each of its boxes.

    Frames are whole, not cropped, and have the frame rate of the video.

    Args:
      keyframes: of one video.
      config: a complete config, whose protocol says what a clip is.
      at: a second of the video; only the keyframe that is nearest to it is shown.
      box: number of the only box that is shown of each keyframe, from 1 in the order of the table.

    Raises:
      VideoError: the video cannot be decoded, or no keyframe has that many boxes.
    """
    if at is not None:
        keyframes = [min(keyframes, key=lambda keyframe: abs(second_of(keyframe) - at))]
    most = max(len(keyframe.boxes) for keyframe in keyframes)
    if most < (box or 1):
        raise VideoError(
            str(keyframes[0].source), f"has no box {box or 1} (boxes of a keyframe: {most} at most)"
        )
    rate = config.protocol.sampling_rate
    for keyframe in keyframes:
        frames, boxes = load_frames(keyframe, config)
        fps = keyframe.fps or length_of(keyframe.source, config.protocol.target_fps)[1]
        second, half = second_of(keyframe), len(frames) / fps / 2
        clip = frames[:: max(rate, 1)]
        places = np.arange(len(clip)) * max(rate, 1)
        for number in range(len(boxes)) if box is None else range(box - 1, min(box, len(boxes))):
            title = f"box {number + 1} at {second:g} s"
            yield Part(
                second - half, second + half, clip, frames, places, boxes[number], title
            )


def load_frames(keyframe: Keyframe, config: ConfigDict) -> tuple[np.ndarray, np.ndarray]:
    """All frames that the clip around a keyframe spans, uint8 (F, H, W, 3), and its boxes (B, 4) in
    their pixels; the clip has every `sampling_rate`-th of them, or all with a rate of 0."""
    protocol = config.protocol
    rate = protocol.sampling_rate
    loaded = load_keyframe(
        keyframe, num_frames=protocol.num_frames * max(rate, 1), sampling_rate=min(rate, 1),
        crop=protocol.test_crop, max_boxes=len(keyframe.boxes),
        num_classes=config.model.num_classes, rng=None,
    )
    return loaded["clip"], loaded["boxes"]


def second_of(keyframe: Keyframe) -> float:
    """The time of a keyframe in seconds from the start of its video."""
    return keyframe.time - keyframe.origin


def part_rate(config: ConfigDict, part: Part) -> Fraction:
    """Frame rate at which the frames of a part play as fast as the video."""
    seconds = part.end - part.begin
    rate = len(part.frames) / seconds if seconds > 0 else config.protocol.target_fps
    return Fraction(rate).limit_denominator(1001)


def between_frames(maps: np.ndarray, places: np.ndarray, frames: int) -> np.ndarray:
    """Maps of some frames of a part, interpolated to all of them.

    Args:
      maps: (T', H, W).
      places: (T',), increasing, the positions of these frames among all.
      frames: number of all frames.

    Returns:
      (frames, H, W). Before the first and after the last of the frames, their maps are repeated.
    """
    steps = np.interp(np.arange(frames), places, np.arange(len(places)))
    low = np.floor(steps).astype(int)
    high = np.minimum(low + 1, len(places) - 1)
    share = (steps - low).astype(maps.dtype)[:, None, None]
    return maps[low] * (1 - share) + maps[high] * share
