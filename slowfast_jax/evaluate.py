"""Evaluation on a test set, recorded so that runs can be compared.

    results = evaluate(load_config("configs/kinetics.py:x3d_xs"), workdir, weights="x3d_xs.pyth")
"""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import jax
import PIL
from absl import logging
from ml_collections import ConfigDict
from PIL import features

from slowfast_jax import distributed
from slowfast_jax.config import build_model
from slowfast_jax.models.cost import count, totals
from slowfast_jax.recognizer import Recognizer, load
from slowfast_jax.tasks import make_task
from slowfast_jax.tasks.result import TestResult


def evaluate(
    config: ConfigDict,
    workdir: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    *,
    save_scores: bool = False,
) -> dict[str, Any]:
    """Tests a network on the config's test set, following the config's test protocol.

    config.data.format decides what the test set consists of: video files, frames stored as image
    files, single images, or boxes within videos (see slowfast_jax/data). Unreadable examples are
    reported, never silently dropped: the results list each of them with the reason, and the metrics
    state how many examples they cover.

    Args:
      config: a complete config (see `load_config`).
      workdir: receives results.json, a line in results.jsonl, and the task's own files:
        detections.csv for detection, and scores.npz with `save_scores`. None: nothing is written.
      weights: a checkpoint; default: config.test.checkpoint.
      save_scores: whether to write the scores of all examples to scores.npz.

    Returns:
      The contents of results.json: "fingerprint" (runs with equal fingerprints are comparable),
      "metrics" (in percent), "failed" (video_id, path and reason of unreadable examples), "videos"
      (for each video its video_id, which is its row in the list, and path, label, top1_values,
      top1_indices, top5_values and top5_indices) and "timing".

    Raises:
      ConfigError: the data format cannot be evaluated, or a field does not fit the data.
      FileNotFoundError, ValueError: the list or the weights are missing or invalid.
      RuntimeError: not a single example could be decoded. results.json is written nevertheless.
    """
    recognizer = load(config, weights)
    _log_cost(config)
    tested = make_task(recognizer.config).test(recognizer, workdir, save_scores)
    results = {
        "fingerprint": fingerprint(recognizer, tested),
        "metrics": tested.metrics,
        "failed": tested.failed,
        "videos": tested.rows,
        "timing": tested.timing,
    }
    for failure in tested.failed if distributed.first() else ():
        logging.error("failed: %s: %s", failure["path"], failure["reason"])
    if workdir is not None and distributed.first():
        _write(Path(workdir), results)
    if len(tested.failed) == len(tested.ids):
        first = tested.failed[0]
        raise RuntimeError(
            f"none of the {len(tested.ids)} videos of {tested.files[0]} could be decoded; the "
            f"first error: {first['path']}: {first['reason']}"
        )
    return results


def _log_cost(config: ConfigDict) -> None:
    frames, crop = config.protocol.num_frames, config.protocol.test_crop
    cost = totals(count(build_model(config), frames, crop))
    logging.info(
        "%s: %d parameters; %.3f GMACs and %.2f million activations per view of %d x %d x %d; "
        "running on %d %s device(s)",
        config.model.name, cost["params"], cost["macs"] / 1e9, cost["activations"] / 1e6,
        frames, crop, crop, jax.local_device_count(), jax.default_backend(),
    )


def fingerprint(recognizer: Recognizer, tested: TestResult) -> dict[str, Any]:
    """Everything that the metrics depend on, so that two runs can be compared line by line."""
    config = recognizer.config
    weights = config.test.checkpoint
    names = "\n".join(recognizer.class_names)
    norm = "none"
    if recognizer.model.foldable:
        norm = "folded" if recognizer.model.folded else "running statistics"
    listed, failed = len(tested.ids), len(tested.failed)
    return {
        "config": config.name,
        "model": json.loads(config.model.to_json()),
        "protocol": json.loads(config.protocol.to_json()),
        "views": config.protocol.clips * config.protocol.crops,
        "sampling": config.data.sampling,
        "list": os.fspath(tested.files[0]),
        "list_sha256": _list_sha256(tested),
        "videos_listed": listed,
        "videos_used": listed - failed,
        "videos_failed": failed,
        "class_list_sha256": _digest(names),
        "weights": weights or "random",
        "weights_sha256": _sha256(Path(weights)) if weights else "",
        "batch_norm": norm,
        "decoder": _decoder(tested),
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }


def _decoder(tested: TestResult) -> str:
    if tested.images:
        jpeg = features.version("libjpeg_turbo") or features.version("jpg")
        return f"Pillow {PIL.__version__}, libjpeg {jpeg}"
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"PyAV {av.__version__}, libavcodec {codec}"


def _list_sha256(tested: TestResult) -> str:
    """Digest of the test set's list.

    For a single file this is the digest of its contents, for several files that of their digests,
    and for a folder of images that of the images' paths, which contain the classes.
    """
    path = tested.files[0]
    if path.is_dir():
        return _digest("\n".join(os.path.relpath(name, path) for name in tested.ids))
    hashes = [_sha256(file) for file in tested.files]
    return _digest("\n".join(hashes)) if len(hashes) > 1 else hashes[0]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    """First 16 digits of the SHA-256 of a file, or of the digests of all files in a folder."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return _digest("\n".join(map(_sha256, files)))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _write(workdir: Path, results: dict[str, Any]) -> None:
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "results.json").write_text(to_lines(results) + "\n", encoding="utf-8")
    row = {"time": datetime.now(UTC).isoformat(timespec="seconds")}
    row |= {key: results["fingerprint"][key] for key in ("config", "weights", "views")}
    with (workdir / "results.jsonl").open("a", encoding="utf-8") as file:
        metrics = {k: v for k, v in results["metrics"].items() if not k.startswith("per_class")}
        file.write(json.dumps(row | metrics, allow_nan=False) + "\n")


def to_lines(results: dict[str, Any]) -> str:
    """JSON with one line per entry of each section, so that `diff` can compare two files."""
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
