"""The test views of a video: `clips` clips evenly in time, each in `crops` crops.

As the original tests (datasets/kinetics.py and tools/test_net.py): every view is scored by itself
and the scores are combined per video; view id = clip * crops + crop.
"""

import logging
import os
from collections.abc import Callable, Iterator

import numpy as np

from data_pipelines.sampling import clip_indices, clip_size, clip_start, crop_positions
from data_pipelines.transforms import uniform_crop
from data_pipelines.video import VideoInfo, select_frames

logger = logging.getLogger(__name__)


def count_views(clips: int, crops: int) -> int:
    """How many views a video is tested with."""
    return clips * len(crop_positions(crops))


def view_indices(
    info: VideoInfo,
    *,
    num_frames: int,
    sampling_rate: int,
    target_fps: float,
    clips: int,
    offset_sampling: bool = False,
) -> np.ndarray:
    """Frames of each test clip: int64 (clips, num_frames), clips in time order."""
    size = clip_size(num_frames, sampling_rate, info.fps, target_fps)
    starts = [clip_start(info.frames, size, i, clips, offset_sampling) for i in range(clips)]
    return np.stack([clip_indices(info.frames, start, size, num_frames) for start in starts])


def iterate_views(
    path: str | os.PathLike,
    *,
    num_frames: int,
    sampling_rate: int,
    target_fps: float,
    clips: int,
    crops: int,
    test_crop: int,
    offset_sampling: bool = False,
    train_jitter_min: int | None = None,
    thread_type: str = "AUTO",
    report: Callable[[VideoInfo], None] | None = None,
) -> Iterator[np.ndarray]:
    """Yields the clips of a video in time order, each uint8 (crops,T,S,S,3) RGB, S = `test_crop`.

    With two or three crops the short side is `test_crop` and they lie left (top), centre and right
    (bottom). One crop is the centre of frames whose short side is `train_jitter_min` (the
    original's DATA.TRAIN_JITTER_SCALES[0]; `test_crop` where None).

    The video is decoded once, to its end, because the clips lie where the true number of frames
    puts them. In memory are only the frames that its clips need, resized, each once.

    Args:
        thread_type: see video.select_frames.
        report: is told what the file holds before the first clip, also what is wrong with it
            (`VideoInfo.warning`, which is logged otherwise).

    Raises:
        VideoError: no frame of the video can be had (on the first step).
        ValueError: `test_crop` is larger than `train_jitter_min`, or crops or clips make no sense.
    """
    positions = crop_positions(crops)
    if clips < 1:
        raise ValueError(f"clips is {clips}; a video is tested with at least 1")
    short_side = test_crop
    if crops == 1 and train_jitter_min is not None:
        short_side = train_jitter_min
    if test_crop > short_side:
        raise ValueError(
            f"test_crop {test_crop} does not fit frames resized to train_jitter_min "
            f"{train_jitter_min}; take 3 crops, or a crop of at most {train_jitter_min}"
        )

    def indices(info: VideoInfo) -> np.ndarray:
        return view_indices(
            info,
            num_frames=num_frames,
            sampling_rate=sampling_rate,
            target_fps=target_fps,
            clips=clips,
            offset_sampling=offset_sampling,
        )

    info, found, frames = select_frames(
        path, lambda info: indices(info).ravel(), short_side=short_side, thread_type=thread_type
    )
    if report is not None:
        report(info)
    elif info.warning:
        logger.warning("%s: %s", path, info.warning)

    for row in indices(info):
        pictures = frames[np.searchsorted(found, row)]  # (T,H,W,3)
        yield np.stack([uniform_crop(pictures, test_crop, position) for position in positions])
