"""Training examples of classification: clips of a video, augmented, with their label.

Only the frames of the clips are decoded, in one pass that begins at the key frame before the first
of them, and each frame is resized and cropped as soon as it is decoded. So a clip takes as much
time and memory in a long video as in a short one.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from data_pipelines.examples.clip_options import Augmentation, Sampling
from data_pipelines.examples.eval_views import MMACTION2, OF_CLIP
from data_pipelines.labels import multi_hot
from data_pipelines.sampling import (
    clip_indices,
    clip_size,
    clip_start,
    random_clip_start,
    random_looped_indices,
    random_segment_indices,
    random_strided_indices,
    segment_indices,
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
    by_time: bool = False,
) -> tuple[VideoInfo, np.ndarray, Geometry]:
    """Reads the frames `indices(info)` of a video, in that order, resized and cropped.

    Args:
        indices: gives frame numbers within 0..info.frames-1, which may repeat. It may be called
            more than once and must then give the same numbers. For image files `info.fps` is 0 and
            the size of the picture is not known yet.
        geometry_of: gives the geometry for frames of (height, width), upright. Called once.
        thread_type: see decoding.select_frames; "NONE" is best where many workers decode.
        by_time: see seeking.select_frames.

    Returns:
        (info, clip, geometry): the clip is uint8 (T,H,W,3) RGB, of the size of the geometry's
        window.

    Raises:
        VideoError: a frame cannot be read, or the size of the picture changes.
    """
    drawn: Geometry | None = None

    def transform(picture: np.ndarray) -> np.ndarray:
        nonlocal drawn
        if drawn is None:
            drawn = geometry_of(*picture.shape[:2])
        elif picture.shape[:2] != drawn.source:
            raise VideoError(str(source), "the frame size changes; re-encode the video to one size")
        return geometry.apply(picture[None], drawn)[0]

    if isinstance(source, Pictures):
        select = image_files.select_frames
    else:
        select = partial(select_frames, thread_type=thread_type, by_time=by_time)
    info, found, pictures = select(source, indices, transform=transform)
    wanted = indices(info)
    if np.array_equal(wanted, found):
        return info, pictures, drawn
    return info, pictures[np.searchsorted(found, wanted)], drawn


def load_clip(
    sample: Sample,
    sampling: Sampling,
    augmentation: Augmentation,
    *,
    rng: np.random.Generator | None,
    num_classes: int | None = None,
    thread_type: str = "NONE",
) -> dict[str, np.ndarray]:
    """Loads a training example of classification: random clips of a video, augmented.

    Equals the original's datasets/kinetics.py, ssv2.py, charades.py and imagenet.py in training
    and, given the same random numbers, in validation on videos. The modes of MMAction2 take its
    frames, but crops as the original.

    With `color`, a `policy`, a `motion_shift` or several clips or samples, the frames of a video
    file are first scaled to a short side of at most jitter[0], as all frames are by the original's
    decoder.

    Args:
        rng: source of the random numbers. None: validation, which takes the clip in the middle and
            the center crop of frames whose short side is `augmentation.crop`; of `sampling`, only
            num_frames, sampling_rate, target_fps and mode count then.
        num_classes: width of `label` for samples with several labels.
        thread_type: see `read_clip`.

    Returns:
        clip: uint8 (T,crop,crop,3) RGB; label: int32 (), or for samples with several labels float32
        (num_classes,), 1 for each of them. With several clips or samples both have a first axis of
        num_clips * num_samples, the samples of the first clip first.

    Raises:
        VideoError: a frame cannot be read.
        ValueError: several labels without `num_classes`, or values that a transform refuses.
    """
    num_clips = num_samples = 1
    if rng is not None:
        num_clips, num_samples = sampling.num_clips, augmentation.num_samples
        sampling = _draw_rates(rng, sampling)
    count = sampling.num_frames if sampling.mode == "ssv2" else 1
    draws = [None if rng is None else rng.random(count) for _ in range(num_clips)]

    def indices(info: VideoInfo) -> np.ndarray:
        if rng is not None and sampling.mode in MMACTION2:
            return random_looped_indices(
                info.frames, sampling.num_frames, sampling.sampling_rate, np.concatenate(draws)
            ).ravel()
        return np.concatenate([_choose(sampling, info, draw) for draw in draws])

    several = num_clips * num_samples > 1
    crops_last = rng is not None and (several or _crops_last(augmentation))

    def geometry_of(height: int, width: int) -> Geometry:
        if rng is None:
            crop = augmentation.crop
            return geometry.center(height, width, short_side=crop, crop=crop)
        if crops_last:
            side = min(height, width)
            if not isinstance(sample.source, FrameFiles):
                side = min(side, augmentation.jitter[0])
            return geometry.whole(height, width, short_side=side)
        return _draw_geometry(rng, augmentation, height, width)

    info, frames, _ = read_clip(sample.source, indices, geometry_of, thread_type=thread_type)
    chosen = indices(info).reshape(num_clips, sampling.num_frames)
    labels = [_label(sample, numbers, num_classes, sampling.mode) for numbers in chosen]
    if rng is None:
        return {"clip": frames, "label": labels[0]}
    clips = frames.reshape(num_clips, sampling.num_frames, *frames.shape[1:])
    augmented = [
        _augment(rng, augmentation, clip, crops_last) for clip in clips for _ in range(num_samples)
    ]
    if not several:
        return {"clip": augmented[0], "label": labels[0]}
    return {"clip": np.stack(augmented), "label": np.repeat(np.stack(labels), num_samples, axis=0)}


def _draw_rates(rng: np.random.Generator, sampling: Sampling) -> Sampling:
    """The sampling with its random frame rate and sampling rate drawn."""
    target_fps, sampling_rate = sampling.target_fps, sampling.sampling_rate
    if sampling.jitter_fps:
        target_fps += rng.uniform(0.0, sampling.jitter_fps)
    if sampling.max_sampling_rate > sampling_rate:
        sampling_rate = int(rng.integers(sampling_rate, sampling.max_sampling_rate + 1))
    return replace(sampling, target_fps=target_fps, sampling_rate=sampling_rate)


def _choose(sampling: Sampling, info: VideoInfo, draws: np.ndarray | None) -> np.ndarray:
    """Frame numbers of a clip; without draws, those of the clip in the middle.

    Random clips of MMAction2 depend on each other, see `load_clip`.
    """
    num_frames, sampling_rate = sampling.num_frames, sampling.sampling_rate
    if sampling.mode == "ssv2":
        if draws is None:
            return segment_indices(info.frames, num_frames)
        return random_segment_indices(info.frames, num_frames, draws)
    if sampling.mode in OF_CLIP and draws is None:
        return OF_CLIP[sampling.mode](info.frames, num_frames, sampling_rate, 0, 1)
    if sampling.mode == "charades":
        return random_strided_indices(info.frames, num_frames, sampling_rate, draws[0])
    target_fps = sampling.target_fps
    size = clip_size(num_frames, sampling_rate, info.fps or target_fps, target_fps)
    if draws is None:
        start = clip_start(info.frames, size, 0, 1, offset_sampling=True)
    else:
        start = random_clip_start(info.frames, size, draws[0])
    return clip_indices(info.frames, start, size, num_frames)


def _crops_last(augmentation: Augmentation) -> bool:
    """Whether whole frames are augmented before they are cropped."""
    return (
        augmentation.color is not None or augmentation.policy is not None
        or augmentation.motion_shift
    )


def _draw_geometry(
    rng: np.random.Generator, augmentation: Augmentation, height: int, width: int
) -> Geometry:
    return geometry.draw(
        rng, height, width, crop=augmentation.crop, jitter=augmentation.jitter,
        inverse_uniform=augmentation.inverse_uniform, flip=augmentation.flip,
        jitter_scales_relative=augmentation.jitter_scales_relative,
        jitter_aspect_relative=augmentation.jitter_aspect_relative,
        motion_shift=augmentation.motion_shift,
    )


def _augment(
    rng: np.random.Generator, augmentation: Augmentation, clip: np.ndarray, crops_last: bool
) -> np.ndarray:
    """One random variant of a clip (T,H,W,3), which is cropped already unless `crops_last`."""
    if augmentation.color is not None:
        clip = ssl_color.apply(clip, ssl_color.draw(rng, **augmentation.color))
    if augmentation.policy is not None:
        clip = rand_augment.apply(clip, rand_augment.draw(rng, augmentation.policy, len(clip)))
    if crops_last:
        clip = geometry.apply(clip, _draw_geometry(rng, augmentation, *clip.shape[1:3]))
    if augmentation.lighting:
        clip = color.apply(clip, color.draw(rng, jitter=0.0, lighting=augmentation.lighting))
    if augmentation.erase is not None:
        patches = random_erasing.draw(rng, *clip.shape[:3], **augmentation.erase)
        clip = random_erasing.apply(clip, patches, mean=augmentation.mean, std=augmentation.std)
    return clip


def _label(
    sample: Sample, numbers: np.ndarray, num_classes: int | None, mode: str
) -> np.ndarray:
    """The class of the clip of these frames, or its classes as a vector of zeros and ones."""
    classes = sample.label
    if mode == "charades" and sample.frame_labels is not None:
        spanned = sample.frame_labels[numbers[0] : numbers[-1] + 1]
        classes = tuple(sorted({label for of_frame in spanned for label in of_frame}))
    if isinstance(classes, int):
        return np.array(classes, np.int32)
    if num_classes is None:
        raise ValueError(f"{sample.path} has several labels; load_clip needs num_classes for them")
    return multi_hot([classes], num_classes)[0].astype(np.float32)
