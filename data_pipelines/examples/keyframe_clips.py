"""Examples of action detection: the clip around a keyframe and its boxes, padded."""

import itertools
from typing import Any

import numpy as np

from data_pipelines.examples.clips import read_clip
from data_pipelines.labels import multi_hot
from data_pipelines.sampling import jittered_keyframe_indices, keyframe_indices
from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.transforms import boxes as box_arithmetic
from data_pipelines.transforms import color, geometry
from data_pipelines.transforms.geometry import Geometry
from data_pipelines.video.decoding import VideoError, VideoInfo


def load_keyframe(
    keyframe: Keyframe,
    *,
    num_frames: int,
    sampling_rate: int,
    crop: int,
    max_boxes: int,
    num_classes: int,
    rng: np.random.Generator | None,
    frame_jitter: bool = False,
    color_jitter: bool = False,
    lighting: bool = False,
    center_crop: bool = False,
    test_flip: bool = False,
    size: tuple[int, int] | None = None,
    thread_type: str = "NONE",
    **training: Any,
) -> dict[str, np.ndarray]:
    """Loads the clip around a keyframe and its boxes; frames are `sampling_rate` apart.

    As the original's datasets/ava_dataset.py. Training takes a random crop x crop square of the
    frames. Boxes that lie outside it keep their row and labels, but their mask is False (the
    original keeps them, clipped to a point or line at the border). Testing takes whole frames,
    scaled to a short side of `crop`, so that the shape of a clip depends on the aspect ratio of the
    video, and keeps every box, because each one is scored.

    Args:
        sampling_rate: 0 repeats the keyframe itself.
        crop: side of the square in training, short side in testing.
        max_boxes: the number of rows to which boxes are padded.
        num_classes: width of `label`.
        rng: source of the random numbers of training; None for testing.
        frame_jitter: training only: shift each frame at random, as MMAction2 does; see
            sampling.jittered_keyframe_indices.
        color_jitter: training only: change brightness, contrast and saturation by up to 40 %.
        lighting: training only: shift colors along the principal components of ImageNet's.
        center_crop: testing only: take the center crop x crop square instead of whole frames, as
            the original does to validate during training.
        test_flip: testing only: mirror frames and boxes.
        size: testing only: stretch whole frames to this (height, width) instead of scaling them to
            a short side of `crop`, so that all clips have one shape.
        thread_type: see clips.read_clip.
        **training: training only: keywords of geometry.draw (jitter, inverse_uniform, flip,
            jitter_scales_relative, jitter_aspect_relative).

    Returns:
        clip: uint8 (T,H,W,3) RGB; boxes: float32 (max_boxes,4) x1, y1, x2, y2 in its pixels;
        box_mask: bool (max_boxes,); label: float32 (max_boxes,num_classes), 1 for each class.
        Rows past the boxes are 0.

    Raises:
        VideoError: a frame cannot be read, or the video ends more than half a second before the
            keyframe.
        ValueError: more boxes than `max_boxes`, a label out of range, or keywords that
            geometry.draw refuses.
    """
    count = len(keyframe.boxes)
    if count > max_boxes:
        raise ValueError(
            f"{keyframe.video} at {keyframe.time:g}: {count} boxes, but max_boxes is {max_boxes}: "
            f"set data.max_boxes to {count} or more, or raise data.score_threshold"
        )
    _check_labels(keyframe, num_classes)
    draws = rng.random(num_frames) if rng is not None and frame_jitter else None

    def indices(info: VideoInfo) -> np.ndarray:
        center = _center(keyframe, info)
        if draws is not None:
            return jittered_keyframe_indices(
                center, num_frames, sampling_rate, info.frames, draws
            )
        return keyframe_indices(center, num_frames, sampling_rate, info.frames)

    def geometry_of(height: int, width: int) -> Geometry:
        if rng is not None:
            return geometry.draw(rng, height, width, crop=crop, **training)
        if center_crop:
            return geometry.center(height, width, short_side=crop, crop=crop, flip=test_flip)
        if size is not None:
            return geometry.stretched(height, width, size=size)
        return geometry.whole(height, width, short_side=crop, flip=test_flip)

    _, clip, drawn = read_clip(
        keyframe.source, indices, geometry_of, thread_type=thread_type, by_time=True
    )
    if rng is not None and (color_jitter or lighting):
        clip = color.apply(clip, color.draw(
            rng, jitter=0.4 if color_jitter else 0.0, lighting=0.1 if lighting else 0.0
        ))

    pixels = geometry.apply_boxes(
        box_arithmetic.from_fractions(keyframe.boxes, *drawn.source), drawn
    )
    boxes, mask = np.zeros((max_boxes, 4), np.float32), np.zeros(max_boxes, bool)
    label = np.zeros((max_boxes, num_classes), np.float32)
    boxes[:count], label[:count] = pixels, multi_hot(keyframe.labels, num_classes)
    mask[:count] = True if rng is None else box_arithmetic.has_area(pixels)
    return {"clip": clip, "boxes": boxes, "box_mask": mask, "label": label}


def _center(keyframe: Keyframe, info: VideoInfo) -> int:
    """The frame number of the keyframe in its source."""
    fps = keyframe.fps or info.fps
    center = round((keyframe.time - keyframe.origin) * fps)
    if not 0 <= center < info.frames + fps / 2:
        end = keyframe.origin + (info.frames - 1) / fps
        row = f" ({keyframe.place})" if keyframe.place else ""
        raise VideoError(
            str(keyframe.source),
            f"its {info.frames} frames at {fps:g} fps span {keyframe.origin:g}..{end:g}, and the "
            f"keyframe at {keyframe.time:g}{row} lies outside; get the whole video, remove the "
            f"rows of {keyframe.video} at {keyframe.time:g}, or set data.first_frame_second to the "
            "time of its first frame",
        )
    return center


def _check_labels(keyframe: Keyframe, num_classes: int) -> None:
    for label in itertools.chain.from_iterable(keyframe.labels):
        if not 0 <= label < num_classes:
            raise ValueError(
                f"{keyframe.video} at {keyframe.time:g}: class {label}; expected one within "
                f"0..{num_classes - 1} (model.num_classes)"
            )
