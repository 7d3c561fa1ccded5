"""Decodes the videos of requests in memory, within limits."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.examples.eval_views import iterate_views
from data_pipelines.examples.keyframe_clips import load_keyframe
from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError, VideoInfo, probe
from data_pipelines.video.image_files import Pictures, read_image
from slowfast_jax.inference.box_scores import with_padding
from slowfast_jax.inference.input_checks import check_boxes

MOST_STRETCH = 1.1  # how much one side of a frame may be stretched more than the other


class Uploaded(NamedTuple):
    """A video file that came with a request; nothing of it is written to disk."""

    content: bytes

    def read(self) -> bytes:
        return self.content

    def __str__(self) -> str:
        return "the video"


@dataclass(frozen=True, slots=True)
class UploadedFrames(Pictures):
    """Frames that came with a request as encoded pictures."""

    contents: Sequence[bytes]
    fps: float

    def open(self) -> tuple[int, Callable[[int], np.ndarray]]:
        return len(self.contents), self.read

    def read(self, index: int) -> np.ndarray:
        try:
            return read_image(io.BytesIO(self.contents[index]))
        except VideoError as error:
            raise VideoError(self.place(index), error.reason) from error

    def place(self, index: int) -> str:
        return f"frames[{index}]"

    def __str__(self) -> str:
        return "frames"


class BoxesAt(NamedTuple):
    """A keyframe of a request.

    Attributes:
      second: time from the first frame; None: the middle of the video.
      boxes: float32 (B, 4), x1, y1, x2, y2 in pixels of the video's frames.
    """

    second: float | None
    boxes: np.ndarray


class TooLong(ValueError):
    """A video of more seconds than the service accepts."""


def clips_of(
    video: Video, sampling: Mapping[str, Any], longest: float, thread_type: str
) -> tuple[VideoInfo, np.ndarray]:
    """Properties of a video, and its test clips (V, T, S, S, 3), uint8.

    Args:
      sampling: keywords of `iterate_views`.
      longest: seconds that the video may have.
      thread_type: how FFmpeg decodes a video in several threads, see decoding.select_frames.

    Raises:
      VideoError: it cannot be decoded.
      TooLong: it is longer than `longest`.
    """
    info = _checked_info(video, longest)
    views = iterate_views(video, **sampling, thread_type=thread_type, report=lambda info: None)
    return info, np.concatenate(list(views))


def keyframes_of(
    video: Video, moments: Sequence[BoxesAt], sampling: Mapping[str, Any],
    shapes: Sequence[Sequence[int]], most_boxes: int, longest: float, thread_type: str,
) -> tuple[VideoInfo, tuple[np.ndarray, np.ndarray], list[BoxesAt]]:
    """Properties of a video, the clips around some of its moments with their boxes, and these
    moments with their seconds.

    Clips are uint8 (V, T, H, W, 3), boxes float32 (V, most_boxes, 4) in pixels of the clips; rows
    beyond those of a moment are whole frames.

    Args:
      sampling: keywords of `iterate_views`, of which those of a clip count.
      shapes: those that clips may have, (T, H, W, 3). Frames are stretched to the one of the most
        similar aspect ratio, by MOST_STRETCH at most.
      most_boxes: boxes of a keyframe.
      longest, thread_type: as for `clips_of`.

    Raises:
      VideoError: it cannot be decoded.
      TooLong: it is longer than `longest`.
      ValueError: its aspect ratio fits none of the shapes; a moment is outside the video; a box is
        invalid, or there are too many.
    """
    info = _checked_info(video, longest)
    _, *size, _ = _closest(shapes, info)
    clips, boxes, complete = [], [], []
    for number, moment in enumerate(moments):
        second = info.duration / 2 if moment.second is None else moment.second
        try:
            keyframe = _keyframe(video, info, second, moment.boxes, most_boxes)
        except ValueError as error:
            raise ValueError(f"keyframes[{number}]: {error}") from error
        found = load_keyframe(
            keyframe, num_frames=sampling["num_frames"], sampling_rate=sampling["sampling_rate"],
            crop=min(size), max_boxes=most_boxes, num_classes=0, rng=None, size=tuple(size),
            thread_type=thread_type,
        )
        clips.append(found["clip"])
        boxes.append(with_padding(found["boxes"], found["box_mask"], found["clip"].shape))
        complete.append(moment._replace(second=second))
    return info, (np.stack(clips), np.stack(boxes)), complete


def _checked_info(video: Video, longest: float) -> VideoInfo:
    if isinstance(video, UploadedFrames):
        height, width, _ = video.read(0).shape
        count = len(video.contents)
        info = VideoInfo(count, video.fps, width, height, 0, count / video.fps, "images")
    else:
        info = probe(video)
    if info.duration > longest:
        raise TooLong(f"the video has {info.duration:.0f} seconds, more than {longest:g}")
    return info


def _closest(shapes: Sequence[Sequence[int]], info: VideoInfo) -> Sequence[int]:
    """The shape (T, H, W, 3) whose aspect ratio is most similar to the video's."""

    def stretch(shape: Sequence[int]) -> float:
        return abs(math.log(shape[2] / shape[1] * info.height / info.width))

    closest = min(shapes, key=stretch)
    if stretch(closest) > math.log(MOST_STRETCH):
        served = ", ".join(f"{width}x{height}" for _, height, width, _ in shapes)
        raise ValueError(
            f"frames of {info.width}x{info.height} fit none of the sizes that this service has "
            f"compiled, {served}; it must be started with their --aspect-ratios"
        )
    return closest


def _keyframe(
    video: Video, info: VideoInfo, second: float, boxes: np.ndarray, most: int
) -> Keyframe:
    if not 0 <= second <= info.duration:
        raise ValueError(f"second {second:g} is outside the video of {info.duration:g} seconds")
    if len(boxes) > most:
        raise ValueError(f"{len(boxes)} boxes; this service takes {most} (--max-boxes)")
    (boxes,) = check_boxes(boxes[None], (1, 1, info.height, info.width, 3))
    return Keyframe(
        video="the video", time=second, source=video, origin=0.0, fps=info.fps,
        boxes=boxes / np.float32([info.width, info.height] * 2), labels=((),) * len(boxes),
        scores=np.ones(len(boxes), np.float32),
    )
