"""PySlowFast's way from a video file to a clip, with PyAV and PyTorch.

Written after its datasets/decoder.py (pyav_decode), utils.py and kinetics.py: it seeks with a
margin, converts every frame within the clip's span to RGB, selects the clip's frames, and then
normalizes, resizes, crops, flips and packs them for the two pathways in float32. The position of
the clip is an argument instead of being drawn at random.
"""

import math

import av
import numpy as np
import torch
from torch.nn.functional import interpolate

MARGIN = 1024  # it seeks to this many time stamps before the clip


def decode(
    path: str, share: float, *, num_frames: int, sampling_rate: int, target_fps: float
) -> torch.Tensor:
    """Decodes the clip that starts at `share` (0 to 1) of the possible range.

    Returns:
      uint8 `(num_frames, H, W, 3)`.
    """
    container = av.open(path)
    stream = container.streams.video[0]
    fps, length, duration = float(stream.average_rate), stream.frames, stream.duration
    span = max(1.0, math.ceil(sampling_rate * (num_frames - 1) / target_fps * fps))
    start = max(length - span, 0) * share
    ticks = duration / length
    first, last = int(start * ticks), int((start + span - 1) * ticks)
    container.seek(max(first - MARGIN, 0), any_frame=False, backward=True, stream=stream)
    found = {}
    for frame in container.decode(video=0):
        if frame.pts < first:
            continue
        found[frame.pts] = frame
        if frame.pts > last:
            break
    frames = [found[pts].to_rgb().to_ndarray() for pts in sorted(found)]
    container.close()
    frames = torch.as_tensor(np.stack(frames))
    size = max(1.0, sampling_rate * num_frames / target_fps * fps)
    index = torch.linspace(0, size - 1, num_frames).clamp(0, len(frames) - 1).long()
    return torch.index_select(frames, 0, index)


def normalize(frames: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """uint8 `(T, H, W, 3)` to normalized float32 `(3, T, H, W)`."""
    frames = frames.float() / 255.0
    return ((frames - mean) / std).permute(3, 0, 1, 2)


def resize(frames: torch.Tensor, side: int) -> torch.Tensor:
    """Resizes frames `(3, T, H, W)` so that their short side is `side`."""
    height, width = frames.shape[2:]
    if min(height, width) == side:
        return frames
    if width < height:
        size = math.floor(height / width * side), side
    else:
        size = side, math.floor(width / height * side)
    return interpolate(frames, size=size, mode="bilinear", align_corners=False)


def pack(frames: torch.Tensor, alpha: int) -> list[torch.Tensor]:
    """Frames of the slow and of the fast pathway."""
    count = frames.shape[1]
    index = torch.linspace(0, count - 1, count // alpha).long()
    return [torch.index_select(frames, 1, index), frames]


def training_clip(
    path: str, share: float, rng: np.random.Generator, *, crop: int, jitter: tuple[int, int],
    mean: torch.Tensor, std: torch.Tensor, alpha: int, **sampling: float,
) -> list[torch.Tensor]:
    """Loads a clip with the training augmentation for Kinetics; the frames of each pathway."""
    frames = normalize(decode(path, share, **sampling), mean, std)
    frames = resize(frames, round(rng.uniform(*jitter)))
    top, left = (
        int(rng.integers(0, side - crop)) if side > crop else 0 for side in frames.shape[2:]
    )
    frames = frames[:, :, top : top + crop, left : left + crop]
    if rng.random() < 0.5:
        frames = frames.flip(-1)
    return pack(frames, alpha)


def test_views(
    path: str, *, clips: int, crops: int, crop: int, mean: torch.Tensor, std: torch.Tensor,
    alpha: int, **sampling: float,
) -> int:
    """Loads all test views of a video, each decoded separately; returns their number."""
    for view in range(clips * crops):
        clip, position = divmod(view, crops)
        frames = normalize(decode(path, clip / clips, **sampling), mean, std)
        frames = resize(frames, crop)
        height, width = frames.shape[2:]
        top, left = math.ceil((height - crop) / 2), math.ceil((width - crop) / 2)
        if height > width:
            top = (0, top, height - crop)[position]
        else:
            left = (0, left, width - crop)[position]
        pack(frames[:, :, top : top + crop, left : left + crop], alpha)
    return clips * crops
