"""Test views of a video: evenly spaced clips, each with one or more crops.

As in the original (tools/test_net.py), the network scores each view and the scores are combined per
video; view number = clip * crops + crop. The positions of clips and crops follow the original's
data sets (datasets/kinetics.py, ssv2.py, charades.py), or MMAction2's SampleFrames, ThreeCrop and
CenterCrop. `sampling` chooses one:

- "kinetics": evenly spaced clips of num_frames * sampling_rate frames at target_fps; a single crop
  is the center.
- "ssv2": each clip spans the whole video, with one frame from each of num_frames segments; a single
  crop is the left or top one.
- "charades": clips of every sampling_rate-th frame, from the start to the end; crops as "ssv2".
- "mmaction2": clips as "charades", but a video that is too short starts over instead of repeating
  its last frame; a single crop is the center.
- "mmaction2_v0": as "mmaction2", but clips lie in the middles of equal parts of the video. This is
  how MMAction2 tested up to version 1.0.0rc1.

Resized frames and crops of the last two may differ by a pixel from the others: the longer side is
rounded to the nearest pixel, and a center between two pixels is rounded down.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from data_pipelines.sampling import (
    clip_indices,
    clip_size,
    clip_start,
    crop_positions,
    looped_indices,
    looped_middle_indices,
    segment_indices,
    strided_indices,
)
from data_pipelines.transforms.resize import even_crop, resize_short_side, uniform_crop
from data_pipelines.video import Video, decoding, image_files
from data_pipelines.video.decoding import VideoInfo
from data_pipelines.video.image_files import Pictures

MMACTION2 = ("mmaction2", "mmaction2_v0")
SAMPLINGS = ("kinetics", "ssv2", "charades", *MMACTION2)
# Samplings that ignore the frame rate -> frames of a test clip.
OF_CLIP = {
    "charades": strided_indices, "mmaction2": looped_indices, "mmaction2_v0": looped_middle_indices,
}
logger = logging.getLogger(__name__)


def view_indices(
    info: VideoInfo,
    *,
    num_frames: int,
    sampling_rate: int,
    target_fps: float,
    clips: int,
    offset_sampling: bool = False,
    sampling: str = "kinetics",
) -> np.ndarray:
    """Frame numbers of each test clip: int64 (clips, num_frames), clips in order of time.

    If the frame rate is unknown (info.fps is 0), it is taken to be `target_fps`. `offset_sampling`
    (see sampling.clip_start) has a meaning for "kinetics" only.
    """
    if sampling == "ssv2":
        return np.tile(segment_indices(info.frames, num_frames), (clips, 1))
    if sampling in OF_CLIP:
        return np.stack([
            OF_CLIP[sampling](info.frames, num_frames, sampling_rate, i, clips)
            for i in range(clips)
        ])
    size = clip_size(num_frames, sampling_rate, info.fps or target_fps, target_fps)
    starts = [clip_start(info.frames, size, i, clips, offset_sampling) for i in range(clips)]
    return np.stack([clip_indices(info.frames, start, size, num_frames) for start in starts])


def iterate_views(
    source: Video,
    *,
    num_frames: int,
    sampling_rate: int,
    target_fps: float,
    clips: int,
    crops: int,
    test_crop: int,
    offset_sampling: bool = False,
    sampling: str = "kinetics",
    train_jitter_min: int | None = None,
    thread_type: str = "AUTO",
    report: Callable[[VideoInfo], None] | None = None,
) -> Iterator[np.ndarray]:
    """Yields the test clips of a video in time order: uint8 (crops,T,S,S,3) RGB, S = `test_crop`.

    With two or three crops, frames are scaled to a short side of `test_crop`, and the crops lie
    left (top), center and right (bottom). A single crop of the samplings "kinetics" and those of
    MMAction2 is the center of frames whose short side is `train_jitter_min` (the original's
    DATA.TRAIN_JITTER_SCALES[0]), or `test_crop` if that is None; of other samplings it is the left
    (top) one.

    A video file is decoded once, to its end, because the positions of the clips depend on the
    number of frames that decoding really gives. Only the frames of the clips are kept in memory,
    resized, each once.

    Args:
        sampling: one of SAMPLINGS, see the module.
        thread_type: see decoding.select_frames.
        report: called with the VideoInfo before the first clip. Without it, damage of the file
            (`VideoInfo.warning`) is logged.

    Raises:
        VideoError: before the first clip, if no frame of the video can be decoded or an image file
            that the clips need cannot be read.
        ValueError: `test_crop` is larger than `train_jitter_min`, or crops, clips or sampling are
            out of range.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling is {sampling!r}; expected one of {', '.join(SAMPLINGS)}")
    centered = sampling in ("kinetics", *MMACTION2)
    positions = crop_positions(crops)
    if crops == 1 and not centered:
        positions = (0,)
    if clips < 1:
        raise ValueError(f"clips is {clips}; expected at least 1 test clip per video")
    short_side = test_crop
    if crops == 1 and centered and train_jitter_min is not None:
        short_side = train_jitter_min
    if test_crop > short_side:
        raise ValueError(
            f"test_crop {test_crop} does not fit frames resized to train_jitter_min "
            f"{train_jitter_min}; use 3 crops, or a crop of at most {train_jitter_min}"
        )

    def indices(info: VideoInfo) -> np.ndarray:
        return view_indices(
            info,
            num_frames=num_frames,
            sampling_rate=sampling_rate,
            target_fps=target_fps,
            clips=clips,
            offset_sampling=offset_sampling,
            sampling=sampling,
        )

    if isinstance(source, Pictures):
        select = image_files.select_frames
    else:
        select = partial(decoding.select_frames, thread_type=thread_type)
    nearest = sampling in MMACTION2
    crop = even_crop if nearest else uniform_crop
    info, found, frames = select(
        source, lambda info: indices(info).ravel(),
        transform=lambda picture: resize_short_side(picture[None], short_side, nearest=nearest)[0],
    )
    if report is not None:
        report(info)
    elif info.warning:
        logger.warning("%s: %s", source, info.warning)

    for row in indices(info):
        pictures = frames[np.searchsorted(found, row)]  # (T,H,W,3)
        yield np.stack([crop(pictures, test_crop, position) for position in positions])
