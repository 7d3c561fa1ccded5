"""Whole videos: each view is an input with one score per class."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.labels import unnamed
from slowfast_jax.data.video_lists import Listing
from slowfast_jax.inference.multiview import view_options, views_of
from slowfast_jax.metrics.ensemble import ensemble
from slowfast_jax.tasks.classification import label_as_json, metrics_of_list

UNIT = "videos"
DTYPES = {"clip": "uint8"}


def options(config: ConfigDict) -> dict[str, Any]:
    """What the inputs depend on, apart from the list."""
    return view_options(config)


def views_per_example(config: ConfigDict) -> int:
    """Inputs of each video."""
    return config.protocol.clips * config.protocol.crops


def entries(found: Listing) -> list[dict[str, Any]]:
    """What the index says about each video, apart from its label and files."""
    return [{"video": sample.path} for sample in found.samples]


def name_of(found: Listing, index: int) -> str:
    """What a video is called in messages."""
    return found.samples[index].path


def label_of(found: Listing, index: int) -> dict[str, Any]:
    """The class of a video, or its classes; read with it, because records hold both."""
    return {"label": label_as_json(found.samples[index].label)}


def loader(
    config: ConfigDict, found: Listing, box_rows: int | None
) -> Callable[[int], Iterator[dict[str, np.ndarray]]]:
    """A function `load(index)` that yields the inputs of each view: clip, uint8 (1, T, S, S, 3)."""
    sampling = view_options(config) | {"thread_type": "NONE"}

    def load(index: int) -> Iterator[dict[str, np.ndarray]]:
        for clips in views_of(found.samples[index].source, sampling):
            for clip in clips:
                yield {"clip": clip[None]}

    return load


def least_bytes(config: ConfigDict) -> int:
    """Size of all views of a video."""
    protocol = config.protocol
    return views_per_example(config) * protocol.num_frames * protocol.test_crop**2 * 3


def write_truth(folder: Path, found: Listing) -> None:
    """The labels are in the index."""


def class_names(config: ConfigDict, found: Listing) -> list[str]:
    """Names of the K classes."""
    return found.class_names or unnamed(config.model.num_classes)


def rows_of(entry: Mapping[str, Any]) -> int:
    """Rows of the scores of one input."""
    return 1


def metrics(
    config: ConfigDict, folder: Path, index: Mapping[str, Any],
    scores: Sequence[Sequence[np.ndarray]],
) -> dict[str, Any]:
    """Metrics in percent; scores: for each entry of the index, (1, K) of each of its views."""
    method, labels = config.protocol.ensemble, [entry["label"] for entry in index["examples"]]
    combined = [ensemble(np.concatenate(views), method) for views in scores]
    return metrics_of_list(
        np.stack(combined) if combined else np.zeros((0, 1)), labels, index["classes"],
        config.data.multi_label, len(labels) + len(index["failed"]),
    )
