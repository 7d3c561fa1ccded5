"""Classification of whole clips, with one class per clip or several."""

import itertools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from absl import logging

from data_pipelines.labels import multi_hot, unnamed
from data_pipelines.loading.batches import Examples, batches_in_order
from data_pipelines.text_files import counted
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.image_files import Pictures
from slowfast_jax import distributed
from slowfast_jax.config import ConfigError, clips_of_example
from slowfast_jax.config.class_weights import weights_of
from slowfast_jax.config.classes import named_by_config
from slowfast_jax.data.clip_loader import clip_loader
from slowfast_jax.data.video_files import check_videos
from slowfast_jax.data.video_lists import Listing, find_samples
from slowfast_jax.inference.features import Options, iterate_features
from slowfast_jax.inference.multiview import VideoScores
from slowfast_jax.inference.predict_step import Predictor
from slowfast_jax.metrics.average_precision import mean_average_precision
from slowfast_jax.metrics.confusion import confusion_matrix
from slowfast_jax.metrics.topk import mean_class_accuracy, per_class_accuracy, top_k, top_k_accuracy
from slowfast_jax.progress import track
from slowfast_jax.report import classification
from slowfast_jax.report.plots import matrix_picture
from slowfast_jax.tasks.base import Task
from slowfast_jax.tasks.result import Extracted, TestResult
from slowfast_jax.tasks.saved_scores import average_of_videos
from slowfast_jax.tasks.unfinished import Unfinished, key_of
from slowfast_jax.training.losses import LOSSES
from slowfast_jax.training.mixing import make_mixer
from slowfast_jax.training.step import Batch, Metrics


