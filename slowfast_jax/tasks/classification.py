"""What a clip shows: one class of several, or several at once."""

import itertools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from data_pipelines.examples.clip_options import Augmentation, Sampling
from data_pipelines.examples.clips import load_clip
from data_pipelines.labels import multi_hot, unnamed
from data_pipelines.loading.batches import Examples, batches_in_order
from data_pipelines.transforms import rand_augment, random_erasing
from data_pipelines.video.image_files import Pictures
from slowfast_jax import distributed
from slowfast_jax.config import ConfigError, clips_of_example
from slowfast_jax.data.video_lists import find_samples
from slowfast_jax.metrics.average_precision import mean_average_precision
from slowfast_jax.metrics.topk import mean_class_accuracy, per_class_accuracy, top_k, top_k_accuracy
from slowfast_jax.progress import track
from slowfast_jax.report import classification
from slowfast_jax.tasks.result import Tested
from slowfast_jax.training.losses import LOSSES
from slowfast_jax.training.plan import Shape


def headline(config: ConfigDict) -> str:
    """The metric that says which checkpoint is best; larger is better."""
    return "map" if config.data.multi_label else "top1_acc"


def training_examples(
    config: ConfigDict, workdir: str | os.PathLike | None
) -> tuple[Examples, list[str]]:
    """The videos of config.data.train_list, and the class names that come with them ([]: none)."""
    listing = find_samples(config, workdir, "train")
    samples = listing.samples
    load = _loader(config, samples)
    clips = clips_of_example(config)
    return Examples(len(samples), load, lambda i: samples[i].path, clips), listing.class_names


def _loader(config: ConfigDict, samples: Sequence) -> Callable:
    """(index, generator, shape) -> example; `shape` replaces the config's in multigrid training."""
    augmentation, protocol = _augmentation(config), config.protocol
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


def _augmentation(config: ConfigDict) -> Augmentation:
    """How config.augment changes clips; ConfigError for values that make no sense."""
    augment, relative = config.augment, config.data.jitter_scales_relative
    for key, allowed, good in (
        ("num_clips", "at least 1", augment.num_clips >= 1),
        ("num_samples", "at least 1", augment.num_samples >= 1),
        ("jitter_fps", "0 or more", augment.jitter_fps >= 0),
        ("color_jitter", "three numbers of 0 or more",
         len(augment.color_jitter) == 3 and min(augment.color_jitter) >= 0),
        ("hue", "0..0.5", 0 <= augment.hue <= 0.5),
        ("grey_probability", "0..1", 0 <= augment.grey_probability <= 1),
        ("difference_probability", "0..1", 0 <= augment.difference_probability <= 1),
        ("erasing_probability", "0..1", 0 <= augment.erasing_probability <= 1),
        ("erasing_mode", " or ".join(random_erasing.MODES),
         augment.erasing_mode in random_erasing.MODES),
        ("erasing_count", "at least 1", augment.erasing_count >= 1),
        ("motion_shift", "False without config.data.jitter_scales_relative",
         bool(relative) or not augment.motion_shift),
    ):
        if not good:
            raise ConfigError(f"config.augment.{key} is {augment[key]}, expected {allowed}")
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
            "splits": augment.erasing_count,  # as the original gives it on
        }
    data, protocol = config.data, config.protocol
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


