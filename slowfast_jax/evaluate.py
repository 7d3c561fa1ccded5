"""Multi-view testing of a classifier on a list of videos, with a record that can be compared.

    results = evaluate(load_config("configs/kinetics.py:x3d_xs"), workdir, weights="x3d_xs.pyth")
"""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import jax
import numpy as np
import PIL
from absl import logging
from ml_collections import ConfigDict
from PIL import features

from data_pipelines.views import Video
from slowfast_jax.config import ConfigError, build_model
from slowfast_jax.metrics.average_precision import mean_average_precision
from slowfast_jax.metrics.topk import mean_class_accuracy, per_class_accuracy, top_k, top_k_accuracy
from slowfast_jax.multiview import VideoScores
from slowfast_jax.progress import track
from slowfast_jax.recognizer import Recognizer, load, unnamed
from slowfast_jax.samples import Listing, find_samples
from slowfast_jax.summary import count, totals


def evaluate(
    config: ConfigDict,
    workdir: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    *,
    save_scores: bool = False,
) -> dict[str, Any]:
    """Tests a classifier by the config's protocol on the videos of config.data.test_list.

    Videos are files, or frames stored as image files, or single images, as config.data.format says
    (see slowfast_jax.samples). One that cannot be decoded is never dropped silently: the metrics
    are over the others, say over how many, and the results name it with its reason.

    Args:
      config: complete (`load_config`).
      workdir: gets results.json, and with `save_scores` scores.npz: scores (V, K), labels, paths
        of the V videos that could be decoded. None writes nothing.
      weights: default config.test.checkpoint.

    Returns:
      What results.json holds: "fingerprint" (two runs with the same one are comparable), "metrics"
      (in percent), "videos" (video_id is the row in the list; label, top1_values, top1_indices,
      top5_values, top5_indices), "failed" (video_id, path, reason), "timing".

    Raises:
      ConfigError: for a task or data format this version does not evaluate, and fields that do not
        fit the data.
      FileNotFoundError, ValueError: from the list and the weights.
      RuntimeError: where no video at all could be decoded (results.json is written before).
    """
    if config.task != "classification":
        raise ConfigError(f"config.task is {config.task}: this version evaluates classification")
    listing = find_samples(config, workdir)
    samples, list_path = listing.samples, listing.files[0]
    recognizer = load(config, weights)
    if recognizer.class_names == unnamed(len(listing.class_names)):
        recognizer.class_names = listing.class_names
    views = config.protocol.clips * config.protocol.crops
    cost = totals(count(build_model(config), config.protocol.num_frames, config.protocol.test_crop))
    logging.info(
        "%s: %d parameters; a view of %d x %d x %d: %.3f GMACs, %.2f million activations",
        config.model.name, cost["params"], config.protocol.num_frames, config.protocol.test_crop,
        config.protocol.test_crop, cost["macs"] / 1e9, cost["activations"] / 1e6,
    )
    logging.info(
        "%s: %d videos of %s, %d x %d views each; %d views at once (config.test.batch_size %d) on "
        "%d %s device(s)",
        config.name, len(samples), list_path, config.protocol.clips, config.protocol.crops,
        recognizer.batch_size(len(samples)), config.test.batch_size,
        jax.local_device_count(), jax.default_backend(),
    )
    scored, timing = _score(recognizer, [sample.source for sample in samples])
    used = [i for i in sorted(scored) if not scored[i].error]
    failed = [
        {"video_id": i, "path": samples[i].path, "reason": scored[i].error}
        for i in sorted(scored) if scored[i].error
    ]
    timing["views_per_second"] = len(used) * views / timing["seconds"]
    results = {
        "fingerprint": fingerprint(recognizer, listing, len(failed)),
        "metrics": {},
        "failed": failed,
        "videos": [
            {"video_id": i, "path": samples[i].path, "label": _as_json(samples[i].label)}
            | top_scores(scored[i].scores)
            for i in used
        ],
        "timing": timing,
    }
    for failure in failed:
        logging.error("failed: %s: %s", failure["path"], failure["reason"])
    if used:
        scores = np.stack([scored[i].scores for i in used])
        labels = [samples[i].label for i in used]
        results["metrics"] = metrics(
            scores, labels, recognizer.class_names, config.data.multi_label
        )
    if workdir is not None:
        _write(Path(workdir), results)
        if save_scores and used:
            paths = [samples[i].path for i in used]
            np.savez(
                Path(workdir) / "scores.npz", scores=scores, paths=paths,
                labels=_multi_hot(labels, scores.shape) if config.data.multi_label else labels,
            )
    if not used:
        raise RuntimeError(
            f"none of the {len(samples)} videos of {list_path} could be decoded; the first: "
            f"{failed[0]['path']}: {failed[0]['reason']}"
        )
    return results


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
        mean, per_class = mean_average_precision(scores, _multi_hot(labels, scores.shape))
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


