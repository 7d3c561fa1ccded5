"""Evaluation on a test set, recorded so that runs can be compared.

    results = evaluate(load_config("configs/kinetics.py:x3d_xs"), workdir, weights="x3d_xs.pyth")
"""

import json
import os
from collections.abc import Mapping, Sequence
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
from slowfast_jax.inference.digests import digest, digest_of
from slowfast_jax.loop.preflight import prepare_test
from slowfast_jax.models.cost import count, totals
from slowfast_jax.published.cached_weights import origin_of
from slowfast_jax.recognizer import Recognizer
from slowfast_jax.tasks import make_task, unfinished
from slowfast_jax.tasks.result import TestResult
from slowfast_jax.training.checkpoint import FOLDER
from slowfast_jax.training.writers import METRICS_FILE, add_test

VIEW_FIELDS = ("clips", "crops", "ensemble", "offset_sampling")  # of the protocol


def evaluate(
    config: ConfigDict,
    workdir: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    *,
    save_scores: bool = False,
    backend: str = "jax",
) -> dict[str, Any]:
    """Tests a network on the config's test set, following the config's test protocol.

    config.data.format decides what the test set consists of: video files, frames stored as image
    files, single images, or boxes within videos (see slowfast_jax/data). Unreadable examples are
    reported, never silently dropped: the results list each of them with the reason, and the metrics
    state how many examples they cover.

    Args:
      config: a complete config (see `load_config`).
      workdir: receives results.json, a line in results.jsonl, and the task's own files:
        detections.csv for detection, and scores.npz with `save_scores`. If a checkpoint of a run in
        this folder is tested, the metrics are added to its metrics.jsonl and TensorBoard files.
        None: nothing is written.
      weights: a checkpoint, "published" for the published weights of the network (see
        `slowfast_jax.load`), or "random" for an untrained network. Default: config.test.checkpoint,
        else the last checkpoint in `workdir`, else config.train.init_from.path.
      save_scores: whether to write the scores of all examples to scores.npz.
      backend: what runs the network, see `slowfast_jax.load`.

    Returns:
      The contents of results.json: "fingerprint" (tests with equal fingerprints are comparable),
      "metrics" (in percent), "failed" (video_id, path and reason of unreadable examples), "videos"
      (for each video its video_id, which is its row in the list, and path, label, top1_values,
      top1_indices, top5_values and top5_indices) and "timing".

    Raises:
      ConfigError: there are no weights, a field does not fit the data, or there are several
        problems with config, data, weights or `workdir`.
      FileNotFoundError, ValueError: the list or the weights are missing or invalid.
      RuntimeError: not a single example could be decoded. results.json is written nevertheless.
    """
    recognizer, found = prepare_test(config, workdir, weights, backend)
    _log_cost(config)
    tested = make_task(recognizer.config).test(recognizer, found, workdir, save_scores)
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
        unfinished.clear(workdir)
        _add_to_run(Path(workdir), recognizer.config.test.checkpoint, results["metrics"])
    if len(tested.failed) == len(tested.ids):
        first = tested.failed[0]
        raise RuntimeError(
            f"none of the {len(tested.ids)} {tested.unit} of {tested.files[0]} could be decoded; "
            f"the first error: {first['path']}: {first['reason']}"
        )
    return results


def combine(
    config: ConfigDict, files: Sequence[str | os.PathLike],
    workdir: str | os.PathLike | None = None,
) -> dict[str, Any]:
    """Metrics, in percent, of the mean scores of several tests of the same examples.

    Args:
      config: names the task, the classes, and for detection the test set.
      files: scores.npz of these tests (see `evaluate`).
      workdir: receives ensemble.json: the metrics, also of single classes, and the files with
        their digests. None: nothing is written.

    Raises:
      FileNotFoundError, ValueError: a file does not exist, or they are from tests of different
        examples or classes.
    """
    metrics = make_task(config).combine(files, workdir)
    if workdir is not None:
        Path(workdir).mkdir(parents=True, exist_ok=True)
        text = to_lines({
            "scores": {os.fspath(path): digest_of(Path(path)) for path in files},
            "metrics": metrics,
        })
        (Path(workdir) / "ensemble.json").write_text(text + "\n", encoding="utf-8")
    return {"files": len(files)} | _rounded(_overall(metrics))


