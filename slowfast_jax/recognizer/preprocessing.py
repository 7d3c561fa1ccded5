"""The clips of a video that a network sees, for looking at them or for calling the network."""

from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.examples.keyframe_clips import load_keyframe
from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.video import Video
from slowfast_jax.inference.inputs import as_video
from slowfast_jax.inference.multiview import view_options, views_of
from slowfast_jax.inference.timeline import length_of


def protocol_views(config: ConfigDict, video: Video) -> np.ndarray:
    """The views of the test protocol, uint8 (clips * crops, T, S, S, 3); see `Recognizer`."""
    return np.concatenate(list(views_of(video, view_options(config))))


def clips_around(config: ConfigDict, video: Video, seconds: Sequence[float]) -> np.ndarray:
    """The clip of whole frames around each moment, uint8 (len(seconds), T, H, W, 3)."""
    video, protocol = as_video(video), config.protocol
    _, fps = length_of(video, protocol.target_fps)
    moments = [
        Keyframe(
            video=str(video), time=float(second), source=video, origin=0.0, fps=fps,
            boxes=np.zeros((0, 4), np.float32), labels=(), scores=np.zeros(0, np.float32),
        )
        for second in seconds
    ]
    return np.stack([
        load_keyframe(
            moment, num_frames=protocol.num_frames, sampling_rate=protocol.sampling_rate,
            crop=protocol.test_crop, max_boxes=0, num_classes=0, rng=None,
        )["clip"]
        for moment in moments
    ])
