"""Which frames of a video make a clip, and which crops of it make a view: numbers only.

Everything here follows PySlowFast's datasets/decoder.py and datasets/utils.py to the last bit,
because an index that is off by one changes the published accuracy. Positions are counted in frames
of the source video, may be fractional, and start at 0.
"""

import math

import numpy as np


def clip_size(num_frames: int, sampling_rate: int, fps: float, target_fps: float = 30.0) -> float:
    """Source frames that one clip spans, at least 1; fractional where the rates do not match."""
    return max(1.0, sampling_rate * num_frames / target_fps * fps)


def clip_start(
    video_frames: float, size: float, index: int, clips: int, offset_sampling: bool = False
) -> float:
    """First frame of test clip `index` of `clips`.

    Without `offset_sampling` the clips start at `delta * index / clips`, so the last one ends
    before the video does; with it they start at whole frames, the last at the end, and a single
    clip in the middle.
    """
    if not 0 <= index < clips:
        raise ValueError(f"clip index {index} is outside 0..{clips - 1}")
    delta = max(video_frames - size, 0)
    if not offset_sampling:
        return delta * index / clips
    if clips == 1:
        return math.floor(delta / 2)
    return index * math.floor(delta / (clips - 1))


def random_clip_start(video_frames: float, size: float, draw: float) -> float:
    """First frame of a training clip, for a `draw` uniform in [0, 1)."""
    return max(video_frames - size, 0) * draw


