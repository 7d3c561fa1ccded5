"""What a command line names besides the weights: loaded and checked before these are read."""

import argparse
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from data_pipelines.command import explain
from data_pipelines.labels import unnamed
from slowfast_jax.demo.choice import Choice, choose
from slowfast_jax.demo.film.fonts import Face, open_face
from slowfast_jax.demo.stages.given_boxes import Table, read_table
from slowfast_jax.detectors.detections import Detector
from slowfast_jax.detectors.load import DEFAULT, FRAME, PUBLISHED, check_detector, load_detector
from slowfast_jax.detectors.tracking import LOW_SCORE, import_trackers
from slowfast_jax.option_names import as_options

if TYPE_CHECKING:
    from ml_collections import ConfigDict


class Parts(NamedTuple):
    """What a command line names besides the weights, as far as it needs no download.

    Attributes:
      config: of the network; None if it comes with weights on the hub.
      boxes, truths: the tables of --boxes and --ground-truth; truths are None, too, if the class
        names come with the weights.
      detector: that of a file, or "frame".
      face: the font of --font.
    """

    config: "ConfigDict | None" = None
    boxes: Table | None = None
    truths: Table | None = None
    detector: Detector | None = None
    face: Face | None = None

    def with_detector(self, arguments: argparse.Namespace, takes_boxes: bool) -> "Parts":
        """With the detector that is asked for, or that the network needs; it may be downloaded."""
        name = _detector_name(arguments, takes_boxes)
        if self.detector or not name:
            return self
        return self._replace(detector=_open_detector(arguments, name))

    def with_tables(
        self, arguments: argparse.Namespace, videos: Collection[str], config: "ConfigDict",
        names: Sequence[str],
    ) -> "Parts":
        """With the tables whose reading needs the config or the class names of the weights."""
        boxes, truths = self.boxes, self.truths
        if arguments.boxes and self.config is None:
            boxes = _read_boxes(arguments, videos, config)
        if arguments.ground_truth and truths is None:
            truths = _read_truths(arguments, videos, names)
        return self._replace(boxes=boxes, truths=truths)


def load_parts(arguments: argparse.Namespace, videos: Collection[str]) -> tuple[Parts, list[str]]:
    """Loads what the arguments name; returns it and what is wrong with it.

    Args:
      arguments: what `arguments.parse` returned.
      videos: the files and folders that were found for the sources; empty if the source is live.
    """
    problems: list[str] = []

    def attempt(flag: str, make: Callable[[], Any]) -> Any:
        """What `make` returns, or None. flag: what the problem begins with; "" for nothing."""
        try:
            return make()
        except (OSError, ValueError) as error:
            lines = as_options(explain(error)).splitlines()
            problems.extend(f"{flag}: {line}" if flag else line for line in lines)
            return None

    config, names, boxes, truths, detector, face = None, [], None, None, None, None
    if arguments.config or os.path.isdir(arguments.weights):
        flag = "--config" if arguments.config else "--weights"
        config = attempt(flag, lambda: _config_of(arguments))
    if config is not None:
        names = attempt("--labels", lambda: _known_names(arguments, config)) or []
    if names:
        attempt("--classes", lambda: choose(names, several=False, only=arguments.classes))
        common = arguments.common_classes
        attempt("--common-classes", lambda: choose(names, several=False, common=common))
    if arguments.boxes and os.path.isfile(arguments.boxes):
        boxes = attempt("--boxes", lambda: _read_boxes(arguments, videos, config))
    if arguments.ground_truth and os.path.isfile(arguments.ground_truth) and names:
        truths = attempt("--ground-truth", lambda: _read_truths(arguments, videos, names))
    takes_boxes = config is not None and config.model.get("detection", False)
    if name := _detector_name(arguments, takes_boxes):
        detector = attempt("", lambda: _checked_detector(arguments, name))
    if takes_boxes and arguments.window:
        problems.append(
            f"--window is for networks that classify clips; {config.name} recognizes people, at "
            "moments that are --stride seconds apart"
        )
    if arguments.font and os.path.isfile(arguments.font):
        face = attempt("", lambda: open_face(arguments.font))
    return Parts(config, boxes, truths, detector, face), problems


def choice_of(arguments: argparse.Namespace, names: Sequence[str], *, several: bool) -> Choice:
    """The labels to show; see `choose`."""
    return choose(
        names, several=several, top_k=arguments.top_k, threshold=arguments.threshold,
        rare_threshold=arguments.rare_threshold, common=arguments.common_classes,
        only=arguments.classes,
    )


def _read_boxes(
    arguments: argparse.Namespace, videos: Collection[str], config: "ConfigDict | None"
) -> Table:
    """The table of --boxes; boxes with too low a score for the network are dropped."""
    threshold = config.data.get("score_threshold", 0.0) if config is not None else 0.0
    return read_table(
        arguments.boxes, videos, None, first_second=arguments.first_second,
        score_threshold=threshold,
    )


def _read_truths(
    arguments: argparse.Namespace, videos: Collection[str], names: Sequence[str]
) -> Table:
    """The table of --ground-truth."""
    return read_table(
        arguments.ground_truth, videos, names, first_second=arguments.first_second
    )


def _detector_name(arguments: argparse.Namespace, takes_boxes: bool) -> str:
    """The detector that is asked for, or that the network needs; "" for none."""
    return arguments.detector or (DEFAULT if takes_boxes and not arguments.boxes else "")


def _open_detector(arguments: argparse.Namespace, name: str) -> Detector:
    """The detector of that name, which is downloaded if that is necessary."""
    return load_detector(name, threshold=min(LOW_SCORE, arguments.detector_threshold))


def _checked_detector(arguments: argparse.Namespace, name: str) -> Detector | None:
    """The detector; None for one that may have to be downloaded. Checks that it can be used."""
    check_detector(name)
    if name != FRAME:
        import_trackers()
    return None if name in PUBLISHED else _open_detector(arguments, name)


def _config_of(arguments: argparse.Namespace) -> "ConfigDict":
    # Imported here so that --help does not wait for JAX.
    from slowfast_jax.inference.load_options import named_config
    from slowfast_jax.weights import stored_config

    if not arguments.config:
        return stored_config(arguments.weights)[0]
    return named_config(arguments.config, alone=False)


def _known_names(arguments: argparse.Namespace, config: "ConfigDict") -> list[str]:
    """The class names as far as they are known before the weights are read; they may be none."""
    from slowfast_jax.config import ConfigError
    from slowfast_jax.inference.load_options import resolve_classes
    from slowfast_jax.weights import stored_config

    names = resolve_classes(config, arguments.labels, None)
    if names != unnamed(len(names)):
        return names
    if os.path.isdir(arguments.weights):
        with suppress(ConfigError):  # weights of another program
            names = stored_config(arguments.weights)[1]
    return [] if names == unnamed(len(names)) else names
