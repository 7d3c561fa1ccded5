"""Figures of a test for TensorBoard, as config.test.figures asks for."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from slowfast_jax.config import ConfigError
from slowfast_jax.config.classes import named_by_config
from slowfast_jax.data.video_lists import find_samples
from slowfast_jax.recognizer import Recognizer, load
from slowfast_jax.report.items import read_results
from slowfast_jax.report.plots import matrix_picture
from slowfast_jax.training.writers import add_pictures
from slowfast_jax.visualize.arrays import weight_sheet
from slowfast_jax.visualize.outcomes import (
    chosen_classes,
    mistakes,
    parent_classes,
    read_outcomes,
)
from slowfast_jax.visualize.saved import confusion_matrices, histograms
from slowfast_jax.visualize.video_figures import (
    OF_NETWORK,
    OF_VIDEOS,
    Figure,
    figures_of_videos,
    layers_of,
)
from slowfast_jax.weights import RANDOM

BARS = 10  # in a histogram


def check_figures(config: ConfigDict) -> None:
    """ConfigError if the fields about figures do not fit, as far as is known before a test."""
    test = config.test
    of_videos = [name for name in test.figures if name in OF_VIDEOS]
    if of_videos and config.task == "detection":
        raise ConfigError(
            f"config.test.figures has {', '.join(of_videos)}, which show videos; tests of boxes "
            "have confusion, histograms and weights, and python -m slowfast_jax.visualize "
            "--boxes TABLE shows single boxes"
        )
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
    results = read_results(workdir)
    if not config.test.figures or not results["metrics"]:
        return
    checkpoint = Path(results["fingerprint"].get("weights", "")).name
    step = int(checkpoint) if checkpoint.isdecimal() else 0
    add_pictures(workdir, step, _figures(config, workdir, results))


def _figures(
    config: ConfigDict, workdir: str | os.PathLike, results: Mapping[str, Any]
) -> Iterator[Figure]:
    wanted = set(config.test.figures)
    outcomes = read_outcomes(workdir, config)
    samples = find_samples(config, workdir) if outcomes.paths else None
    if samples and samples.class_names:  # the data may name classes that the config does not
        outcomes = outcomes._replace(names=samples.class_names)
    chosen, parents = _chosen(config, outcomes.names)
    if "confusion" in wanted:
        matrices = [*confusion_matrices(outcomes, (), 1, parents)]
        if chosen:
            _, *some = next(confusion_matrices(outcomes, chosen, 1, None))
            matrices.insert(1, ("confusion_chosen", *some))
        for name, matrix, names, title in matrices:
            yield f"test/{name}", matrix_picture(matrix, names, title=title)
    if "histograms" in wanted:
        yield "test/histograms", histograms(outcomes, chosen, BARS)
    wrong = mistakes(outcomes, chosen)[: config.test.figure_videos]
    if not wrong and wanted & OF_VIDEOS:
        logging.warning(
            "no video was predicted wrongly, so there is nothing to show of %s",
            ", ".join(sorted(wanted & OF_VIDEOS)),
        )
    recognizer = None
    if "weights" in wanted or wrong and wanted & OF_NETWORK:
        recognizer = load(config, results["fingerprint"]["weights"] or RANDOM)
    if "weights" in wanted:
        yield "weights", _weights(recognizer)
    if samples and wrong and wanted & OF_VIDEOS:
        sources = {sample.path: sample.source for sample in samples.samples}
        yield from figures_of_videos(config, recognizer, sources, outcomes, wrong)


def _chosen(config: ConfigDict, names: Sequence[str]) -> tuple[list[int], str]:
    """The chosen classes, [] for all, and the file of parent classes, after a check."""
    classes, parents = config.test.figure_classes, config.test.figure_parents
    if parents:
        parent_classes(parents, names, "config.test.figure_parents")
    chosen = chosen_classes(classes, names, "config.test.figure_classes") if classes else []
    return chosen, parents


def _weights(recognizer: Recognizer):
    """The kernels of config.test.figure_layers, or of the first layer, as they were trained."""
    variables, _ = recognizer.read_again()
    params = variables["params"]
    layers = [layer for layer in layers_of(recognizer.config) if _has_kernel(params, layer)]
    return weight_sheet(recognizer.model, variables, layers)


def _has_kernel(params: Mapping[str, Any], layer: str) -> bool:
    for name in layer.split("/"):
        params = params.get(name, {}) if isinstance(params, Mapping) else {}
    return not isinstance(params, Mapping) or "kernel" in params
