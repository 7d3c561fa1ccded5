"""Reads uncropped frames for people to look at, reduced to a size that suits reports."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from PIL import Image

from data_pipelines.video import Video, image_files, seeking
from data_pipelines.video.decoding import VideoInfo
from data_pipelines.video.image_files import Pictures

LARGEST = 480  # short side in pixels to which larger pictures are reduced
CHUNK = 32  # frames read at a time


def look(
    source: Video, choose: Callable[[VideoInfo], Sequence[int]]
) -> tuple[VideoInfo, np.ndarray]:
    """Reads the frames whose indices `choose(info)` returns, seeking in long videos.

    Args:
        source: the video.
        choose: returns frame indices. Its `info` holds the number of frames and, except for image
            files, the frame rate.

    Returns:
        (info, frames): uint8 (n,H,W,3) RGB, sorted by index without repetition.

    Raises:
        VideoError: a frame cannot be read.
    """
    select = image_files if isinstance(source, Pictures) else seeking
    info, _, pictures = select.select_frames(source, choose, transform=_reduced)
    return info, pictures


def still(source: Video, seconds: float, fps: float = 0.0) -> np.ndarray:
    """The frame at `seconds` after the first, or the last frame beyond the end.

    Args:
        source: the video.
        seconds: time after the first frame.
        fps: frame rate of image files; 0 uses the rate stated by the video file.

    Returns:
        uint8 (H,W,3) RGB.

    Raises:
        VideoError: the frame cannot be read.
    """

    def choose(info: VideoInfo) -> list[int]:
        return [min(max(round(seconds * (fps or info.fps)), 0), info.frames - 1)]

    return look(source, choose)[1][0]


def middle(source: Video) -> np.ndarray:
    """The middle frame: uint8 (H,W,3) RGB."""
    return look(source, lambda info: [info.frames // 2])[1][0]


def play(source: Video, first: int, stop: int) -> Iterator[np.ndarray]:
    """Yields the frames from `first` up to, not including, `stop`: uint8 (H,W,3) RGB.

    Only a few frames are in memory at a time.
    """
    for start in range(first, stop, CHUNK):
        chosen = np.arange(start, min(start + CHUNK, stop))
        yield from look(source, partial(_clamped, chosen))[1]


def _clamped(chosen: np.ndarray, info: VideoInfo) -> np.ndarray:
    """`chosen` within the video, which may have fewer frames than its header claims."""
    return np.unique(np.minimum(chosen, info.frames - 1))


def _reduced(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    if min(height, width) <= LARGEST:
        return picture
    scale = LARGEST / min(height, width)
    size = (round(width * scale), round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