def linspace_indices(start: float, end: float, count: int, video_frames: int) -> np.ndarray:
    """`count` frames evenly from `start` to `end`, both included: int64 (count,).

    Equal to `torch.linspace(start, end, count).clamp(0, video_frames - 1).long()`: a float32 step,
    counted from the start in the first half and back from the end in the second, each position
    rounded once (a fused multiply-add, which the float64 product and sum reproduce), then
    truncated.
    """
    first, last = np.float32(start), np.float32(end)
    if count == 1:
        positions = np.array([first])
    else:
        step = np.float64((last - first) / np.float32(count - 1))
        steps = np.arange(count)
        forward = (np.float64(first) + step * steps).astype(np.float32)
        backward = (np.float64(last) - step * (count - 1 - steps)).astype(np.float32)
        positions = np.where(steps < count // 2, forward, backward)
    return np.clip(positions, 0, video_frames - 1).astype(np.int64)


def clip_indices(video_frames: int, start: float, size: float, num_frames: int) -> np.ndarray:
    """Frames of the clip of `size` source frames at `start`: int64 (num_frames,).

    The last frame taken is start + size - 1, so neighbors are (size - 1) / (num_frames - 1)
    apart. What lies past the end of the video repeats its last frame.
    """
    return linspace_indices(start, start + size - 1, num_frames, video_frames)


def trimmed_clip_indices(
    video_frames: int, fps: float, start: float, size: float, num_frames: int, ticks_per_second: int
) -> np.ndarray:
    """Like `clip_indices`, as the original's torchvision backend reads a clip out of a long video.

    That backend cuts [start, end] out of the video by time stamps, truncated to 1 /
    `ticks_per_second`, and samples the frames it got from 0 on. A fractional start therefore drops
    the frame before it, and the last index repeats. It reads this way only where the video has
    more than num_frames * sampling_rate frames, and else as `clip_indices` does.
    """
    ticks_per_frame = ticks_per_second / fps
    stamps = np.round(np.arange(video_frames) / fps * ticks_per_second)
    end = start + size - 1
    first_stamp, last_stamp = int(start * ticks_per_frame), int(end * ticks_per_frame)
    cut = np.flatnonzero((stamps >= first_stamp) & (stamps <= last_stamp))
    return cut[linspace_indices(0, size - 1, num_frames, len(cut))]


def segment_indices(video_frames: int, num_frames: int) -> np.ndarray:
    """The frame in the middle of each of `num_frames` equal segments: int64 (num_frames,).

    As the original tests Something-Something (datasets/ssv2.py): one clip, the whole video long,
    whatever its frame rate. Borders are rounded half to even, middles down.
    """
    borders = _segment_borders(video_frames, num_frames)
    return (borders[:-1] + borders[1:]) // 2


def random_segment_indices(video_frames: int, num_frames: int, draws: np.ndarray) -> np.ndarray:
    """A frame anywhere in each segment, both borders included: int64 (num_frames,).

    As the original trains on Something-Something; neighboring segments share a border.

    Args:
        draws: (num_frames,), uniform in [0, 1).
    """
    borders = _segment_borders(video_frames, num_frames)
    return borders[:-1] + (draws * (np.diff(borders) + 1)).astype(np.int64)


def _segment_borders(video_frames: int, num_frames: int) -> np.ndarray:
    return np.round((video_frames - 1) / num_frames * np.arange(num_frames + 1)).astype(np.int64)


def strided_indices(
    video_frames: int, num_frames: int, sampling_rate: int, index: int, clips: int
) -> np.ndarray:
    """Every `sampling_rate`-th frame of test clip `index` of `clips`: int64 (num_frames,).

    As the original tests Charades (datasets/charades.py), whatever the frame rate: the first clip
    starts with the video and the last ends with it, starts being rounded half to even. A single
    clip lies in the middle (the original divides by zero). What lies past the end of the video
    repeats its last frame.
    """
    if not 0 <= index < clips:
        raise ValueError(f"clip index {index} is outside 0..{clips - 1}")
    room = max(video_frames - ((num_frames - 1) * sampling_rate + 1), 0)
    start = round(room / (clips - 1) * index) if clips > 1 else round(room / 2)
    return np.minimum(start + np.arange(num_frames) * sampling_rate, video_frames - 1)


def random_strided_indices(
    video_frames: int, num_frames: int, sampling_rate: int, draw: float
) -> np.ndarray:
    """Every `sampling_rate`-th frame from a random one on: int64 (num_frames,), as the original
    trains on Charades.

    In a video shorter than the clip the start lies before its beginning: what is not there repeats
    the first frame or the last.

    Args:
        draw: uniform in [0, 1).
    """
    room = video_frames - ((num_frames - 1) * sampling_rate + 1)
    start = min(room, 0) + int(draw * (abs(room) + 1))
    return np.clip(start + np.arange(num_frames) * sampling_rate, 0, video_frames - 1)


def slow_indices(num_frames: int, alpha: int) -> np.ndarray:
    """Frames of the fast clip that the slow pathway sees: int64 (num_frames // alpha,)."""
    return linspace_indices(0, num_frames - 1, num_frames // alpha, num_frames)


def crop_positions(crops: int) -> tuple[int, ...]:
    """Where the crops of a test clip lie: 0 left or top, 1 center, 2 right or bottom."""
    if crops not in (1, 2, 3):
        raise ValueError(f"crops is {crops}; a test clip has 1, 2 or 3 crops")
    return (1,) if crops == 1 else tuple(range(crops))


def view_table(clips: int, crops: int) -> list[tuple[int, int]]:
    """(clip, crop position) of each view of a video; view id = clip * crops + crop."""
    return [(clip, position) for clip in range(clips) for position in crop_positions(crops)]


def keyframe_indices(
    center: int, num_frames: int, sampling_rate: int, video_frames: int
) -> np.ndarray:
    """Frames of the clip around frame `center`: int64 (num_frames,), clamped to the video (AVA).

    Every `sampling_rate`-th frame from center - num_frames * sampling_rate // 2 on, so `center`
    itself is frame num_frames // 2 of the clip wherever num_frames is even. With a rate of 0 it is
    every frame of the clip.
    """
    first = center - num_frames * sampling_rate // 2
    return np.clip(first + sampling_rate * np.arange(num_frames), 0, video_frames - 1)