class Classification(Task):
    """Classifies whole clips: one class per clip, or several with `config.data.multi_label`."""

    @property
    def headline(self) -> str:
        return "map" if self.config.data.multi_label else "top1_acc"

    def find(self, subset: str, workdir: str | os.PathLike | None) -> Listing:
        """The videos of config.data.train_list, val_list or test_list."""
        listing = find_samples(self.config, workdir, subset)
        check_videos(listing.samples, listing.files[0], self.config)
        return listing

    def training_examples(self, found: Listing) -> tuple[Examples, list[str]]:
        """The listed videos, and the class names of the data or [] if it does not name them."""
        samples = found.samples
        if not self.config.data.multi_label and len({s.label for s in samples}) == 1 < len(samples):
            raise ConfigError(
                f"all {len(samples)} examples of {found.files[0]} have the label "
                f"{samples[0].label}, so there is nothing to learn: list examples of all classes"
            )
        self.class_weights = weights_of(
            self.config, lambda: ([s.label] if np.ndim(s.label) == 0 else s.label for s in samples)
        )
        load, clips = clip_loader(self.config, samples), clips_of_example(self.config)
        return Examples(len(samples), load, lambda i: samples[i].path, clips), found.class_names

    def batch_shapes(self, rows: int, crop: int) -> dict[str, jax.ShapeDtypeStruct]:
        config = self.config
        clip = (rows, config.protocol.num_frames, crop, crop, 3)
        label, dtype = (rows,), np.int32
        if config.data.multi_label:
            label, dtype = (rows, config.model.num_classes), np.float32
        return {
            "clip": jax.ShapeDtypeStruct(clip, np.uint8),
            "label": jax.ShapeDtypeStruct(label, dtype),
        }

    def augment(self, model: nn.Module, key: jax.Array, batch: Batch) -> Batch:
        """Mixup, CutMix and label smoothing, as set in config.augment."""
        augment = self.config.augment
        if not any(augment.get(k) for k in ("mixup_alpha", "cutmix_alpha", "label_smoothing")):
            return batch
        group = model.group_size if model.norm_groups else self.config.norm.group_size
        mix = make_mixer(
            model, group_size=group, label_smoothing=augment.label_smoothing,
            mixup_alpha=augment.mixup_alpha, cutmix_alpha=augment.cutmix_alpha,
            prob=augment.mix_prob, switch_prob=augment.switch_prob,
        )
        return mix(key, batch)

    def objective(
        self, logits: jax.Array, endpoints: dict[str, jax.Array], batch: Batch
    ) -> tuple[jax.Array, Metrics]:
        """The loss, and with one class per clip the top-1 accuracy in percent.

        With soft targets, the accuracy refers to the class with the largest target.
        """
        labels = batch["label"]
        value = LOSSES[self.config.train.loss](logits, labels, **self.loss_options)
        if self.config.data.multi_label:
            return value, {}
        classes = labels if labels.ndim == 1 else labels.argmax(-1)
        right = (logits.argmax(-1) == classes).mean()
        return value, {"top1_acc": 100 * right}

    def validate(
        self,
        predictor: Predictor,
        variables: Mapping[str, Any],
        extra: Any,
        found: Listing,
    ) -> dict[str, Any]:
        """Metrics in percent on the center clip of each listed video.

        The picture "confusion" is added if config.test.figures has it and videos have one class.
        """
        config = self.config
        scores, used = [], []
        share = distributed.share(len(found.samples))
        for batch in batches_in_order(
            len(share), clip_loader(config, found.samples[share.start : share.stop]),
            batch_size=config.test.batch_size, threads=config.train.threads,
            workers=config.train.workers,
        ):
            for _, reason in batch["broken"]:
                logging.error("failed: %s", reason)
            if "clip" in batch:
                probabilities = np.asarray(predictor(variables, batch["clip"]))
                scores += list(probabilities[batch["mask"]])
                used += [share[i] for i in batch["index"][batch["mask"]]]
            distributed.alive()
        parts = distributed.gather((used, scores))
        used, scores = (list(itertools.chain(*part)) for part in zip(*parts, strict=True))
        if not used:
            raise RuntimeError(f"none of the {len(found.samples)} validation videos can be read")
        labels = [found.samples[i].label for i in used]
        names = found.class_names or unnamed(config.model.num_classes)
        scores = np.stack(scores)
        results = metrics(scores, labels, names, config.data.multi_label)
        if "confusion" in config.test.figures and not config.data.multi_label:
            of_class = np.eye(scores.shape[1])
            matrix = confusion_matrix(of_class[np.asarray(labels)], of_class[scores.argmax(1)])
            title = f"{counted(len(labels), 'video')}; rows: true, columns: predicted; in percent"
            results["confusion"] = matrix_picture(matrix, names, title=title)
        return results

    def test(
        self,
        recognizer: Any,
        found: Listing,
        workdir: str | os.PathLike | None,
        save_scores: bool = False,
    ) -> TestResult:
        """Multi-view scores of all listed videos, under the config's protocol.

        Metrics cover the readable videos; if some are unreadable, metrics that end in `_of_all`
        cover the whole list and count those as wrong.

        With `save_scores`, `workdir`/scores.npz holds scores (V, K), labels and paths of the V
        readable videos.
        """
        config, samples = self.config, found.samples
        if recognizer.class_names == unnamed(len(found.class_names)):
            recognizer.class_names = found.class_names
        protocol = config.protocol
        logging.info(
            "%s: %s of %s, %s x %s each; %s per batch (config.test.batch_size is %d)",
            config.name, counted(len(samples), "video"), found.files[0],
            counted(protocol.clips, "clip"), counted(protocol.crops, "crop"),
            counted(recognizer.batch_size(len(distributed.share(len(samples)))), "view"),
            config.test.batch_size,
        )
        key = "" if workdir is None else key_of(recognizer, [sample.path for sample in samples])
        with Unfinished(workdir, key) as unfinished:
            scored, timing = _score(recognizer, samples, unfinished)
        used = [i for i in sorted(scored) if not scored[i].error]
        new = len(used) - len(unfinished.known)
        timing["views_per_second"] = new * protocol.clips * protocol.crops / timing["seconds"]
        scores = np.stack([scored[i].scores for i in used]) if used else np.zeros((0, 1))
        labels = [samples[i].label for i in used]
        multi_label = config.data.multi_label
        results = metrics_of_list(
            scores, labels, recognizer.class_names, multi_label, len(samples)
        )
        if save_scores and used and workdir is not None and distributed.first():
            Path(workdir).mkdir(parents=True, exist_ok=True)
            np.savez(
                Path(workdir) / "scores.npz", scores=scores, paths=[samples[i].path for i in used],
                labels=multi_hot(labels, scores.shape[1]) if multi_label else labels,
            )
        return TestResult(
            files=found.files,
            ids=[sample.path for sample in samples],
            images=any(isinstance(sample.source, Pictures) for sample in samples),
            metrics=results,
            rows=[
                {"video_id": i, "path": samples[i].path, "label": label_as_json(samples[i].label)}
                | top_scores(scored[i].scores)
                for i in used
            ],
            failed=[
                {"video_id": i, "path": samples[i].path, "reason": scored[i].error}
                for i in sorted(scored) if scored[i].error
            ],
            timing=timing,
            views=protocol.clips * protocol.crops,
        )

    def combine(
        self, files: Sequence[str | os.PathLike], workdir: str | os.PathLike | None
    ) -> dict[str, Any]:
        """Metrics of the mean scores of several tests, from their scores.npz."""
        config = self.config
        scores, labels = average_of_videos(files, config.model.num_classes)
        multi_label = labels.ndim > 1
        if multi_label != config.data.multi_label:
            raise ConfigError(
                f"config.data.multi_label is {config.data.multi_label}, but the videos of "
                f"{files[0]} have {'several classes' if multi_label else 'one class'} each"
            )
        if multi_label:
            labels = [tuple(np.flatnonzero(row).tolist()) for row in labels]
        names = named_by_config(config) or unnamed(scores.shape[1])
        return metrics(scores, labels, names, multi_label)

    def videos(self, found: Listing) -> list[str]:
        """The paths of the listed videos."""
        return [sample.path for sample in found.samples]

    def extract(
        self, recognizer: Any, found: Listing, names: Sequence[str], options: Options
    ) -> Iterator[Extracted]:
        """Features (W, ..., C) of the windows of each video; "start" and "end" are their seconds.
        """
        sources = {sample.path: sample.source for sample in found.samples}
        videos = [sources[name] for name in names]
        for index, features, error in iterate_features(recognizer, videos, options):
            arrays = {} if features is None else features._asdict()
            reason = error.reason if isinstance(error, VideoError) else str(error)
            yield Extracted(names[index], arrays, [reason] if error else [])

    def report(self, workdir: str | os.PathLike) -> dict[str, Any]:
        return classification.report(self.config, workdir)


