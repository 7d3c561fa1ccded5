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
from slowfast_jax.report.sheets import INK, Row, captioned, contact_sheet
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
HEIGHT = LEAST_WIDTH = 180  # pixels of the pictures of a film

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
        true, predicted = _classes(outcomes, number)
        caption = f"{true}; {predicted}; {os.path.basename(path)}"
        try:
            if "mistakes" in wanted:
                yield from _mistake(sources[path], true, predicted, f"mistakes/{place}")
            if recognizer is None:
                continue
            part = next(iterate_parts(sources[path], recognizer.config))
            if "inputs" in wanted:
                yield f"inputs/{place}", contact_sheet(
                    [*input_rows(recognizer.model, part.clip, caption)], height=112
                )
                yield from _input_films(recognizer, part, true, predicted, f"inputs/{place}")
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


def _classes(outcomes: Outcomes, number: int) -> tuple[str, str]:
    """The true and the predicted classes of an example, for captions."""
    best = int(outcomes.scores[number].argmax())
    true = ", ".join(outcomes.names[k] for k in np.flatnonzero(outcomes.labels[number]))
    score = outcomes.scores[number, best]
    return f"true: {true}", f"predicted: {outcomes.names[best]} {score:.2f}"


def _mistake(source: Video, true: str, predicted: str, tag: str) -> Iterator[Figure]:
    _, frames = look(source, lambda info: spread(info.frames, WHOLE_FRAMES))
    few = [frames[n] for n in spread(len(frames), FRAMES)]
    yield tag, captioned(strip_of(few), f"{true}\n{predicted}")
    panels = [_panel(frame, f"{true}\n{predicted}") for frame in frames]
    yield f"{tag}/film", Film(np.stack(panels), WHOLE_FPS)


def _input_films(
    recognizer: Recognizer, part: Part, true: str, predicted: str, tag: str
) -> Iterator[Figure]:
    for name, indices in recognizer.model.pathways(len(part.clip)).items():
        film = _film(part, indices, lambda n: _panel(part.clip[n], f"{true}\n{predicted}"))
        yield f"{tag}/{name}", film


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
    clip, *maps = (row for overlays in found for row in part_rows(part, overlays, overlay))
    rows = [clip, *(row for row in maps if row.caption != clip.caption)]
    yield tag, contact_sheet(rows, title=caption)
    for shown in zip(*found, strict=True):  # the same layer for each class
        def panels(n: int, shown: Sequence[Overlay] = shown) -> np.ndarray:
            (at,) = np.flatnonzero(shown[0].indices == n)
            frame = part.clip[n]
            mixed = [_panel(overlay(frame, one.values[at]), one.caption) for one in shown]
            return np.concatenate([_panel(frame, part.title), *mixed], 1)

        yield f"{tag}/{shown[0].name}", _film(part, shown[0].indices, panels)


def _film(part: Part, indices: np.ndarray, panels: Callable[[int], np.ndarray]) -> Film:
    """The frames `indices` of a clip as long as in the video."""
    shown = indices[spread(len(indices), MOST_FRAMES)]
    seconds = max(part.end - part.begin, 0.1)
    return Film(np.stack([panels(int(n)) for n in shown]), len(shown) / seconds)


def _panel(picture: np.ndarray, caption: str) -> np.ndarray:
    """A picture, reduced, with a caption that a narrow one has room for, too."""
    image = Image.fromarray(picture)
    if image.height > HEIGHT:
        image = image.resize((round(image.width * HEIGHT / image.height), HEIGHT))
    if image.width < LEAST_WIDTH:
        wide = Image.new("RGB", (LEAST_WIDTH, image.height), INK)
        wide.paste(image, ((LEAST_WIDTH - image.width) // 2, 0))
        image = wide
    return captioned(np.asarray(image), caption)