def _log_cost(config: ConfigDict) -> None:
    frames, crop = config.protocol.num_frames, config.protocol.test_crop
    cost = totals(count(build_model(config), frames, crop))
    logging.info(
        "%s: %d parameters; %.3f GMACs and %.2f million activations per view of %d x %d x %d; "
        "running on %d %s device(s)",
        config.name, cost["params"], cost["macs"] / 1e9, cost["activations"] / 1e6,
        frames, crop, crop, jax.local_device_count(), jax.default_backend(),
    )


def fingerprint(recognizer: Recognizer, tested: TestResult) -> dict[str, Any]:
    """Everything that the metrics depend on, so that two runs can be compared line by line."""
    config = recognizer.config
    weights = config.test.checkpoint
    origin = origin_of(weights) if weights else {}
    names = "\n".join(recognizer.class_names)
    norm = "none"
    if recognizer.model.foldable:
        norm = "folded" if recognizer.model.folded else "running statistics"
    listed, failed, unit = len(tested.ids), len(tested.failed), tested.unit
    return {
        "config": config.name,
        "model": json.loads(config.model.to_json()),
        "protocol": {
            key: value for key, value in json.loads(config.protocol.to_json()).items()
            if tested.views or key not in VIEW_FIELDS
        },
        **({"views": tested.views} if tested.views else {}),
        "sampling": config.data.sampling,
        "list": os.fspath(tested.files[0]),
        "list_sha256": _list_sha256(tested),
        **counts(unit, listed, failed),
        "class_list_sha256": digest(names),
        "weights": weights or "random",
        "weights_sha256": digest_of(Path(weights)) if weights else "",
        **({"weights_origin": origin} if origin else {}),
        "batch_norm": norm,
        "decoder": _decoder(tested),
        "backend": jax.default_backend(),
        **({"runtime": recognizer.runtime} if recognizer.runtime else {}),
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }


def counts(unit: str, listed: int, failed: int) -> dict[str, int]:
    """How many examples were listed, used and failed; unit: what they are, in the plural."""
    return {f"{unit}_listed": listed, f"{unit}_used": listed - failed, f"{unit}_failed": failed}


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
        return digest("\n".join(os.path.relpath(name, path) for name in tested.ids))
    hashes = [digest_of(file) for file in tested.files]
    return digest("\n".join(hashes)) if len(hashes) > 1 else hashes[0]


def _write(workdir: Path, results: dict[str, Any]) -> None:
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "results.json").write_text(to_lines(results) + "\n", encoding="utf-8")
    row = {"time": datetime.now(UTC).isoformat(timespec="seconds")}
    kept = ("config", "weights", "views")
    row |= {key: value for key, value in results["fingerprint"].items() if key in kept}
    with (workdir / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row | _overall(results["metrics"]), allow_nan=False) + "\n")


def _add_to_run(workdir: Path, weights: str, metrics: Mapping[str, Any]) -> None:
    """Adds the metrics to the records of the run in `workdir` if its checkpoint was tested."""
    checkpoint = Path(weights).absolute()
    own = checkpoint.parent == workdir.absolute() / FOLDER and checkpoint.name.isdecimal()
    if metrics and own and (workdir / METRICS_FILE).exists():
        add_test(workdir, int(checkpoint.name), metrics)


def printed(results: Mapping[str, Any]) -> dict[str, Any]:
    """What the command prints of a test: views, counts and metrics, rounded to two decimals.

    Of five classes or fewer, the top-5 accuracy is left out: it is always 100 %.
    """
    fingerprint, metrics = results["fingerprint"], _overall(results["metrics"])
    protocol, views = fingerprint["protocol"], {}
    if "views" in fingerprint:
        views["views"] = f"{protocol['clips']}x{protocol['crops']}"
    counts = {
        key: value for key, value in fingerprint.items()
        if key.endswith(("_listed", "_used", "_failed"))
    }
    if 0 < fingerprint["model"].get("num_classes", 0) <= 5:
        metrics = {key: value for key, value in metrics.items() if not key.startswith("top5")}
    return views | counts | _rounded(metrics)


def _rounded(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {k: round(v, 2) if isinstance(v, float) else v for k, v in metrics.items()}


def _overall(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics without those of single classes."""
    return {key: value for key, value in metrics.items() if not key.startswith("per_class")}


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
