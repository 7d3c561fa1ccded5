"""What a report shows of videos: the middle of some with their class, and which are confused."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from data_pipelines.labels import class_names, unnamed
from data_pipelines.sources.video_lists import Sample
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.stills import middle
from slowfast_jax.data.video_lists import find_samples
from slowfast_jax.metrics.confusion import mean_scores
from slowfast_jax.report.items import Picture, existing, spread

THRESHOLD = 0.5  # where a video has several labels, one of this score or more counts as said
PICTURES = 12
EXPLANATION = (
    "Of the videos of the class in the row, the percentage that is taken for the class in the "
    "column."
)


def report(config: ConfigDict, workdir: str | os.PathLike) -> dict[str, Any]:
    """Keywords of `slowfast_jax.report.html.write_report`, from the results.json of the last test.

    Confusion is shown where a video has one class.

    Raises:
      FileNotFoundError: the test did not take place.
      ValueError: it was of other videos or classes than the config's.
    """
    path = existing(Path(workdir) / "results.json", "eval")
    rows = json.loads(path.read_text(encoding="utf-8"))["videos"]
    if not rows:
        raise ValueError(f"{path}: no video was tested; see what it says of those that failed")
    listing = find_samples(config, workdir)
    classes = config.model.num_classes
    names = listing.class_names or (
        class_names(config.class_names, count=classes) if config.class_names else unnamed(classes)
    )
    for row in rows:
        number, most = row["video_id"], max(row["top1_indices"])
        if number >= len(listing.samples) or listing.samples[number].path != row["path"]:
            raise ValueError(
                f"{path}: video {number} is {row['path']}, which {listing.files[0]} does not have "
                "in this place; test again with --mode eval"
            )
        if most >= classes:
            raise ValueError(f"{path}: has class {most}, and the network {classes} classes")
    shown = {
        "frames": list(_pictures(config, rows, listing.samples, names)),
        "class_names": names,
        "explanation": EXPLANATION,
    }
    if not config.data.multi_label:
        of_class = np.eye(classes, dtype=np.float32)
        labels, said = (np.array(column, int) for column in zip(
            *((row["label"], row["top1_indices"][0]) for row in rows), strict=True
        ))
        shown["confusion"] = mean_scores(of_class[labels], of_class[said])
    return shown


def _pictures(
    config: ConfigDict,
    rows: Sequence[dict[str, Any]],
    samples: Sequence[Sample],
    names: Sequence[str],
) -> Iterator[Picture]:
    for index in spread(len(rows), PICTURES):
        row = rows[index]
        try:
            image = middle(samples[row["video_id"]].source)
        except VideoError as error:
            logging.warning("no picture of %s: %s", row["path"], error)
            continue
        truths = row["label"] if config.data.multi_label else [row["label"]]
        if config.data.multi_label:
            best = zip(row["top5_indices"], row["top5_values"], strict=True)
            said = [(k, score) for k, score in best if score >= THRESHOLD]
        else:
            said = [(row["top1_indices"][0], row["top1_values"][0])]
        height, width = image.shape[:2]
        yield Picture(
            image=image,
            boxes=np.array([[0, 0, width - 1, height - 1]]),
            truths=[[names[k] for k in truths]],
            predictions=[[(names[k], score) for k, score in said]],
            title=os.path.basename(row["path"]),
        )
