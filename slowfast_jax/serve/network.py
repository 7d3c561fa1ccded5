"""What a service runs: an exported file, or anything that `slowfast_jax.load` takes."""

import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from slowfast_jax.run_exported import load_exported


class Served(NamedTuple):
    """A network that classifies videos.

    Attributes:
      run: uint8 clips (N, T, H, W, 3) -> scores (N, K).
      clip: (T, H, W, 3).
      name: its name.
      classes: names of the K classes.
      sampling: keywords of `data_pipelines.examples.eval_views.iterate_views`.
      ensemble: how the scores of a video's clips are combined, "sum" or "max".
      batch: the only N that `run` takes; None: any.
    """

    run: Callable[[np.ndarray], Any]
    clip: Sequence[int]
    name: str
    classes: Sequence[str]
    sampling: Mapping[str, Any]
    ensemble: str
    batch: int | None


def find_network(spec: str, weights: str | None, **options: Any) -> Served:
    """The network of an exported file, or of what `load` takes.

    Args:
      options: further ones of `load`, such as `clips` and `backend`. An exported file takes none
        but those that are None.

    Raises:
      ValueError, OSError: it cannot be loaded, or classifies boxes.
    """
    if os.path.isfile(spec) and zipfile.is_zipfile(spec):
        if weights:
            raise ValueError(f"--weights does not go with {spec}, a file that holds its weights")
        if given := [f"--{name}" for name, value in options.items() if value is not None]:
            raise ValueError(
                f"{', '.join(given)}: {spec} is an exported file, which is run as it was exported"
            )
        run, about = load_exported(spec)
        _refuse_boxes(spec, about.boxes)
        return Served(
            run, (about.frames, about.height, about.width, 3), about.name, about.classes,
            about.sampling, about.ensemble, about.batch,
        )
    if not weights and not os.path.isdir(spec):
        raise ValueError(
            f"--weights is required: {spec} is neither a folder of this project nor an exported "
            "file, which would hold its weights"
        )
    from slowfast_jax.inference.multiview import view_options
    from slowfast_jax.recognizer import load

    options = {name: value for name, value in options.items() if value is not None}
    recognizer = load(spec, weights, **options)
    _refuse_boxes(spec, recognizer.takes_boxes)
    protocol = recognizer.config.protocol
    side = protocol.test_crop
    return Served(
        recognizer, (protocol.num_frames, side, side, 3), recognizer.config.name,
        recognizer.class_names, view_options(recognizer.config), protocol.ensemble, None,
    )


def _refuse_boxes(spec: str, boxes: bool) -> None:
    if boxes:
        raise ValueError(f"{spec} classifies boxes; the service classifies whole videos")