def fingerprint(recognizer: Recognizer, listing: Listing, failed: int) -> dict[str, Any]:
    """All that a number depends on, so that two runs can be compared line by line."""
    config = recognizer.config
    weights = config.test.checkpoint
    names = "\n".join(recognizer.class_names)
    listed = len(listing.samples)
    return {
        "config": config.name,
        "model": json.loads(config.model.to_json()),
        "protocol": json.loads(config.protocol.to_json()),
        "views": config.protocol.clips * config.protocol.crops,
        "sampling": config.data.sampling,
        "list": os.fspath(listing.files[0]),
        "list_sha256": _list_sha256(listing),
        "videos_listed": listed,
        "videos_used": listed - failed,
        "videos_failed": failed,
        "class_list_sha256": _digest(names),
        "weights": weights or "random",
        "weights_sha256": _sha256(Path(weights)) if weights else "",
        "batch_norm": "folded" if recognizer.model.folded else "running statistics",
        "decoder": _decoder(listing),
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }


def _score(
    recognizer: Recognizer, videos: Sequence[Video]
) -> tuple[dict[int, VideoScores], dict[str, float]]:
    """Each video's scores by its place in the list, and seconds: all, and waiting for decoding."""
    timing: dict[str, float] = {}
    start = time.perf_counter()
    results = track(recognizer.score_videos(videos, timing), len(videos), "testing")
    scored = {result.index: result._replace(views=None) for result in results}
    timing = {"seconds": time.perf_counter() - start, "seconds_waiting_for_video": timing["waited"]}
    share = timing["seconds_waiting_for_video"] / timing["seconds"]
    logging.info(
        "%d videos in %.1f s; the device waited %.0f %% of it for decoded video",
        len(videos), timing["seconds"], 100 * share,
    )
    return scored, timing


def _as_json(label: int | tuple[int, ...]) -> int | list[int]:
    return list(label) if isinstance(label, tuple) else label


def _multi_hot(labels: Sequence[Sequence[int]], shape: tuple[int, int]) -> np.ndarray:
    hot = np.zeros(shape, np.int64)
    for row, classes in zip(hot, labels, strict=True):
        row[list(classes)] = 1
    return hot


def _decoder(listing: Listing) -> str:
    if any(sample.frames for sample in listing.samples):
        jpeg = features.version("libjpeg_turbo") or features.version("jpg")
        return f"Pillow {PIL.__version__}, libjpeg {jpeg}"
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"PyAV {av.__version__}, libavcodec {codec}"


def _list_sha256(listing: Listing) -> str:
    """Of the file where the list is one; of several files their hashes'; of a folder of images
    their paths', which hold their classes."""
    path = listing.files[0]
    if path.is_dir():
        return _digest("\n".join(os.path.relpath(sample.path, path) for sample in listing.samples))
    hashes = [_sha256(file) for file in listing.files]
    return _digest("\n".join(hashes)) if len(hashes) > 1 else hashes[0]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    """The first 16 digits of a file's SHA-256, or of that of the hashes of a folder's files."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return _digest("\n".join(map(_sha256, files)))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _write(workdir: Path, results: dict[str, Any]) -> None:
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "results.json").write_text(to_lines(results) + "\n", encoding="utf-8")


def to_lines(results: dict[str, Any]) -> str:
    """JSON with a line for every entry of its parts, so that two files can be compared by diff."""
    parts = []
    for name, part in results.items():
        if isinstance(part, dict):
            rows = [f"{json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in part.items()]
            body = "{\n  " + ",\n  ".join(rows) + "\n }" if rows else "{}"
        else:
            rows = [json.dumps(row, allow_nan=False) for row in part]
            body = "[\n  " + ",\n  ".join(rows) + "\n ]" if rows else "[]"
        parts.append(f" {json.dumps(name)}: {body}")
    return "{\n" + ",\n".join(parts) + "\n}"
