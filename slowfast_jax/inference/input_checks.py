"""Checks of clips and boxes passed to a network, so that mistakes are reported before compiling."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from slowfast_jax.inference.arrays import to_numpy
from slowfast_jax.models.base import VideoNetwork

# Normalized pixels lie within about 3 of zero; much larger values are raw pixels.
LARGEST_NORMALIZED = 25.0
# Other orders of the axes: (position of the channels, the permutation to ours).
CHANNELS_ELSEWHERE = {
    "(N, 3, T, H, W)": (1, (0, 2, 3, 4, 1)), "(N, T, 3, H, W)": (2, (0, 1, 3, 4, 2)),
}
ONE_CLIP = {"(3, T, H, W)": 0, "(T, 3, H, W)": 1}


def check_clips(clips: Any, model: VideoNetwork) -> Any:
    """The clips (N, T, H, W, 3) as an array; ValueError if the network cannot process them.

    JAX arrays are returned as they are; anything else that NumPy can read (see `to_numpy`) becomes
    a uint8 or float32 NumPy array.
    """
    if not isinstance(clips, jax.Array):
        clips = to_numpy(clips, "clips")
    _check_layout(clips.shape)
    if not (clips.dtype == np.uint8 or jnp.issubdtype(clips.dtype, jnp.floating)):
        raise ValueError(
            f"clips are {clips.dtype}, expected uint8 (RGB, 0..255) or float (already normalized)"
        )
    if clips.dtype != np.uint8:
        if isinstance(clips, np.ndarray):
            clips = clips.astype(np.float32)
        _check_normalized(clips)
    _check_size(clips.shape, model)
    return clips


def _check_layout(shape: tuple[int, ...]) -> None:
    """ValueError unless the shape is (N, T, H, W, 3), recognizing other orders of the axes."""
    if len(shape) != 5:
        order = len(shape) == 4 and shape[-1] != 3 and next(
            (order for order, at in ONE_CLIP.items() if shape[at] == 3), None
        )
        turn = f"; it looks like {order}: transpose it to (T, H, W, 3)" if order else ""
        raise ValueError(
            f"clips have shape {shape}, expected 5 dimensions (N, T, H, W, 3){turn}"
            + ("; for one clip pass clip[None], or [clip] if it is a list" if len(shape) == 4
               else "")
        )
    if shape[-1] == 3:
        if 0 in shape:
            raise ValueError(
                f"clips have shape {shape}, expected at least one clip, with frames and pixels"
            )
        return
    for order, (at, axes) in CHANNELS_ELSEWHERE.items():
        if shape[at] == 3:
            raise ValueError(
                f"clips have shape {shape}, expected 3 channels last, (N, T, H, W, 3); these look "
                f"like {order}: pass clips.transpose{axes} (PyTorch: clips.permute{axes})"
            )
    advice = {
        1: "; gray pictures: repeat the channel three times", 4: "; RGBA: pass clips[..., :3]"
    }.get(shape[-1], "")
    raise ValueError(
        f"clips have shape {shape}, expected 3 channels last, (N, T, H, W, 3){advice}"
    )


def _check_normalized(clips: np.ndarray | jax.Array) -> None:
    """ValueError for floats that are raw pixels; a warning if they look like pixels / 255."""
    least, largest = float(clips.min()), float(clips.max())
    if not max(-least, largest) <= LARGEST_NORMALIZED:  # also true if it is NaN
        raise ValueError(
            f"float clips contain the value {max(-least, largest)}, so they are not normalized: "
            "pass raw pixels as uint8, or (pixels / 255 - mean) / std"
        )
    if 0 <= least < largest <= 1:
        logging.warning(
            "float clips lie within 0..1, so they look like pixels / 255, which is not normalized: "
            "pass raw pixels as uint8, or (pixels / 255 - mean) / std"
        )


def _check_size(shape: tuple[int, ...], model: VideoNetwork) -> None:
    """ValueError for clips that are too short or too small for the network."""
    _, frames, height, width, _ = shape
    fewest, shortest = model.smallest_clip()
    if frames < fewest:
        raise ValueError(
            f"clips have {frames} frames, the network needs {fewest}: sample more frames "
            f"of the video, repeat the last one, or load the network with num_frames={frames}"
        )
    exact = model.exact_frames()
    if exact is not None and frames != exact:
        raise ValueError(
            f"clips have {frames} frames, but the pathways of this network fit together only with "
            f"{exact}: sample {exact} frames of the video, or load the network with "
            f"num_frames={frames}"
        )
    if min(height, width) < shortest:
        raise ValueError(
            f"clips are {height}x{width}, too small for a network with crop_size="
            f"{model.crop_size}: resize them, or load the network with "
            f"crop_size={min(height, width)}"
        )


def check_boxes(boxes: Any, clips_shape: tuple[int, ...]) -> np.ndarray:
    """The boxes (N, B, 4) as float32, clipped to the frame with a warning.

    Raises ValueError for an invalid box, with its position: not finite, empty, or entirely outside
    the frame. A box that only touches the edge of the frame counts as outside.
    """
    boxes = to_numpy(boxes, "boxes").astype(np.float32)
    count, _, height, width, _ = clips_shape
    if boxes.ndim != 3 or boxes.shape[-1] != 4 or len(boxes) != count:
        raise ValueError(
            f"boxes have shape {boxes.shape}, expected ({count}, B, 4): for each of the {count} "
            "clips B boxes x1, y1, x2, y2 in pixels"
        )
    x1, y1, x2, y2 = np.moveaxis(boxes, -1, 0)
    _refuse(boxes, ~np.isfinite(boxes).all(-1), "has a value that is not finite")
    _refuse(boxes, (x2 <= x1) | (y2 <= y1), "is empty: expected x1 < x2 and y1 < y2")
    _refuse(
        boxes, (x2 <= 0) | (y2 <= 0) | (x1 >= width) | (y1 >= height),
        f"lies outside the frame of {width}x{height} pixels",
    )
    if boxes.size and boxes.max() <= 1 and min(height, width) > 1:
        raise ValueError(
            "all boxes lie within 0..1, so they look like fractions of the frame; expected pixels: "
            f"multiply x by {width} and y by {height}"
        )
    inside = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    cut = int((inside != boxes).any(-1).sum())
    if cut:
        logging.warning(
            "%d of %d boxes extend beyond the %dx%d frame and were clipped to it",
            cut, boxes.shape[0] * boxes.shape[1], width, height,
        )
    return inside


def padded(boxes: np.ndarray, clips_shape: tuple[int, ...]) -> np.ndarray:
    """The boxes and repetitions of the first, (N, P, 4): P is a power of two, so that a video in
    which people come and go needs few compilations. Without any box, P is 1."""
    if boxes.shape[1] == 0:
        height, width = clips_shape[2:4]
        return np.tile(np.array([0, 0, width, height], np.float32), (len(boxes), 1, 1))
    padding = (1 << (boxes.shape[1] - 1).bit_length()) - boxes.shape[1]
    return np.concatenate([boxes, np.repeat(boxes[:, :1], padding, axis=1)], axis=1)


def _refuse(boxes: np.ndarray, bad: np.ndarray, why: str) -> None:
    if bad.any():
        clip, box = np.argwhere(bad)[0]
        raise ValueError(f"box {box} of clip {clip}, {boxes[clip, box].tolist()}, {why}")
