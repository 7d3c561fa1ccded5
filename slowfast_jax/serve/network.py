"""What a service runs: an exported file, or anything that `slowfast_jax.load` takes."""

import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.transforms.resize import short_side_size
from slowfast_jax.run_exported import load_exported

Shape = tuple[int, int, int, int]  # (T, H, W, 3) of a clip
ASPECT_RATIOS = ((16, 9), (4, 3))  # width, height
MAX_BOXES = 16


class Served(NamedTuple):
    """A network that classifies videos, or boxes at moments of videos.

    Attributes:
      run: uint8 clips (N, T, H, W, 3) -> scores (N, K); for boxes, these clips and boxes
        (N, max_boxes, 4) -> (N, max_boxes, K).
      shapes: those of clips, (T, H, W, 3).
      name: its name.
      classes: names of the K classes.
      sampling: keywords of `data_pipelines.examples.eval_views.iterate_views`.
      ensemble: how the scores of a video's clips are combined, "sum" or "max".
      batch: the only N that `run` takes; None: any.
      max_boxes: boxes per clip; 0 for a network that classifies whole videos.
    """

    run: Callable[..., Any]
    shapes: Sequence[Shape]
    name: str
    classes: Sequence[str]
    sampling: Mapping[str, Any]
    ensemble: str
    batch: int | None
    max_boxes: int = 0

    def examples(self) -> Iterator[tuple[np.ndarray, ...]]:
        """Inputs of `run` for a single clip, in each shape."""
        for shape in self.shapes:
            clip = np.zeros((1, *shape), np.uint8)
            if not self.max_boxes:
                yield (clip,)
                continue
            _, height, width, _ = shape
            whole = np.float32([0, 0, width, height])
            yield clip, np.tile(whole, (1, self.max_boxes, 1))


def find_network(
    spec: str, weights: str | None, *,
    aspect_ratios: Sequence[tuple[int, int]] | None = None, max_boxes: int | None = None,
    **options: Any,
) -> Served:
    """The network of an exported file, or of what `load` takes.

    Args:
      aspect_ratios: (width, height) of the frames for which a network that classifies boxes is
        compiled; default: ASPECT_RATIOS.
      max_boxes: boxes per clip of such a network; default: MAX_BOXES.
      options: further ones of `load`, such as `clips` and `backend`. An exported file takes none of
        these but those that are None, except for max_boxes if it takes any number of boxes.

    Raises:
      ValueError, OSError: it cannot be loaded, or an option is not for such a network.
    """
    if os.path.isfile(spec) and zipfile.is_zipfile(spec):
        if weights:
            raise ValueError(f"--weights does not go with {spec}, a file that holds its weights")
        return _exported(spec, max_boxes, options | {"aspect_ratios": aspect_ratios})
    if not weights and not os.path.isdir(spec):
        raise ValueError(
            f"--weights is required: {spec} is neither a folder of this project nor an exported "
            "file, which would hold its weights"
        )
    from slowfast_jax.inference.multiview import view_options
    from slowfast_jax.recognizer import load

    options = {name: value for name, value in options.items() if value is not None}
    recognizer = load(spec, weights, **options)
    _check_options(
        spec, recognizer.takes_boxes, aspect_ratios=aspect_ratios, max_boxes=max_boxes,
        clips=options.get("clips"), crops=options.get("crops"),
    )
    protocol = recognizer.config.protocol
    frames, side = protocol.num_frames, protocol.test_crop
    sizes = [(side, side)]
    if recognizer.takes_boxes:
        sizes = [
            short_side_size(height * side, width * side, side)
            for width, height in aspect_ratios or ASPECT_RATIOS
        ]
    return Served(
        recognizer, [(frames, *size, 3) for size in sizes], recognizer.config.name,
        recognizer.class_names, view_options(recognizer.config), protocol.ensemble, None,
        (max_boxes or MAX_BOXES) if recognizer.takes_boxes else 0,
    )


def _exported(spec: str, max_boxes: int | None, options: Mapping[str, Any]) -> Served:
    run, about = load_exported(spec)
    if about.box_count is not None:
        options = options | {"max_boxes": max_boxes}
    if given := [f"--{name.replace('_', '-')}" for name, value in options.items()
                 if value is not None]:
        raise ValueError(
            f"{', '.join(given)}: {spec} is an exported file, which is run as it was exported"
        )
    _check_options(spec, about.boxes, max_boxes=max_boxes)
    return Served(
        run, [(about.frames, about.height, about.width, 3)], about.name, about.classes,
        about.sampling, about.ensemble, about.batch,
        (about.box_count or max_boxes or MAX_BOXES) if about.boxes else 0,
    )


def _check_options(spec: str, boxes: bool, **options: Any) -> None:
    """ValueError for options of networks that classify boxes, or whole videos, for the others."""
    of_boxes = ("aspect_ratios", "max_boxes")
    for name, value in options.items():
        if value is not None and (name in of_boxes) != boxes:
            kind, other = ("boxes", "whole videos") if boxes else ("whole videos", "boxes")
            raise ValueError(
                f"--{name.replace('_', '-')} is for networks that classify {other}; {spec} "
                f"classifies {kind}"
            )
