"""Frames of a video for people to look at: whole ones, no larger than a page needs."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from PIL import Image

from data_pipelines.video import Video, image_files, seeking
from data_pipelines.video.decoding import VideoInfo
from data_pipelines.video.image_files import Pictures

LARGEST = 480  # short side of a picture; larger ones are reduced to it
CHUNK = 32  # frames read at a time


def look(
    source: Video, choose: Callable[[VideoInfo], Sequence[int]]
) -> tuple[VideoInfo, np.ndarray]:
    """The frames that `choose(info)` names, uint8 (n,H,W,3) RGB in rising order, each once.

    Reads no more of a long video than it must. `info` tells how many frames there are and, unless
    they are image files, how many a second.

    Raises:
        VideoError: a frame cannot be had.
    """
    select = image_files if isinstance(source, Pictures) else seeking
    info, _, pictures = select.select_frames(source, choose, transform=_reduced)
    return info, pictures


def still(source: Video, seconds: float, fps: float = 0.0) -> np.ndarray:
    """The frame so many seconds after the first, at the end the last one: uint8 (H,W,3) RGB.

    `fps` is that of image files; a video file tells itself (0).
    """

    def choose(info: VideoInfo) -> list[int]:
        return [min(max(round(seconds * (fps or info.fps)), 0), info.frames - 1)]

    return look(source, choose)[1][0]


def middle(source: Video) -> np.ndarray:
    """The frame in the middle: uint8 (H,W,3) RGB."""
    return look(source, lambda info: [info.frames // 2])[1][0]


def play(source: Video, first: int, stop: int) -> Iterator[np.ndarray]:
    """Frames `first` to `stop`, that one left out: uint8 (H,W,3) RGB, a few in memory at a time."""
    for start in range(first, stop, CHUNK):
        chosen = np.arange(start, min(start + CHUNK, stop))
        yield from look(source, partial(_there, chosen))[1]


def _there(chosen: np.ndarray, info: VideoInfo) -> np.ndarray:
    """What `chosen` are there: read another way, a video may have fewer frames than it tells."""
    return np.unique(np.minimum(chosen, info.frames - 1))


def _reduced(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    if min(height, width) <= LARGEST:
        return picture
    scale = LARGEST / min(height, width)
    size = (round(width * scale), round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
