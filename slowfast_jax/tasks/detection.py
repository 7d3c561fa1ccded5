"""What each person does: actions of boxes in the middle of a clip, as on AVA."""

import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from data_pipelines.examples.keyframe_clips import load_keyframe
from data_pipelines.labels import unnamed
from data_pipelines.loading.batches import Examples
from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.video.image_files import Pictures
from slowfast_jax import distributed
from slowfast_jax.config import ConfigError
from slowfast_jax.data.keyframe_lists import Keyframes, find_keyframes
from slowfast_jax.inference.box_scores import score_boxes
from slowfast_jax.metrics import ava
from slowfast_jax.metrics.ava_files import from_arrays, write_detections
from slowfast_jax.progress import track
from slowfast_jax.report import detection
from slowfast_jax.tasks.result import Tested
from slowfast_jax.training.losses import LOSSES


def headline(config: ConfigDict) -> str:
    """The metric that says which checkpoint is best; larger is better."""
    return "map"


def training_examples(
    config: ConfigDict, workdir: str | os.PathLike | None
) -> tuple[Examples, list[str]]:
    """The keyframes to train on, and the names of the classes."""
    found = find_keyframes(config, workdir, "train")
    load = _loader(config, found.keyframes, config.protocol.train_crop)
    return Examples(len(found.keyframes), load, lambda i: _name(found.keyframes[i])), found.names


