"""Clips of videos: the frames and the part of them that a network sees, and elements of training.

Only the frames of the clips are decoded, in one pass from the key frame before the first of them
on, and each is resized and cropped as it comes, so a clip of a long video takes the time and memory
of a short one.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from data_pipelines.examples.eval_views import SAMPLINGS
from data_pipelines.sampling import (
    clip_indices,
    clip_size,
    clip_start,
    random_clip_start,
    random_segment_indices,
    random_strided_indices,
    segment_indices,
    strided_indices,
)
from data_pipelines.sources.video_lists import Sample
from data_pipelines.transforms import color, geometry, rand_augment, random_erasing, ssl_color
from data_pipelines.transforms.geometry import Geometry
from data_pipelines.video import Video, image_files
from data_pipelines.video.decoding import VideoError, VideoInfo
from data_pipelines.video.image_files import FrameFiles, Pictures
from data_pipelines.video.seeking import select_frames


def read_clip(
    source: Video,
    indices: Callable[[VideoInfo], np.ndarray],
    geometry_of: Callable[[int, int], Geometry],
    *,
    thread_type: str = "NONE",
) -> tuple[VideoInfo, np.ndarray, Geometry]:
    """The frames `indices(info)` of a video, in that order, as `geometry_of(height, width)` says.

    Args:
        indices: gives frames within 0..info.frames-1, maybe repeated; called more than once, it
            must give the same. `info.fps` is 0 for image files, the picture's size not known yet.
        geometry_of: is told the size of the upright picture, once.
        thread_type: see decoding.select_frames; "NONE" is best within many workers.

    Returns:
        (info, clip, geometry): the clip is uint8 (T,H,W,3) RGB, with the geometry's window.

    Raises:
        VideoError: a frame cannot be had.
    """
    drawn: Geometry | None = None

    def transform(picture: np.ndarray) -> np.ndarray:
        nonlocal drawn
        if drawn is None:
            drawn = geometry_of(*picture.shape[:2])
        elif picture.shape[:2] != drawn.source:
            raise VideoError(str(source), "the picture changes its size; re-encode it to one size")
        return geometry.apply(picture[None], drawn)[0]

    if isinstance(source, Pictures):
        select = image_files.select_frames
    else:
        select = partial(select_frames, thread_type=thread_type)
    info, found, pictures = select(source, indices, transform=transform)
    wanted = indices(info)
    if np.array_equal(wanted, found):
        return info, pictures, drawn
    return info, pictures[np.searchsorted(found, wanted)], drawn


def load_clip(
    sample: Sample,
    *,
    num_frames: int,
    sampling_rate: int,
    target_fps: float,
    crop: int,
    rng: np.random.Generator | None,
    sampling: str = "kinetics",
    jitter_fps: float = 0.0,
    max_sampling_rate: int = 0,
    num_clips: int = 1,
    num_samples: int = 1,
    lighting: float = 0.0,
    num_classes: int | None = None,
    thread_type: str = "NONE",
    jitter: tuple[int, int] = (256, 320),
    motion_shift: bool = False,
    colours: Mapping[str, Any] | None = None,
    policy: rand_augment.Policy | None = None,
    erase: Mapping[str, Any] | None = None,
    mean: Sequence[float] = (0.45, 0.45, 0.45),
    std: Sequence[float] = (0.225, 0.225, 0.225),
    **training: Any,
) -> dict[str, np.ndarray]:
    """A training element of classification: a random clip of a video, a random part of its frames.

    As the original's datasets/kinetics.py, ssv2.py, charades.py and imagenet.py train and, with
    the same draws, the videos' validate.

    Args:
        rng: what is drawn from; None takes the clip in the middle and the centre crop of frames
            whose short side is `crop`, the same each time.
        sampling: "kinetics": a clip of num_frames * sampling_rate frames at `target_fps` from
            anywhere; "ssv2": a frame from anywhere in each of num_frames segments; "charades":
            every sampling_rate-th frame from anywhere, whatever the frame rate, with the labels of
            all frames from the first to the last of them, where the sample has those.
        jitter_fps: up to so much is added to target_fps, which makes clips shorter. Like all that
            follows without meaning where rng is None, but for num_classes and thread_type.
        max_sampling_rate: above sampling_rate, the rate is drawn between the two, both included
            (as the original's multigrid training, utils.get_random_sampling_rate).
        num_clips: clips of the video, each from anywhere.
        num_samples: times that each clip is augmented (repeated augmentation).
        lighting: standard deviation of a shift of the colours, see color.draw.
        num_classes: of samples with several labels, to tell the width of `label`.
        thread_type: see `read_clip`.
        jitter: see geometry.draw.
        motion_shift: see geometry.draw.
        colours: keywords of ssl_color.draw for the frames before all that follows.
        policy: of the RandAugment done to the frames before they are cropped.
        erase: keywords of random_erasing.draw for the clip after that; None erases nothing.
        mean, std: see random_erasing.apply.
        **training: more keywords of geometry.draw: inverse_uniform, flip, jitter_scales_relative,
            jitter_aspect_relative.

    With colours, a policy, a motion shift or several clips or samples, the frames of a video file
    come with a short side of jitter[0] at most before anything is done to them, as all frames do
    from the original's decoder.

    Returns:
        clip: uint8 (T,crop,crop,3) RGB; label: int32 (), or for several labels float32
        (num_classes,), 1 for each. With several clips or samples both have a first axis of
        num_clips * num_samples, the samples of the first clip first.

    Raises:
        VideoError: a frame cannot be had.
        ValueError: a keyword that makes no sense.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling is {sampling!r}; training knows {', '.join(SAMPLINGS)}")
    if rng is None:
        num_clips = num_samples = 1
    else:
        if jitter_fps:
            target_fps += rng.uniform(0.0, jitter_fps)
        if max_sampling_rate > sampling_rate:
            sampling_rate = int(rng.integers(sampling_rate, max_sampling_rate + 1))
    choose = partial(
        _choose, sampling, num_frames=num_frames, sampling_rate=sampling_rate, target_fps=target_fps
    )
    count = num_frames if sampling == "ssv2" else 1
    draws = [None if rng is None else rng.random(count) for _ in range(num_clips)]

    def indices(info: VideoInfo) -> np.ndarray:
        return np.concatenate([choose(info, draw) for draw in draws])

    several = num_clips * num_samples > 1
    in_steps = rng is not None and (
        colours is not None or policy is not None or motion_shift or several
    )

    def geometry_of(height: int, width: int) -> Geometry:
        if rng is None:
            return geometry.center(height, width, short_side=crop, crop=crop)
        if in_steps:
            side = min(height, width)
            if not isinstance(sample.source, FrameFiles):
                side = min(side, jitter[0])
            return geometry.whole(height, width, short_side=side)
        return geometry.draw(rng, height, width, crop=crop, jitter=jitter, **training)

    def vary(clip: np.ndarray) -> np.ndarray:
        """What is done to a clip at random, but for the crop that its frames came with."""
        if colours is not None:
            clip = ssl_color.apply(clip, ssl_color.draw(rng, **colours))
        if policy is not None:
            clip = rand_augment.apply(clip, rand_augment.draw(rng, policy, num_frames))
        if in_steps:
            part = geometry.draw(
                rng, *clip.shape[1:3], crop=crop, jitter=jitter, motion_shift=motion_shift,
                **training,
            )
            clip = geometry.apply(clip, part)
        if lighting:
            clip = color.apply(clip, color.draw(rng, jitter=0.0, lighting=lighting))
        if erase is not None:
            patches = random_erasing.draw(rng, *clip.shape[:3], **erase)
            clip = random_erasing.apply(clip, patches, mean=mean, std=std)
        return clip

    info, frames, _ = read_clip(sample.source, indices, geometry_of, thread_type=thread_type)
    found = indices(info).reshape(num_clips, num_frames)
    labels = [_label(sample, which, num_classes, sampling) for which in found]
    if rng is None:
        return {"clip": frames, "label": labels[0]}
    clips = frames.reshape(num_clips, num_frames, *frames.shape[1:])
    varied = [vary(clip) for clip in clips for _ in range(num_samples)]
    if not several:
        return {"clip": varied[0], "label": labels[0]}
    return {"clip": np.stack(varied), "label": np.repeat(np.stack(labels), num_samples, axis=0)}


def _choose(
    sampling: str,
    info: VideoInfo,
    draws: np.ndarray | None,
    *,
    num_frames: int,
    sampling_rate: int,
    target_fps: float,
) -> np.ndarray:
    """Frames of a clip; without draws those of the one in the middle."""
    if sampling == "ssv2":
        if draws is None:
            return segment_indices(info.frames, num_frames)
        return random_segment_indices(info.frames, num_frames, draws)
    if sampling == "charades":
        if draws is None:
            return strided_indices(info.frames, num_frames, sampling_rate, 0, 1)
        return random_strided_indices(info.frames, num_frames, sampling_rate, draws[0])
    size = clip_size(num_frames, sampling_rate, info.fps or target_fps, target_fps)
    if draws is None:
        start = clip_start(info.frames, size, 0, 1, offset_sampling=True)
    else:
        start = random_clip_start(info.frames, size, draws[0])
    return clip_indices(info.frames, start, size, num_frames)


def _label(
    sample: Sample, frames: np.ndarray, num_classes: int | None, sampling: str
) -> np.ndarray:
    """The class of a clip as a number, or its classes as ones among zeros."""
    classes = sample.label
    if sampling == "charades" and sample.frame_labels is not None:
        spanned = sample.frame_labels[frames[0] : frames[-1] + 1]
        classes = tuple(sorted({label for of_frame in spanned for label in of_frame}))
    if isinstance(classes, int):
        return np.array(classes, np.int32)
    if num_classes is None:
        raise ValueError(f"{sample.path} has several labels; tell num_classes")
    label = np.zeros(num_classes, np.float32)
    label[list(classes)] = 1
    return label
