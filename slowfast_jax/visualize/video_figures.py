"""Figures of the wrongly predicted videos of a test for TensorBoard: pictures, and films."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from absl import logging
from ml_collections import ConfigDict
from PIL import Image

from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.stills import look
from slowfast_jax.recognizer import Recognizer
from slowfast_jax.report.colors import overlay
from slowfast_jax.report.items import spread
from slowfast_jax.report.sheets import Row, captioned, contact_sheet
from slowfast_jax.training.writers import Film
from slowfast_jax.visualize.arrays import input_rows, map_rows
from slowfast_jax.visualize.clips import Part, iterate_parts
from slowfast_jax.visualize.gradcam import GradCam, make_grad_cam
from slowfast_jax.visualize.indexing import split_index
from slowfast_jax.visualize.layers import make_layer_maps
from slowfast_jax.visualize.outcomes import Outcomes
from slowfast_jax.visualize.overlays import Overlay, grad_cam_overlays, part_rows
from slowfast_jax.visualize.saved import FRAMES, strip_of

OF_NETWORK = {"inputs", "maps", "gradcam"}  # figures that need the network
OF_VIDEOS = {"mistakes", *OF_NETWORK}
CHANNELS = 8  # of a map
MOST_FRAMES = 16  # of a film of a clip
WHOLE_FRAMES, WHOLE_FPS = 24, 8  # of a film of a whole video
HEIGHT = 160  # pixels of a film

Figure = tuple[str, np.ndarray | Film]  # tag, picture or film


def figures_of_videos(
    config: ConfigDict, recognizer: Recognizer | None, sources: Mapping[str, Video],
    outcomes: Outcomes, wrong: Sequence[int],
) -> Iterator[Figure]:
    """The figures that config.test.figures asks for. Videos that cannot be shown are logged.

    Args:
      config: the config of the test.
      recognizer: the network, unless only `mistakes` are asked for.
      sources: path -> what to read.
      outcomes: of the test.
      wrong: the examples to show.
    """
    wanted = config.test.figures
    explain = read = None
    if "gradcam" in wanted:
        explain = make_grad_cam(recognizer.model, layers_of(config))
    if "maps" in wanted:
        read = make_layer_maps(recognizer.model, layers_of(config))
    for place, number in enumerate(wrong):
        path = outcomes.paths[number]
        caption = _caption(outcomes, number)
        try:
            if "mistakes" in wanted:
                yield from _mistake(sources[path], caption, f"mistakes/{place}")
            if recognizer is None:
                continue
            part = next(iterate_parts(sources[path], recognizer.config))
            if "inputs" in wanted:
                yield from _inputs(recognizer, part, caption, f"inputs/{place}")
            if read:
                maps = read(recognizer.variables, part.clip[None])
                yield f"maps/{place}", contact_sheet(_map_rows(config, maps), title=caption)
            if explain:
                labels = np.flatnonzero(outcomes.labels[number]).tolist()
                labels.append(int(outcomes.scores[number].argmax()))
                yield from _grad_cam(
                    recognizer, explain, part, labels, caption, f"gradcam/{place}"
                )
        except VideoError as error:
            logging.warning("cannot show %s: %s", path, error)


def layers_of(config: ConfigDict) -> list[str]:
    """The layers of config.test.figure_layers, without their indices."""
    return list(dict.fromkeys(split_index(layer)[0] for layer in config.test.figure_layers))


def _caption(outcomes: Outcomes, number: int) -> str:
    best = int(outcomes.scores[number].argmax())
    true = ", ".join(outcomes.names[k] for k in np.flatnonzero(outcomes.labels[number]))
    score = outcomes.scores[number, best]
    name = os.path.basename(outcomes.paths[number])
    return f"true: {true}; predicted: {outcomes.names[best]} {score:.2f}; {name}"


def _mistake(source: Video, caption: str, tag: str) -> Iterator[Figure]:
    _, frames = look(source, lambda info: spread(info.frames, WHOLE_FRAMES))
    few = [frames[n] for n in spread(len(frames), FRAMES)]
    yield tag, captioned(strip_of(few), caption)
    yield f"{tag}/film", Film(np.stack([_panels([frame], caption) for frame in frames]), WHOLE_FPS)


def _inputs(recognizer: Recognizer, part: Part, caption: str, tag: str) -> Iterator[Figure]:
    yield tag, contact_sheet([*input_rows(recognizer.model, part.clip, caption)], height=112)
    for name, indices in recognizer.model.pathways(len(part.clip)).items():
        yield f"{tag}/{name}", _film(part, indices, lambda n: _panels([part.clip[n]], caption))


def _map_rows(config: ConfigDict, maps: Mapping[str, np.ndarray]) -> list[Row]:
    return [
        row for name, index in map(split_index, config.test.figure_layers)
        for row in map_rows(name, np.asarray(maps[name][0]), index, CHANNELS, "viridis")
    ]


def _grad_cam(
    recognizer: Recognizer, explain: Callable[..., GradCam], part: Part, labels: Sequence[int],
    caption: str, tag: str,
) -> Iterator[Figure]:
    """A sheet, and for each layer a film of the clip beside the maps for the classes."""
    found = [grad_cam_overlays(recognizer, explain, part.clip, label) for label in labels]
    rows = [row for overlays in found for row in part_rows(part, overlays, overlay)]
    yield tag, contact_sheet(rows, title=caption)
    for shown in zip(*found, strict=True):  # the same layer for each class
        def panels(n: int, shown: Sequence[Overlay] = shown) -> np.ndarray:
            (at,) = np.flatnonzero(shown[0].indices == n)
            frame = part.clip[n]
            mixed = [overlay(frame, one.values[at]) for one in shown]
            names = "; ".join(one.caption for one in shown)
            return _panels([frame, *mixed], f"{shown[0].name}: {names}")

        yield f"{tag}/{shown[0].name}", _film(part, shown[0].indices, panels)


def _film(part: Part, indices: np.ndarray, panels: Callable[[int], np.ndarray]) -> Film:
    """The frames `indices` of a clip as long as in the video."""
    shown = indices[spread(len(indices), MOST_FRAMES)]
    seconds = max(part.end - part.begin, 0.1)
    return Film(np.stack([panels(int(n)) for n in shown]), len(shown) / seconds)


def _panels(pictures: Sequence[np.ndarray], caption: str) -> np.ndarray:
    """Pictures of one size side by side, reduced, above a caption."""
    whole = Image.fromarray(np.concatenate(pictures, 1))
    if whole.height > HEIGHT:
        whole = whole.resize((round(whole.width * HEIGHT / whole.height), HEIGHT))
    return captioned(np.asarray(whole), caption)
