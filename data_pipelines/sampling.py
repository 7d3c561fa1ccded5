"""Frame numbers of clips, and positions of crops.

Everything here follows PySlowFast's datasets/decoder.py and datasets/utils.py, or MMAction2's
SampleFrames (mmaction/datasets/transforms/loading.py), to the last bit, because an index that is
off by one changes the published accuracy. Positions are in frames of the source video, starting at
0; they may be fractional.
"""

import math

import numpy as np


def clip_size(num_frames: int, sampling_rate: int, fps: float, target_fps: float = 30.0) -> float:
    """The number of source frames that a clip spans: at least 1, and fractional in general."""
    return max(1.0, sampling_rate * num_frames / target_fps * fps)


def clip_start(
    video_frames: float, size: float, index: int, clips: int, offset_sampling: bool = False
) -> float:
    """First frame of test clip `index` of `clips`.

    With delta = max(video_frames - size, 0), clips start at `delta * index / clips`, so that the
    last one ends before the video does. With `offset_sampling` they start at whole frames, the last
    one ends with the video, and a single clip lies in the middle.
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
    """`count` evenly spaced frames from `start` to `end`, both included: int64 (count,).

    Equal to `torch.linspace(start, end, count).clamp(0, video_frames - 1).long()`. PyTorch has a
    float32 step, counts from the start in the first half and back from the end in the second,
    rounds each position once (a fused multiply-add, reproduced here by a product and sum in
    float64) and truncates it.
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

    The last position is start + size - 1, so neighbors are (size - 1) / (num_frames - 1) frames
    apart. Positions past the end of the video give its last frame.
    """
    return linspace_indices(start, start + size - 1, num_frames, video_frames)


def segment_indices(video_frames: int, num_frames: int) -> np.ndarray:
    """The frame in the middle of each of `num_frames` equal segments: int64 (num_frames,).

    The original's test clip of Something-Something (datasets/ssv2.py), which spans the whole video
    whatever its frame rate. Borders of segments are rounded half to even, middles down.
    """
    borders = _segment_borders(video_frames, num_frames)
    return (borders[:-1] + borders[1:]) // 2


def random_segment_indices(video_frames: int, num_frames: int, draws: np.ndarray) -> np.ndarray:
    """A random frame of each segment, both borders included: int64 (num_frames,).

    The original's training clip of Something-Something. Neighboring segments share a border.

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

    The original's test clips of Charades (datasets/charades.py), whatever the frame rate: the first
    clip starts with the video and the last one ends with it; starts are rounded half to even. A
    single clip lies in the middle (the original divides by zero). Positions past the end of the
    video give its last frame.
    """
    if not 0 <= index < clips:
        raise ValueError(f"clip index {index} is outside 0..{clips - 1}")
    room = max(video_frames - ((num_frames - 1) * sampling_rate + 1), 0)
    start = round(room / (clips - 1) * index) if clips > 1 else round(room / 2)
    return np.minimum(start + np.arange(num_frames) * sampling_rate, video_frames - 1)


def random_strided_indices(
    video_frames: int, num_frames: int, sampling_rate: int, draw: float
) -> np.ndarray:
    """Every `sampling_rate`-th frame from a random start: int64 (num_frames,).

    The original's training clip of Charades. If the video is shorter than the clip, the clip may
    begin before the video; positions outside the video give its first or last frame.

    Args:
        draw: uniform in [0, 1).
    """
    room = video_frames - ((num_frames - 1) * sampling_rate + 1)
    start = min(room, 0) + int(draw * (abs(room) + 1))
    return np.clip(start + np.arange(num_frames) * sampling_rate, 0, video_frames - 1)


def looped_indices(
    video_frames: int, num_frames: int, sampling_rate: int, index: int, clips: int
) -> np.ndarray:
    """Every `sampling_rate`-th frame of test clip `index` of `clips`: int64 (num_frames,).

    MMAction2's test clips since version 1.0.0rc2, whatever the frame rate: the first clip starts
    with the video and the last one ends with it; starts are rounded half to even. A single clip
    lies in the middle, rounded down. After the last frame the video starts over.
    """
    if not 0 <= index < clips:
        raise ValueError(f"clip index {index} is outside 0..{clips - 1}")
    room = max(video_frames - ((num_frames - 1) * sampling_rate + 1), 0)
    start = round(index * (room / (clips - 1))) if clips > 1 else room // 2
    return _looped(video_frames, start, num_frames, sampling_rate)


def looped_middle_indices(
    video_frames: int, num_frames: int, sampling_rate: int, index: int, clips: int
) -> np.ndarray:
    """As `looped_indices`, by the rule of MMAction2 up to version 1.0.0rc1.

    The range of possible starts is cut into `clips` equal parts, and each clip starts in the middle
    of its part, rounded down. A clip counts as num_frames * sampling_rate frames. In a video that
    is shorter, all clips start with the video.
    """
    if not 0 <= index < clips:
        raise ValueError(f"clip index {index} is outside 0..{clips - 1}")
    part = max(video_frames - num_frames * sampling_rate + 1, 0) / clips
    start = int(index * part + part / 2)
    return _looped(video_frames, start, num_frames, sampling_rate)


def random_looped_indices(
    video_frames: int, num_frames: int, sampling_rate: int, draws: np.ndarray
) -> np.ndarray:
    """Every `sampling_rate`-th frame of random clips: int64 (clips, num_frames), in order of time.

    MMAction2's training clips. The range of possible starts is cut into as many equal parts as
    there are clips, and each clip starts at a random frame of its part. If there are fewer starts
    than clips, the starts are drawn independently and sorted, or, if the video is not longer than a
    clip or does not have more frames than there are clips, spread evenly. In a video that is
    shorter than a clip, all clips start with the video. After the last frame the video starts over.

    Args:
        draws: (clips,), uniform in [0, 1).
    """
    clips = len(draws)
    starts = video_frames - num_frames * sampling_rate + 1
    part = starts // clips
    if part > 0:
        chosen = np.arange(clips) * part + (draws * part).astype(np.int64)
    elif starts > 1 and video_frames > clips:
        chosen = np.sort((draws * starts).astype(np.int64))
    else:
        chosen = np.round(np.arange(clips) * (max(starts, 0) / clips)).astype(np.int64)
    return _looped(video_frames, chosen[:, None], num_frames, sampling_rate)


def _looped(
    video_frames: int, start: int | np.ndarray, num_frames: int, sampling_rate: int
) -> np.ndarray:
    return (start + np.arange(num_frames) * sampling_rate) % video_frames


def crop_positions(crops: int) -> tuple[int, ...]:
    """Positions of the crops of a test clip: 0 left or top, 1 center, 2 right or bottom."""
    if crops not in (1, 2, 3):
        raise ValueError(f"crops is {crops}; expected 1, 2 or 3 crops of a test clip")
    return (1,) if crops == 1 else tuple(range(crops))


def keyframe_indices(
    center: int, num_frames: int, sampling_rate: int, video_frames: int
) -> np.ndarray:
    """Frames of the clip around a keyframe: int64 (num_frames,), clamped to the video (AVA).

    Every `sampling_rate`-th frame from center - num_frames * sampling_rate // 2 on, so that for an
    even num_frames, `center` is frame num_frames // 2 of the clip. With a rate of 0, all frames of
    the clip are `center`.
    """
    first = center - num_frames * sampling_rate // 2
    return np.clip(first + sampling_rate * np.arange(num_frames), 0, video_frames - 1)


def jittered_keyframe_indices(
    center: int, num_frames: int, sampling_rate: int, video_frames: int, draws: np.ndarray
) -> np.ndarray:
    """`keyframe_indices` of an even num_frames, with each frame shifted at random.

    MMAction2's training clips of AVA (SampleAVAFrames): the shifts are whole numbers from half a
    step back, rounded up, to less than half a step ahead: -1 and 0 for a rate of 2, -8 to 7 for 16.

    Args:
        draws: (num_frames,), uniform in [0, 1).
    """
    first = center - num_frames // 2 * sampling_rate
    low, high = -sampling_rate // 2, (sampling_rate + 1) // 2
    shifts = low + (draws * (high - low)).astype(np.int64)
    return np.clip(
        first + sampling_rate * np.arange(num_frames) + shifts, 0, video_frames - 1
    )
