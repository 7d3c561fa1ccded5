"""Content of a classification report: frames with classes, a video, and the confusion matrix."""

import json
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from ml_collections import ConfigDict
from PIL import Image, ImageOps

from data_pipelines.labels import class_names, unnamed
from data_pipelines.sources.video_lists import Sample
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.stills import look, middle, play
from slowfast_jax.data.video_lists import find_samples
from slowfast_jax.metrics.confusion import confusion_matrix
from slowfast_jax.report.items import Picture, Video, existing, parameter_count, spread

THRESHOLD = 0.5  # minimum score of a predicted label where videos can have several
PICTURES = 12  # in the report
VIDEOS = 6  # in the annotated video
SECONDS = 5  # of each
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
    of_test = config, listing.samples, names
    shown = {
        "frames": list(_pictures([rows[n] for n in spread(len(rows), PICTURES)], *of_test)),
        "mistakes": list(_pictures(_mistakes(config, rows), *of_test)),
        "video": _video([rows[n] for n in spread(len(rows), VIDEOS)], *of_test),
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


def _mistakes(config: ConfigDict, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows whose best class is wrong and predicted, the most confident first."""
    least = THRESHOLD if config.data.multi_label else 0.0
    wrong = [
        row for row in rows
        if row["top1_indices"][0] not in np.atleast_1d(row["label"])
        and row["top1_values"][0] >= least
    ]
    return sorted(wrong, key=lambda row: -row["top1_values"][0])[:PICTURES]


def _pictures(
    rows: Sequence[dict[str, Any]],
    config: ConfigDict,
    samples: Sequence[Sample],
    names: Sequence[str],
) -> Iterator[Picture]:
    """The middle frames of the videos of rows."""
    for row in rows:
        try:
            image = middle(samples[row["video_id"]].source)
        except VideoError as error:
            logging.warning("cannot show %s: %s", row["path"], error)
            continue
        yield _picture(config, row, image, names)


def _picture(
    config: ConfigDict, row: dict[str, Any], image: np.ndarray, names: Sequence[str]
) -> Picture:
    truths = row["label"] if config.data.multi_label else [row["label"]]
    if config.data.multi_label:
        best = zip(row["top5_indices"], row["top5_values"], strict=True)
        predicted = [(k, score) for k, score in best if score >= THRESHOLD]
    else:
        predicted = [(row["top1_indices"][0], row["top1_values"][0])]
    height, width = image.shape[:2]
    return Picture(
        image=image,
        boxes=np.array([[0, 0, width - 1, height - 1]]),
        truths=[[names[k] for k in truths]],
        predictions=[[(names[k], score) for k, score in predicted]],
        title=os.path.basename(row["path"]),
    )


def _video(
    rows: Sequence[dict[str, Any]],
    config: ConfigDict,
    samples: Sequence[Sample],
    names: Sequence[str],
) -> Video | None:
    """The beginnings of the videos of rows, one after the other, in the size of the first; None for
    single images."""
    shown, form = [], None
    for row in rows if config.protocol.num_frames > 1 else ():
        try:
            info, first = look(samples[row["video_id"]].source, lambda _: [0])
        except VideoError as error:
            logging.warning("left out of the annotated video: %s", error)
            continue
        fps = info.fps or config.protocol.target_fps
        form = form or (fps, first.shape[2], first.shape[1])
        shown.append((row, fps))
    if form is None:
        return None
    parts = (_played(config, row, samples[row["video_id"]], fps, form, names) for row, fps in shown)
    return Video(
        Fraction(form[0]).limit_denominator(1001), (picture for part in parts for picture in part),
        f"The first {SECONDS} seconds of some videos, with the classes predicted for the whole "
        "videos.",
    )


def _played(
    config: ConfigDict, row: dict[str, Any], sample: Sample, fps: float,
    form: tuple[float, int, int], names: Sequence[str],
) -> Iterator[Picture]:
    """The first seconds of a video at the rate and in the size of `form`, (fps, width, height)."""
    rate, *size = form
    shown = 0
    try:
        for number, image in play(sample.source, 0, round(SECONDS * fps)):
            while shown / rate <= number / fps:
                fitted = np.asarray(ImageOps.pad(Image.fromarray(image), size))
                yield _picture(config, row, fitted, names)
                shown += 1
    except VideoError as error:
        logging.warning("the annotated video of %s ends early: %s", row["path"], error)
