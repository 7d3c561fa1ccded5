"""How a config loads keyframes: its sampling and augmentation as options of `load_keyframe`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.examples.eval_views import MMACTION2
from data_pipelines.examples.keyframe_clips import load_keyframe
from data_pipelines.sources.keyframes import Keyframe


def keyframe_loader(
    config: ConfigDict, keyframes: Sequence[Keyframe], crop: int
) -> Callable[[int, np.random.Generator | None], dict[str, Any]]:
    """A function `load(index, generator)` that returns the clip and the boxes of a keyframe.

    Without a generator, they are those of testing. crop: see `load_keyframe`.
    """
    data, protocol = config.data, config.protocol
    options = dict(
        num_frames=protocol.num_frames,
        sampling_rate=protocol.sampling_rate,
        crop=crop,
        max_boxes=data.max_boxes,
        num_classes=config.model.num_classes,
        frame_jitter=data.sampling in MMACTION2,
        color_jitter=data.color_augmentation and not data.pca_jitter_only,
        lighting=data.color_augmentation,
        test_flip=data.test_flip,
        jitter=data.jitter,
        inverse_uniform=data.inverse_uniform_jitter,
        flip=data.random_flip,
    )

    def load(index: int, generator: np.random.Generator | None) -> dict[str, Any]:
        return load_keyframe(keyframes[index], rng=generator, **options)

    return load
