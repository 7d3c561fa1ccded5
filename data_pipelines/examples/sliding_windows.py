"""Sliding windows over a whole video, for features or scores of long videos over time.

    for window in iterate_windows("day.mp4", num_frames=32, sampling_rate=2, stride=1.0): ...

The video is decoded once, from start to end, and only the frames of the current windows are in
memory, so that a video may have any length.
"""

import math
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from data_pipelines.sampling import clip_indices, clip_size
from data_pipelines.transforms import geometry
from data_pipelines.video import Video, image_files
from data_pipelines.video.decoding import (
    VideoError,
    decoded_frames,
    open_video,
    orientation_of,
    probe,
    upright_picture,
)
from data_pipelines.video.image_files import Pictures
from data_pipelines.video.times import gap_length, keeps_times


class Window(NamedTuple):
    """begin, end: seconds of the video that the clip spans; clip: uint8 (T,S,S,3) RGB.

    Seconds count gaps between recordings, across which a window may reach.
    """

    begin: float
    end: float
    clip: np.ndarray


class Cropped(NamedTuple):
    """picture: the center crop of a frame; gap: seconds of the gaps before it."""

    picture: np.ndarray
    gap: float = 0.0


def iterate_windows(
    source: Video,
    *,
    num_frames: int,
    sampling_rate: int,
    target_fps: float = 30.0,
    stride: float,
    crop: int = 256,
    thread_type: str = "AUTO",
) -> Iterator[Window]:
    """Yields a clip of num_frames * sampling_rate frames at `target_fps` every `stride` seconds.

    The first window begins with the video and the last one reaches its end. Positions past the end
    give the last frame. Frames are scaled to a short side of `crop` and cropped to the center
    square, as in tests with one crop.

    Args:
        stride: seconds from one window to the next, at least a frame.
        thread_type: see decoding.select_frames.

    Raises:
        VideoError: no frame of the video can be decoded, or the size of the picture changes.
        ValueError: a stride of less than a frame.
    """
    if isinstance(source, Pictures):
        fps = source.fps or target_fps
        pictures = _image_pictures(source, crop)
    else:
        fps, pictures = _video_pictures(source, crop, thread_type)
    step = stride * fps
    if step < 1:
        raise ValueError(
            f"{source} has {fps:.4g} frames per second, too few for a clip every {stride:.4g} "
            f"seconds, which needs at least {1 / stride:.4g}"
        )
    size = clip_size(num_frames, sampling_rate, fps, target_fps)
    held: deque[Cropped] = deque()  # the first of them is frame number `oldest`
    oldest = count = number = 0

    def window(last: int) -> Window:
        start = number * step
        indices = clip_indices(last + 1, start, size, num_frames)
        frames = [held[index - oldest] for index in indices]
        begin, end = start / fps + frames[0].gap, (start + size) / fps + frames[-1].gap
        return Window(begin, end, np.stack([frame.picture for frame in frames]))

    for picture in pictures:
        if count < math.floor(number * step):  # in a gap between windows
            oldest = count + 1
        else:
            held.append(picture)
        count += 1
        while number * step + size <= count:
            yield window(count - 1)
            number += 1
            while oldest < math.floor(number * step) and held:
                held.popleft()
                oldest += 1
    covered = (number - 1) * step + size if number else 0
    if covered < count and number * step < count:
        yield window(count - 1)


def _video_pictures(
    path: str, crop: int, thread_type: str
) -> tuple[float, Iterator[Cropped]]:
    """The frame rate and the center crops (crop,crop,3) of all frames."""
    fps = probe(path).fps

    def pictures() -> Iterator[Cropped]:
        drawn = orientation = before = None
        gap = 0.0
        with open_video(path, thread_type) as (container, stream):
            for frame in decoded_frames(container, stream, []):
                if orientation is None:
                    orientation = orientation_of(frame)
                picture = upright_picture(frame, orientation, None)
                if drawn is None:
                    drawn = geometry.center(*picture.shape[:2], short_side=crop, crop=crop)
                elif picture.shape[:2] != drawn.source:
                    raise VideoError(
                        path, "the frame size changes; re-encode the video to one size"
                    )
                if frame.pts is not None and keeps_times(container, stream):
                    if before is not None:
                        interval = float((frame.pts - before) * stream.time_base)
                        gap += interval - 1 / fps if interval > gap_length(fps) else 0.0
                    before = frame.pts
                yield Cropped(geometry.apply(picture[None], drawn)[0], gap)
        if drawn is None:
            raise VideoError(path, "no frame can be decoded; download it again, or leave it out")

    return fps, pictures()


def _image_pictures(files: Pictures, crop: int) -> Iterator[Cropped]:
    """The center crops of all image files."""
    drawn = None
    for _, picture in image_files.iterate_frames(files):
        drawn = drawn or geometry.center(*picture.shape[:2], short_side=crop, crop=crop)
        yield Cropped(geometry.apply(picture[None], drawn)[0])
