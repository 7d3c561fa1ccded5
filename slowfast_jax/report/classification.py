"""Content of a classification report: middle frames with classes, and the confusion matrix."""

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
from slowfast_jax.metrics.confusion import confusion_matrix
from slowfast_jax.report.items import Picture, existing, parameter_count, spread

THRESHOLD = 0.5  # least score of a predicted label where videos can have several
PICTURES = 12  # in the report
EXPLANATION = (
    "Each cell is the percentage of videos of the class in the row that are predicted to be of the "
    "class in the column."
)


def report(config: ConfigDict, workdir: str | os.PathLike) -> dict[str, Any]:
    """Keywords of `report.html.write_report`, from the results.json of the last test.

    The confusion matrix is left out if videos can have several classes.

    Raises:
      FileNotFoundError: no test has been run.
      ValueError: the test was run on other videos or classes than those of the config.
    """
    path = existing(Path(workdir) / "results.json", "eval")
    rows = json.loads(path.read_text(encoding="utf-8"))["videos"]
    if not rows:
        raise ValueError(f"{path}: no video was tested; see its list of failed videos")
    listing = find_samples(config, workdir)
    classes = config.model.num_classes
    names = listing.class_names or (
        class_names(config.class_names, count=classes) if config.class_names else unnamed(classes)
    )
    for row in rows:
        number, most = row["video_id"], max(row["top1_indices"])
        if number >= len(listing.samples) or listing.samples[number].path != row["path"]:
            raise ValueError(
                f"{path}: video {number} is {row['path']}, but {listing.files[0]} has another one "
                "at this position; run --mode eval again"
            )
        if most >= classes:
            raise ValueError(
                f"{path}: class {most} is out of range for a network with {classes} classes"
            )
    shown = {
        "frames": list(_pictures(config, rows, listing.samples, names)),
        "class_names": names,
        "explanation": EXPLANATION,
        "parameters": parameter_count(config),
    }
    if not config.data.multi_label:
        of_class = np.eye(classes, dtype=np.float32)
        labels, predicted = (np.array(column, int) for column in zip(
            *((row["label"], row["top1_indices"][0]) for row in rows), strict=True
        ))
        shown["confusion"] = confusion_matrix(of_class[labels], of_class[predicted])
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
            logging.warning("cannot show %s: %s", row["path"], error)
            continue
        truths = row["label"] if config.data.multi_label else [row["label"]]
        if config.data.multi_label:
            best = zip(row["top5_indices"], row["top5_values"], strict=True)
            predicted = [(k, score) for k, score in best if score >= THRESHOLD]
        else:
            predicted = [(row["top1_indices"][0], row["top1_values"][0])]
        height, width = image.shape[:2]
        yield Picture(
            image=image,
            boxes=np.array([[0, 0, width - 1, height - 1]]),
            truths=[[names[k] for k in truths]],
            predictions=[[(names[k], score) for k, score in predicted]],
            title=os.path.basename(row["path"]),
        )
