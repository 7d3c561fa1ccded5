"""Reads uncropped frames for people to look at, reduced to a size that suits reports."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image

from data_pipelines.video import Video, image_files, playing, seeking
from data_pipelines.video.decoding import VideoInfo
from data_pipelines.video.image_files import Pictures

LARGEST = 480  # short side in pixels to which larger pictures are reduced


def look(
    source: Video, choose: Callable[[VideoInfo], Sequence[int]], *, by_time: bool = False
) -> tuple[VideoInfo, np.ndarray]:
    """Reads the frames whose indices `choose(info)` returns, seeking in long videos.

    Args:
        source: the video.
        choose: returns frame indices. Its `info` holds the number of frames and, except for image
            files, the frame rate.
        by_time: see seeking.select_frames.

    Returns:
        (info, frames): uint8 (n,H,W,3) RGB, sorted by index without repetition.

    Raises:
        VideoError: a frame cannot be read.
    """
    if isinstance(source, Pictures):
        info, _, pictures = image_files.select_frames(source, choose, transform=_reduced)
    else:
        info, _, pictures = seeking.select_frames(
            source, choose, transform=_reduced, by_time=by_time
        )
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

    return look(source, choose, by_time=True)[1][0]


def middle(source: Video) -> np.ndarray:
    """The middle frame: uint8 (H,W,3) RGB."""
    return look(source, lambda info: [info.frames // 2])[1][0]


def play(
    source: Video, first: int = 0, stop: int | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (number, frame) from `first` up to, not including, `stop` or the end, in one pass.

    Numbers are those of `look`. Those that lie in a gap between recordings are left out.

    Args:
        source: the video.
        first, stop: frame numbers; see playing.iterate_frames.

    Yields:
        The number, and uint8 (H,W,3) RGB.

    Raises:
        VideoError: no frame can be read, or the picture changes its size.
    """
    if isinstance(source, Pictures):
        for number, picture in image_files.iterate_frames(source, first, stop):
            yield number, _reduced(picture)
    else:
        yield from playing.iterate_frames(source, first, stop, transform=_reduced)


def _reduced(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    if min(height, width) <= LARGEST:
        return picture
    scale = LARGEST / min(height, width)
    size = (round(width * scale), round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
