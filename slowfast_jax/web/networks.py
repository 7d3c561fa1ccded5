"""The networks that the page offers, with what finds persons for those that classify boxes."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from slowfast_jax.detectors.detections import Detector
from slowfast_jax.detectors.load import FRAME, load_detector
from slowfast_jax.detectors.tracking import LOW_SCORE
from slowfast_jax.recognizer import Recognizer, load


class Network(NamedTuple):
    """A network, and the detector of persons that it needs; None if it needs none."""

    recognizer: Recognizer
    detector: Detector | None = None


def load_networks(
    configs: Sequence[str], weights: Sequence[str], detector: str, **options: str
) -> dict[str, Network]:
    """Loads the networks of the command line: name -> network.

    Args:
      configs: none, or one for each of `weights`; without them, weights are folders, which store
        their config.
      weights: of each network.
      detector: what finds persons, as `load_detector` takes it.
      options: further ones of `load`.

    Raises:
      ValueError, OSError: they do not fit each other, or one cannot be loaded.
    """
    if configs and len(configs) != len(weights):
        raise ValueError(
            f"{len(configs)} --config and {len(weights)} --weights; expected one --weights for "
            "each --config, in the same order"
        )
    if missing := [path for path in weights if not configs and not os.path.isdir(path)]:
        raise ValueError(
            f"--config is required: {missing[0]} is no folder, and only folders store their config"
        )
    sources = list(zip(configs, weights, strict=True)) if configs else [(w, None) for w in weights]
    recognizers = [load(spec, path, **options) for spec, path in sources]
    finds = None
    if any(recognizer.takes_boxes for recognizer in recognizers):
        finds = load_detector(detector, threshold=None if detector == FRAME else LOW_SCORE)
    networks: dict[str, Network] = {}
    for recognizer, path in zip(recognizers, weights, strict=True):
        name = recognizer.config.name
        if name in networks:  # the same network with other weights
            name = f"{name} ({path})"
        networks[name] = Network(recognizer, finds if recognizer.takes_boxes else None)
    return networks
