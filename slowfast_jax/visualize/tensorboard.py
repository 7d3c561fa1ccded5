"""Figures of a test for TensorBoard, as config.test.figures asks for."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.stills import look
from slowfast_jax.config import ConfigError
from slowfast_jax.config.classes import named_by_config
from slowfast_jax.data.video_lists import find_samples
from slowfast_jax.recognizer import Recognizer, load
from slowfast_jax.report.colors import overlay
from slowfast_jax.report.items import read_results, spread
from slowfast_jax.report.plots import matrix_picture
from slowfast_jax.report.sheets import Row, captioned, contact_sheet
from slowfast_jax.training.writers import add_pictures
from slowfast_jax.visualize.arrays import input_rows, map_rows
from slowfast_jax.visualize.clips import iterate_parts
from slowfast_jax.visualize.gradcam import make_grad_cam
from slowfast_jax.visualize.indexing import split_index
from slowfast_jax.visualize.layers import layer_maps
from slowfast_jax.visualize.outcomes import (
    Outcomes,
    chosen_classes,
    mistakes,
    parent_classes,
    read_outcomes,
)
from slowfast_jax.visualize.overlays import grad_cam_overlays, part_rows
from slowfast_jax.visualize.saved import FRAMES, confusion_matrices, histograms, strip_of
from slowfast_jax.weights import RANDOM

BARS = 10  # in a histogram
CHANNELS = 8  # of a map
OF_NETWORK = {"inputs", "maps", "gradcam"}  # figures that need the network

Picture = tuple[str, np.ndarray]  # tag, picture


def check_figures(config: ConfigDict) -> None:
    """ConfigError if the fields about figures do not fit, as far as is known before a test."""
    test = config.test
    if "maps" in test.figures and not test.figure_layers:
        raise ConfigError("config.test.figures has maps, but config.test.figure_layers is empty")
    for field in ("figure_classes", "figure_parents"):
        if test[field] and not Path(test[field]).is_file():
            raise ConfigError(f"config.test.{field} is {test[field]}, and there is no such file")
    if names := named_by_config(config):
        _chosen(config, names)


def add_figures(config: ConfigDict, workdir: str | os.PathLike) -> None:
    """Adds the figures of the last test in a folder to its TensorBoard files.

    They have the step of the tested checkpoint, or 0 if it belongs to no run. Videos that cannot be
    shown are logged.
    """
    wanted = config.test.figures
    results = read_results(workdir)
    if not wanted or not results["metrics"]:
        return
    outcomes = read_outcomes(workdir, config)
    samples = find_samples(config, workdir) if outcomes.paths else None
    if samples and samples.class_names:  # the data may name classes that the config does not
        outcomes = outcomes._replace(names=samples.class_names)
    chosen, parents = _chosen(config, outcomes.names)
    pictures: list[Picture] = []
    if "confusion" in wanted:
        for name, matrix, names, title in confusion_matrices(outcomes, chosen, 1, parents):
            pictures.append((f"test/{name}", matrix_picture(matrix, names, title=title)))
    if "histograms" in wanted:
        pictures.append(("test/histograms", histograms(outcomes, chosen, BARS)))
    wrong = mistakes(outcomes)[: config.test.figure_videos]
    if samples and wrong and {"mistakes", *OF_NETWORK} & set(wanted):
        weights = results["fingerprint"]["weights"]
        sources = {sample.path: sample.source for sample in samples.samples}
        pictures += _of_videos(config, sources, outcomes, wrong, weights)
    checkpoint = Path(results["fingerprint"].get("weights", "")).name
    step = int(checkpoint) if checkpoint.isdecimal() else 0
    add_pictures(workdir, step, dict(pictures))


def _chosen(config: ConfigDict, names: Sequence[str]) -> tuple[list[int], str]:
    """The chosen classes, [] for all, and the file of parent classes, after a check."""
    classes, parents = config.test.figure_classes, config.test.figure_parents
    if parents:
        parent_classes(parents, names, "config.test.figure_parents")
    chosen = chosen_classes(classes, names, "config.test.figure_classes") if classes else []
    return chosen, parents


def _of_videos(
    config: ConfigDict, sources: Mapping[str, Video], outcomes: Outcomes, wrong: Sequence[int],
    weights: str,
) -> Iterator[Picture]:
    """Pictures of wrongly predicted videos."""
    wanted = config.test.figures
    recognizer = None
    if OF_NETWORK & set(wanted):
        recognizer = load(config, weights or RANDOM)
    explain = make_grad_cam(recognizer.model, _layers(config)) if "gradcam" in wanted else None
    for place, number in enumerate(wrong):
        path = outcomes.paths[number]
        caption = _caption(outcomes, number)
        try:
            if "mistakes" in wanted:
                yield f"mistakes/{place}", _mistake(sources[path], caption)
            if recognizer is None:
                continue
            part = next(iterate_parts(sources[path], recognizer.config))
            if "inputs" in wanted:
                rows = input_rows(recognizer.model, part.clip, caption)
                yield f"inputs/{place}", contact_sheet([*rows], height=112)
            if "maps" in wanted:
                yield f"maps/{place}", contact_sheet(_maps(recognizer, part.clip), title=caption)
            if explain:
                best = int(outcomes.scores[number].argmax())
                rows = [
                    row for label in (*np.flatnonzero(outcomes.labels[number]), best)
                    for row in part_rows(
                        part, grad_cam_overlays(recognizer, explain, part.clip, int(label)), overlay
                    )
                ]
                yield f"gradcam/{place}", contact_sheet(rows, title=caption)
        except VideoError as error:
            logging.warning("cannot show %s: %s", path, error)


def _caption(outcomes: Outcomes, number: int) -> str:
    best = int(outcomes.scores[number].argmax())
    true = ", ".join(outcomes.names[k] for k in np.flatnonzero(outcomes.labels[number]))
    score = outcomes.scores[number, best]
    name = os.path.basename(outcomes.paths[number])
    return f"true: {true}; predicted: {outcomes.names[best]} {score:.2f}; {name}"


def _mistake(source: Video, caption: str) -> np.ndarray:
    _, frames = look(source, lambda info: spread(info.frames, FRAMES))
    return captioned(strip_of(list(frames)), caption)


def _layers(config: ConfigDict) -> list[str]:
    return list(dict.fromkeys(split_index(layer)[0] for layer in config.test.figure_layers))


def _maps(recognizer: Recognizer, clip: np.ndarray) -> list[Row]:
    wanted = [split_index(layer) for layer in recognizer.config.test.figure_layers]
    names = _layers(recognizer.config)
    maps = layer_maps(recognizer.model, recognizer.variables, clip[None], names)
    return [
        row for name, index in wanted
        for row in map_rows(name, np.asarray(maps[name][0]), index, CHANNELS, "viridis")
    ]