def _score(
    recognizer: Any, samples: Sequence[Any], unfinished: Unfinished
) -> tuple[dict[int, VideoScores], dict[str, float]]:
    """Scores the videos that have no scores yet, split over all processes.

    Returns {position in the list: VideoScores} of all videos, and the seconds that this process
    spent in total and waiting for decoded video.
    """
    timing: dict[str, float] = {}
    start = time.perf_counter()
    left = [index for index in range(len(samples)) if index not in unfinished.known]
    share = distributed.share(len(left))
    left = left[share.start : share.stop]
    part = recognizer.score_videos([samples[index].source for index in left], timing)
    scored = {}
    for result in track(part, len(left), "testing"):
        index = left[result.index]
        scored[index] = result._replace(index=index, views=None)
        if not result.error:
            unfinished.add(index, result.scores)
    scored = {i: result for part in distributed.gather(scored) for i, result in part.items()}
    for index, scores in unfinished.known.items():
        scored[index] = VideoScores(index, scores, None, "")
    timing = {"seconds": time.perf_counter() - start, "seconds_waiting_for_video": timing["waited"]}
    share = timing["seconds_waiting_for_video"] / timing["seconds"]
    logging.info(
        "%s in %.1f s; the device waited for decoded video %.0f%% of the time",
        counted(len(samples) - len(unfinished.known), "video"), timing["seconds"], 100 * share,
    )
    return scored, timing


def top_scores(scores: np.ndarray) -> dict[str, list]:
    """Top-1 and top-5 of (K,) scores, as lists: top1_values, top1_indices, top5_values, ..."""
    record = {}
    for k in (1, 5):
        values, indices = top_k(scores, k)
        record |= {f"top{k}_values": values.tolist(), f"top{k}_indices": indices.tolist()}
    return record


def metrics_of_list(
    scores: np.ndarray,
    labels: Sequence[int] | Sequence[tuple[int, ...]],
    class_names: Sequence[str],
    multi_label: bool,
    listed: int,
) -> dict[str, Any]:
    """The `metrics` of those of `listed` videos that could be read; {} if none could.

    If some could not, metrics that end in `_of_all` count these as wrong.
    """
    if not len(scores):
        return {}
    results = metrics(scores, labels, class_names, multi_label)
    if len(scores) < listed and not multi_label:
        for name in ("top1_acc", "top5_acc"):
            results[f"{name}_of_all"] = results[name] * len(scores) / listed
    return results


def metrics(
    scores: np.ndarray,
    labels: Sequence[int] | Sequence[tuple[int, ...]],
    class_names: Sequence[str],
    multi_label: bool,
) -> dict[str, Any]:
    """Metrics in percent: top-k and mean-class accuracy, or mean average precision.

    Args:
      scores: (V, K) scores of V videos.
      labels: V classes, or with `multi_label` V tuples of classes.
      class_names: names of the K classes.
      multi_label: whether a video may have several classes.

    Returns:
      "split", "num_videos", and "top1_acc", "top5_acc", "mean_class_acc" and "per_class_acc", or
      with `multi_label` "map" and "per_class_ap". Per-class metrics are {name: value} and omit
      classes that do not occur among the labels.
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


def label_as_json(label: int | tuple[int, ...]) -> int | list[int]:
    """A video's class, or its classes."""
    return list(label) if isinstance(label, tuple) else label
