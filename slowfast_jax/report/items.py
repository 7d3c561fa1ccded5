"""What a task passes to the report: pictures, a video and the size of the network."""

import json
import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from slowfast_jax.config import build_model
from slowfast_jax.weights import variable_shapes

# What the metrics are called.
TITLES = {
    "map": "mAP, %", "top1_acc": "top-1 accuracy, %", "top5_acc": "top-5 accuracy, %",
    "mean_class_acc": "mean class accuracy, %",
    "top1_acc_of_all": "top-1 accuracy, %, failed videos counted as wrong",
    "top5_acc_of_all": "top-5 accuracy, %, failed videos counted as wrong",
    "num_keyframes": "keyframes tested", "num_boxes": "boxes tested",
    "num_videos": "videos tested", "top1_err": "top-1 error, %", "top5_err": "top-5 error, %",
    "lr": "learning rate", "grad_norm": "gradient norm", "memory_gb": "memory, GB",
    "data_wait": "share of the time spent waiting for data",
}


class Picture(NamedTuple):
    """A frame with B boxes, and the class names that are true and predicted for each."""

    image: np.ndarray  # uint8 (H, W, 3) RGB
    boxes: np.ndarray  # (B, 4) x1, y1, x2, y2 in pixels
    truths: Sequence[Sequence[str]]  # B; empty for a box that is on no person
    predictions: Sequence[Sequence[tuple[str, float]]]  # B; (class, score)
    title: str


class Video(NamedTuple):
    """Pictures of the same size, played at `fps` frames per second, and a sentence on them."""

    fps: Fraction
    pictures: Iterable[Picture]
    explanation: str = ""


def parameter_count(config: ConfigDict) -> int:
    """The number of parameters of the config's network."""
    params = variable_shapes(build_model(config))["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the indices 0 to `count - 1`, evenly spaced, first and last included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def existing(path: Path, mode: str) -> Path:
    """Returns `path`, a file that a run in the given mode writes.

    Raises:
      FileNotFoundError: it doesn't exist.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such file; run --mode {mode} --workdir {path.parent} to create it"
        )
    return path


def read_results(workdir: str | os.PathLike) -> dict[str, Any]:
    """The sections "fingerprint", "metrics", "failed" and "videos" of a test's results.json.

    Raises:
      FileNotFoundError, ValueError: it does not exist, or is no such file.
    """
    path = existing(Path(workdir) / "results.json", "eval")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        needed = {key: results[key] for key in ("metrics", "fingerprint")}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a results file of --mode eval ({error!r})") from error
    return needed | {key: results.get(key, []) for key in ("failed", "videos")}
