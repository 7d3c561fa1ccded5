"""One element of action detection: the clip around a keyframe and its boxes, in static shapes."""

import itertools
from typing import Any

import numpy as np

from data_pipelines.examples.clips import read_clip
from data_pipelines.labels import multi_hot
from data_pipelines.sampling import keyframe_indices
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
    color_jitter: bool = False,
    lighting: bool = False,
    center_crop: bool = False,
    test_flip: bool = False,
    thread_type: str = "NONE",
    **training: Any,
) -> dict[str, np.ndarray]:
    """The clip of `num_frames` frames, each `sampling_rate` apart, around a keyframe.

    As the original's datasets/ava_dataset.py. Training takes a random crop x crop square of the
    frames and leaves out boxes of which nothing is in it (the original keeps them as a point or a
    line at the border, with their labels): their rows and labels stay, the mask is False. Testing
    takes whole frames whose short side is `crop`, so clips of videos of different aspect differ in
    shape, and keeps every box: each one is to be scored.

    Args:
        sampling_rate: 0 repeats the keyframe itself.
        crop: side of the square in training, short side in testing.
        rng: what training draws from; None for testing.
        color_jitter: in training, brightness, contrast and saturation change by up to 40 %.
        lighting: in training, colors shift along the principal components of ImageNet's.
        center_crop: in testing, the center crop x crop square instead of whole frames: what the
            original evaluates with during training.
        test_flip: in testing, mirror frames and boxes.
        thread_type: see clips.read_clip.
        **training: keywords of geometry.draw: jitter, inverse_uniform, flip,
            jitter_scales_relative, jitter_aspect_relative. Without meaning in testing.

    Returns:
        clip: uint8 (T,H,W,3) RGB; boxes: float32 (max_boxes,4) x1, y1, x2, y2 in its pixels;
        box_mask: bool (max_boxes,); label: float32 (max_boxes,num_classes), 1 for each class.
        Rows past the boxes are 0.

    Raises:
        VideoError: a frame cannot be had, or the video ends more than half a second before the
            keyframe.
        ValueError: more boxes than `max_boxes`, a label that is no class, or a keyword that
            geometry.draw refuses.
    """
    count = len(keyframe.boxes)
    if count > max_boxes:
        raise ValueError(
            f"{keyframe.video} at {keyframe.time:g}: {count} boxes; there is room for {max_boxes}: "
            "set data.max_boxes to the largest number, or raise data.score_threshold"
        )
    _check_labels(keyframe, num_classes)

    def indices(info: VideoInfo) -> np.ndarray:
        center = _center(keyframe, info)
        return keyframe_indices(center, num_frames, sampling_rate, info.frames)

    def geometry_of(height: int, width: int) -> Geometry:
        if rng is not None:
            return geometry.draw(rng, height, width, crop=crop, **training)
        if center_crop:
            return geometry.center(height, width, short_side=crop, crop=crop, flip=test_flip)
        return geometry.whole(height, width, short_side=crop, flip=test_flip)

    _, clip, drawn = read_clip(keyframe.source, indices, geometry_of, thread_type=thread_type)
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
    """The keyframe's place among the frames of its source."""
    fps = keyframe.fps or info.fps
    center = round((keyframe.time - keyframe.origin) * fps)
    if not 0 <= center < info.frames + fps / 2:
        end = keyframe.origin + (info.frames - 1) / fps
        raise VideoError(
            str(keyframe.source),
            f"its {info.frames} frames at {fps:g} a second show {keyframe.origin:g}..{end:g}, the "
            f"keyframe at {keyframe.time:g} lies outside; get the whole video, leave out the rows "
            f"of {keyframe.video} at {keyframe.time:g}, or tell the time of its first frame "
            "(data.first_frame_second)",
        )
    return center


def _check_labels(keyframe: Keyframe, num_classes: int) -> None:
    for label in itertools.chain.from_iterable(keyframe.labels):
        if not 0 <= label < num_classes:
            raise ValueError(
                f"{keyframe.video} at {keyframe.time:g}: class {label}; expected one within "
                f"0..{num_classes - 1} (model.num_classes)"
            )
