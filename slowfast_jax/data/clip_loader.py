"""How a config loads training clips: its sampling and augmentation as options of `load_clip`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.examples.clip_options import Augmentation, Sampling
from data_pipelines.examples.clips import load_clip
from data_pipelines.sources.video_lists import Sample
from data_pipelines.transforms import rand_augment
from slowfast_jax.config import ConfigError
from slowfast_jax.config.checks import check_augmentation
from slowfast_jax.training.plan import Shape


def clip_loader(config: ConfigDict, samples: Sequence[Sample]) -> Callable[..., dict[str, Any]]:
    """A function `load(index, generator, shape=None)` that returns the example of a sample.

    Without a generator, the example is the center clip, as in validation. In multigrid training,
    `shape` replaces the config's number of frames, crop, jitter and sampling rate.

    Raises:
      ConfigError: config.augment has invalid values.
    """
    augmentation, protocol = augmentation_of(config), config.protocol
    sampling = Sampling(
        num_frames=protocol.num_frames,
        sampling_rate=protocol.sampling_rate,
        target_fps=protocol.target_fps,
        mode=config.data.sampling,
        jitter_fps=config.augment.jitter_fps,
        num_clips=config.augment.num_clips,
    )
    num_classes = config.model.num_classes if config.data.multi_label else None

    def load(
        index: int, generator: np.random.Generator | None, shape: Shape | None = None
    ) -> dict[str, Any]:
        options = sampling, augmentation
        if shape is not None:
            rate, max_rate = shape.sampling_rates
            options = (
                replace(
                    sampling, num_frames=shape.num_frames, sampling_rate=rate,
                    max_sampling_rate=max_rate,
                ),
                replace(augmentation, crop=shape.crop, jitter=shape.jitter),
            )
        return load_clip(samples[index], *options, rng=generator, num_classes=num_classes)

    return load


def augmentation_of(config: ConfigDict) -> Augmentation:
    """What config.augment, config.data and config.protocol do to training clips."""
    check_augmentation(config)
    augment, data, protocol = config.augment, config.data, config.protocol
    policy = erase = color = None
    if any(augment.color_jitter) or augment.moco_v2 or (
        augment.hue or augment.grey_probability or augment.difference_probability
    ):
        color = {
            "jitter": augment.color_jitter,
            "hue": augment.hue,
            "gray": augment.grey_probability,
            "moco_v2": augment.moco_v2,
            "difference": augment.difference_probability,
        }
    if augment.rand_augment:
        try:
            policy = rand_augment.parse(augment.rand_augment, augment.interpolation)
        except ValueError as error:
            raise ConfigError(f"config.augment: {error}") from None
    if augment.erasing_probability:
        erase = {
            "probability": augment.erasing_probability,
            "mode": augment.erasing_mode,
            "count": augment.erasing_count,
            "splits": augment.erasing_count,  # the original passes the count for both
        }
    return Augmentation(
        crop=protocol.train_crop,
        jitter=data.jitter,
        inverse_uniform=data.inverse_uniform_jitter,
        flip=data.random_flip,
        jitter_scales_relative=data.jitter_scales_relative,
        jitter_aspect_relative=data.jitter_aspect_relative,
        motion_shift=augment.motion_shift,
        num_samples=augment.num_samples,
        color=color,
        policy=policy,
        lighting=data.pca_jitter,
        erase=erase,
        mean=protocol.mean,
        std=protocol.std,
    )