def _loader(config: ConfigDict, keyframes: Sequence[Keyframe], crop: int) -> Callable:
    data, protocol = config.data, config.protocol
    options = dict(
        num_frames=protocol.num_frames,
        sampling_rate=protocol.sampling_rate,
        crop=crop,
        max_boxes=data.max_boxes,
        num_classes=config.model.num_classes,
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


def batch_shapes(config: ConfigDict, rows: int, crop: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Of `data_pipelines.examples.keyframe_clips.load_keyframe`'s arrays, stacked."""
    boxes, protocol = config.data.max_boxes, config.protocol
    return {
        "clip": jax.ShapeDtypeStruct((rows, protocol.num_frames, crop, crop, 3), np.uint8),
        "boxes": jax.ShapeDtypeStruct((rows, boxes, 4), np.float32),
        "box_mask": jax.ShapeDtypeStruct((rows, boxes), bool),
        "label": jax.ShapeDtypeStruct((rows, boxes, config.model.num_classes), np.float32),
    }


def loss_function(config: ConfigDict) -> Callable:
    """(logits, endpoints, batch) -> (loss, {}): the mean over all boxes that are there."""
    loss = LOSSES[config.train.loss]

    def function(logits, endpoints, batch):
        return loss(logits, batch["label"], batch["box_mask"]), {}

    return function


def validate(
    config: ConfigDict, predict: Callable[..., np.ndarray], workdir: str | os.PathLike | None
) -> dict[str, Any]:
    """Frame-mAP in percent on every fourth second, or on all with config.data.full_test_on_val."""
    found = find_keyframes(config, workdir, "val")
    scores, failed = _score(config, predict, found.keyframes)
    for failure in failed if distributed.first() else ():
        logging.error("failed: %s: %s", failure["path"], failure["reason"])
    return _metrics(config, found, scores)[0]


def test(
    config: ConfigDict,
    recognizer: Any,
    workdir: str | os.PathLike | None,
    save_scores: bool = False,
) -> Tested:
    """Scores every box of every keyframe; `workdir` gets detections.csv in AVA's format.

    With `save_scores` it also gets scores.npz: scores (B, K), boxes (B, 4), keyframe (B,), and
    video, time of the keyframes.
    """
    found = find_keyframes(config, workdir, "test")
    _check_names(recognizer.class_names, found)
    keyframes = found.keyframes
    boxes = sum(len(keyframe.boxes) for keyframe in keyframes)
    logging.info(
        "%s: %d keyframes of %s with %d boxes", config.name, len(keyframes), found.files[0], boxes
    )
    start = time.perf_counter()
    scores, failed = _score(config, recognizer, keyframes)
    timing = {"seconds": time.perf_counter() - start}
    timing["keyframes_per_second"] = len(keyframes) / timing["seconds"]
    metrics, table = _metrics(config, found, scores) if scores else ({}, None)
    if workdir is not None and table is not None and distributed.first():
        Path(workdir).mkdir(parents=True, exist_ok=True)
        write_detections(Path(workdir) / "detections.csv", table)
        if save_scores:
            used = sorted(scores)
            np.savez(
                Path(workdir) / "scores.npz",
                scores=np.concatenate([scores[i] for i in used]),
                boxes=np.concatenate([keyframes[i].boxes for i in used]),
                keyframe=np.repeat(used, [len(keyframes[i].boxes) for i in used]),
                video=[keyframe.video for keyframe in keyframes],
                time=[keyframe.time for keyframe in keyframes],
            )
    return Tested(
        files=found.files,
        ids=[_name(keyframe) for keyframe in keyframes],
        images=any(isinstance(keyframe.source, Pictures) for keyframe in keyframes),
        metrics=metrics,
        rows=[],
        failed=failed,
        timing=timing,
    )


def report(config: ConfigDict, workdir: str | os.PathLike) -> dict[str, Any]:
    """What a report shows of the last test in `workdir`; see detection_report.py."""
    return detection.report(config, workdir)


def _check_names(names: Sequence[str], found: Keyframes) -> None:
    """ConfigError where the network's classes are others than the data's, or in another order."""
    if names in (found.names, unnamed(len(names))):
        return
    pairs = zip(names, found.names, strict=True)
    first = next(i for i, (stored, wanted) in enumerate(pairs) if stored != wanted)
    raise ConfigError(
        f"class {first + 1} of the network is {names[first]!r}, and that of {found.files[0]} is "
        f"{found.names[first]!r}: test with the classes that it was trained on (config.class_names)"
    )


def _score(
    config: ConfigDict, predict: Callable[..., Any], keyframes: Sequence[Keyframe]
) -> tuple[dict[int, np.ndarray], list[dict[str, Any]]]:
    """(B, K) scores of the boxes of each keyframe that can be read, and the others."""
    share = distributed.share(len(keyframes))
    load = _loader(config, keyframes[share.start : share.stop], config.protocol.test_crop)
    scored = score_boxes(
        predict, load, len(share), batch_size=config.test.batch_size,
        threads=config.train.threads, workers=config.train.workers,
    )
    scores: dict[int, np.ndarray] = {}
    failed: list[dict[str, Any]] = []
    for result in track(scored, len(share), "testing"):
        index = share[result.index]
        if result.error:
            name = _name(keyframes[index])
            failed.append({"video_id": index, "path": name, "reason": result.error})
        else:
            scores[index] = result.scores
    parts = distributed.gather((scores, failed))
    scores = {index: row for part, _ in parts for index, row in part.items()}
    return scores, [failure for _, part in parts for failure in part]


def _metrics(config: ConfigDict, found: Keyframes, scores: dict[int, np.ndarray]):
    """Metrics in percent and the table of detections."""
    used = sorted(scores)
    columns = [action - 1 for action in found.evaluated]
    table = from_arrays(
        [(found.keyframes[i].video, found.keyframes[i].time) for i in used],
        np.repeat(np.arange(len(used)), [len(scores[i]) for i in used]),
        np.concatenate([found.keyframes[i].boxes for i in used]),
        np.concatenate([scores[i] for i in used])[:, columns],
        classes=found.evaluated,
    )
    result = ava.evaluate(
        table, found.ground_truth, classes=found.evaluated, excluded=found.excluded,
        rules=config.data.evaluator,
    )
    per_class = {found.names[action - 1]: action for action in found.evaluated}
    metrics = {
        "map": 100 * result["map"],
        "num_keyframes": len(used),
        "per_class_ap": {
            name: 100 * result["ap"][action] for name, action in per_class.items()
            if not math.isnan(result["ap"][action])
        },
        "per_class_boxes": {
            name: result["num_gt"][action] for name, action in per_class.items()
        },
    }
    return metrics, table


def _name(keyframe: Keyframe) -> str:
    return f"{keyframe.video} at {keyframe.time:g} s"
