"""The frames of a video with their times, as the demo passes them on.

A frame stays as the decoder returned it, which takes half of the memory of an RGB picture, until
somebody asks for the picture.
"""

from collections.abc import Iterator
from typing import NamedTuple

import av
import numpy as np

from data_pipelines.video import Video, image_files
from data_pipelines.video.decoding import open_video, orientation_of, probe, upright_picture
from data_pipelines.video.encoding import timed_frames
from data_pipelines.video.image_files import Pictures
from data_pipelines.video.opening import VideoError, check_size, size_change

UPRIGHT = (False, False, False)


class Colors(NamedTuple):
    """How the values of pixels stand for colors: numbers of ITU-T H.273; 2: not stated."""

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
      time: seconds after the first frame.
      stored: the decoded frame, or uint8 (H, W, 3) RGB of an image file.
      orientation: how a decoded frame is turned upright; see decoding.orientation_of.
      arrived: `time.monotonic()` when it came from a camera or stream; 0 in files.
      colors: those of a decoded frame. Its own attributes change while a conversion of it runs.
    """

    time: float
    stored: av.VideoFrame | np.ndarray
    orientation: tuple[bool, bool, bool] = UPRIGHT
    arrived: float = 0.0
    colors: Colors = Colors()

    def picture(self) -> np.ndarray:
        """The upright picture, uint8 (H, W, 3) RGB; a new array, into which one may draw."""
        if isinstance(self.stored, np.ndarray):
            return self.stored.copy()
        return np.ascontiguousarray(upright_picture(self.stored, self.orientation, None))

    @property
    def bytes(self) -> int:
        """Memory that the frame takes."""
        if isinstance(self.stored, np.ndarray):
            return self.stored.nbytes
        return sum(plane.buffer_size for plane in self.stored.planes)


class Info(NamedTuple):
    """Properties of a source of frames.

    Attributes:
      fps: the usual number of frames per second.
      width, height: of the upright picture in pixels.
      duration: seconds; 0 if unknown, as of cameras and streams.
    """

    fps: float
    width: int
    height: int
    duration: float = 0.0


def colors_of(frame: av.VideoFrame) -> Colors:
    """The colors that a decoded frame states."""
    return Colors(frame.colorspace, frame.color_primaries, frame.color_trc)


def open_frames(video: Video, fps: float = 30.0) -> tuple[Info, Iterator[Frame]]:
    """Properties and frames of a video file, or of frames stored as image files.

    Args:
      video: the video.
      fps: frame rate of image files that state none.

    Returns:
      The properties, and an iterator over the frames in order of time. The iterator raises
      VideoError after the last frame if the file is damaged or cut short.

    Raises:
      VideoError: it is not a video, or no frame can be decoded.
    """
    if isinstance(video, Pictures):
        rate = video.fps or fps
        count, read = video.open()
        height, width = read(0).shape[:2]
        frames = (
            Frame(number / rate, picture)
            for number, picture in image_files.iterate_frames(video)
        )
        return Info(rate, width, height, count / rate), frames
    info = probe(video)
    return Info(info.fps, info.width, info.height, info.duration), _decoded(video)


def _decoded(video: Video) -> Iterator[Frame]:
    orientation = size = colors = None
    with open_video(video, "AUTO") as (container, stream):
        for time, frame in timed_frames(container, stream):
            if size is None:
                check_size(video, frame.width, frame.height)
                orientation, size = orientation_of(frame), (frame.width, frame.height)
                colors = colors_of(frame)
            elif (frame.width, frame.height) != size:
                after = frame.width, frame.height
                raise VideoError(video, size_change(size, after, f"second {float(time):.2f}"))
            yield Frame(float(time), frame, orientation, colors=colors)