def batch_shapes(config: ConfigDict, rows: int, crop: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Of `data_pipelines.examples.clips.load_clip`'s arrays, stacked."""
    clip = (rows, config.protocol.num_frames, crop, crop, 3)
    label, dtype = (rows,), np.int32
    if config.data.multi_label:
        label, dtype = (rows, config.model.num_classes), np.float32
    return {
        "clip": jax.ShapeDtypeStruct(clip, np.uint8), "label": jax.ShapeDtypeStruct(label, dtype)
    }


def loss_function(config: ConfigDict) -> Callable:
    """(logits, endpoints, batch) -> (loss, {"top1_err": percent}).

    The error is that against the class with the largest share, where targets are soft.
    """
    loss = LOSSES[config.train.loss]

    def function(logits, endpoints, batch):
        labels = batch["label"]
        value = loss(logits, labels)
        if config.data.multi_label:
            return value, {}
        classes = labels if labels.ndim == 1 else labels.argmax(-1)
        wrong = (logits.argmax(-1) != classes).mean()
        return value, {"top1_err": 100 * wrong}

    return function


def validate(
    config: ConfigDict, predict: Callable[..., np.ndarray], workdir: str | os.PathLike | None
) -> dict[str, Any]:
    """Metrics in percent of one clip from the middle of each video of config.data.val_list."""
    listing = find_samples(config, workdir, "val")
    scores, used = [], []
    share = distributed.share(len(listing.samples))
    for batch in batches_in_order(
        len(share), _loader(config, listing.samples[share.start : share.stop]),
        batch_size=config.test.batch_size, threads=config.train.threads,
        workers=config.train.workers,
    ):
        for _, reason in batch["broken"]:
            logging.error("failed: %s", reason)
        if "clip" in batch:
            scores += list(predict(batch["clip"])[batch["mask"]])
            used += [share[i] for i in batch["index"][batch["mask"]]]
        distributed.alive()
    parts = distributed.gather((used, scores))
    used, scores = (list(itertools.chain(*part)) for part in zip(*parts, strict=True))
    if not used:
        raise RuntimeError(f"none of the {len(listing.samples)} videos to validate on can be read")
    labels = [listing.samples[i].label for i in used]
    names = listing.class_names or unnamed(config.model.num_classes)
    return metrics(np.stack(scores), labels, names, config.data.multi_label)


def test(
    config: ConfigDict,
    recognizer: Any,
    workdir: str | os.PathLike | None,
    save_scores: bool = False,
) -> Tested:
    """Scores every video of config.data.test_list by the config's protocol, multi-view.

    Metrics are of the videos that can be read, those that end in `_of_all` of the whole list, where
    the others are failures.

    With `save_scores`, `workdir`/scores.npz gets scores (V, K), labels and paths of the V videos
    that could be decoded.
    """
    listing = find_samples(config, workdir)
    samples = listing.samples
    if recognizer.class_names == unnamed(len(listing.class_names)):
        recognizer.class_names = listing.class_names
    protocol = config.protocol
    logging.info(
        "%s: %d videos of %s, %d x %d views each; %d views at once (config.test.batch_size %d)",
        config.name, len(samples), listing.files[0], protocol.clips, protocol.crops,
        recognizer.batch_size(len(distributed.share(len(samples)))), config.test.batch_size,
    )
    scored, timing = _score(recognizer, [sample.source for sample in samples])
    used = [i for i in sorted(scored) if not scored[i].error]
    timing["views_per_second"] = len(used) * protocol.clips * protocol.crops / timing["seconds"]
    scores = np.stack([scored[i].scores for i in used]) if used else np.zeros((0, 1))
    labels = [samples[i].label for i in used]
    multi_label = config.data.multi_label
    results = metrics(scores, labels, recognizer.class_names, multi_label) if used else {}
    if used and len(used) < len(samples) and not multi_label:
        for name in ("top1_acc", "top5_acc"):  # what could not be read counts as wrong
            results[f"{name}_of_all"] = results[name] * len(used) / len(samples)
    if save_scores and used and workdir is not None and distributed.first():
        Path(workdir).mkdir(parents=True, exist_ok=True)
        np.savez(
            Path(workdir) / "scores.npz", scores=scores, paths=[samples[i].path for i in used],
            labels=multi_hot(labels, scores.shape[1]) if multi_label else labels,
        )
    return Tested(
        files=listing.files,
        ids=[sample.path for sample in samples],
        images=any(isinstance(sample.source, Pictures) for sample in samples),
        metrics=results,
        rows=[
            {"video_id": i, "path": samples[i].path, "label": _as_json(samples[i].label)}
            | top_scores(scored[i].scores)
            for i in used
        ],
        failed=[
            {"video_id": i, "path": samples[i].path, "reason": scored[i].error}
            for i in sorted(scored) if scored[i].error
        ],
        timing=timing,
    )


def report(config: ConfigDict, workdir: str | os.PathLike) -> dict[str, Any]:
    """What a report shows of the last test in `workdir`; see classification_report.py."""
    return classification.report(config, workdir)


def _score(recognizer: Any, videos: Sequence) -> tuple[dict[int, Any], dict[str, float]]:
    """Each video's scores by its place in the list, and seconds: all, and waiting for decoding (of
    this process's part of the videos)."""
    timing: dict[str, float] = {}
    start = time.perf_counter()
    share = distributed.share(len(videos))
    part = recognizer.score_videos(videos[share.start : share.stop], timing)
    scored = {
        share[result.index]: result._replace(index=share[result.index], views=None)
        for result in track(part, len(share), "testing")
    }
    scored = {i: result for part in distributed.gather(scored) for i, result in part.items()}
    timing = {"seconds": time.perf_counter() - start, "seconds_waiting_for_video": timing["waited"]}
    share = timing["seconds_waiting_for_video"] / timing["seconds"]
    logging.info(
        "%d videos in %.1f s; the device waited %.0f %% of it for decoded video",
        len(videos), timing["seconds"], 100 * share,
    )
    return scored, timing


def top_scores(scores: np.ndarray) -> dict[str, list]:
    """The best and the five best of (K,) scores: top1_values, top1_indices, top5_..., as lists."""
    record = {}
    for k in (1, 5):
        values, indices = top_k(scores, k)
        record |= {f"top{k}_values": values.tolist(), f"top{k}_indices": indices.tolist()}
    return record


def metrics(
    scores: np.ndarray,
    labels: Sequence[int] | Sequence[tuple[int, ...]],
    class_names: Sequence[str],
    multi_label: bool,
) -> dict[str, Any]:
    """Metrics of videos in percent: top-k and mean-class accuracy, or mean average precision.

    Args:
      scores: (V, K). labels: V classes, or with `multi_label` V tuples of classes.

    Returns:
      "split" and "num_videos", "top1_acc", "top5_acc", "mean_class_acc" and "per_class_acc", or
      with `multi_label` "map" and "per_class_ap"; per class for those that occur.
    """
    out: dict[str, Any] = {"split": "test_final", "num_videos": len(scores)}
    if multi_label:
        mean, per_class = mean_average_precision(scores, multi_hot(labels, scores.shape[1]))
        out["map"], key = 100 * mean, "per_class_ap"
    else:
        labels = np.asarray(labels)
        for k in (1, 5):
            out[f"top{k}_acc"] = 100 * top_k_accuracy(scores, labels, k)
        out["mean_class_acc"] = 100 * mean_class_accuracy(scores, labels)
        per_class, key = per_class_accuracy(scores, labels), "per_class_acc"
    out[key] = {
        name: 100 * float(value)
        for name, value in zip(class_names, per_class, strict=True)
        if not np.isnan(value)
    }
    return out


def _as_json(label: int | tuple[int, ...]) -> int | list[int]:
    return list(label) if isinstance(label, tuple) else label
