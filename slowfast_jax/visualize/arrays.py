"""Feature maps, weights and inputs as contact sheets."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.video import Video
from slowfast_jax.config import ConfigError, closest
from slowfast_jax.inference.multiview import view_options, views_of
from slowfast_jax.models.base import VideoNetwork
from slowfast_jax.recognizer import Recognizer
from slowfast_jax.report.colors import colored, spread_out
from slowfast_jax.report.drawing import BLUE, draw_boxes
from slowfast_jax.report.items import spread
from slowfast_jax.report.sheets import Row, contact_sheet
from slowfast_jax.visualize.clips import load_frames, parts_of, second_of
from slowfast_jax.visualize.indexing import split_index, tiles
from slowfast_jax.visualize.layers import make_layer_maps

MOST_FRAMES = 8  # in a row
MOST_TILES = 64  # of an array
MOST_VIEWS = 30
TILES = 8  # in a row of an array
KERNEL = {
    5: ("time", "height", "width", "in", "out"), 3: ("time", "in", "out"), 2: ("in", "out"),
    1: ("channel",),
}
MAP = ("time", "height", "width", "channel")


def make_feature_sheet(
    recognizer: Recognizer, layers: Sequence[str], *, channels: int = 8, colormap: str = "viridis"
) -> Callable[..., np.ndarray]:
    """Makes the function `draw(video, at=None, keyframes=())`.

    It draws maps of layers for the clip at a second of a video, by default its first, or at a
    keyframe of a network that classifies boxes: uint8 (H, W, 3). Each channel is stretched to the
    whole range of colors on its own.

    Args:
      recognizer: the network.
      layers: names of layers or endpoints, with or without an index for their maps
        (time, height, width, channel).
      channels: how many are shown where no index chooses any: those with the highest mean.
      colormap: name of a color map.

    Raises ConfigError if an index is invalid. The function raises it if a layer does not exist, or
    an index does not fit; and VideoError if the video cannot be decoded, or is shorter.
    """
    wanted = [split_index(layer) for layer in layers]
    read = make_layer_maps(recognizer.model, list(dict.fromkeys(name for name, _ in wanted)))

    def draw(
        video: Video, at: float | None = None, keyframes: Sequence[Keyframe] = ()
    ) -> np.ndarray:
        part = next(parts_of(video, recognizer.config, at, keyframes))
        boxes = None if part.box is None else part.box[None, None]
        maps = read(recognizer.variables, part.clip[None], boxes)
        shown = part.clip[spread(len(part.clip), MOST_FRAMES)]
        rows = [Row(f"input, {part.title}", list(shown))]
        for name, index in wanted:
            rows += map_rows(name, np.asarray(maps[name][0]), index, channels, colormap)
        return contact_sheet(rows, title=recognizer.config.name, height=112)

    return draw


def map_rows(
    name: str, values: np.ndarray, index: tuple, channels: int, colormap: str
) -> Iterator[Row]:
    """Rows of a contact sheet for a map (T, H, W, C)."""
    size = " x ".join(map(str, values.shape))
    if index:
        yield from _tile_rows(f"{name} ({size})", values, MAP, index, colormap, shared=False)
        return
    strongest = np.argsort(-values.mean((0, 1, 2)), kind="stable")[:channels]
    frames = spread(len(values), MOST_FRAMES)
    for channel in strongest.tolist():
        part = values[frames, :, :, channel]
        yield Row(f"{name} ({size}), channel {channel}", list(colored(spread_out(part), colormap)))


def weight_sheet(
    model: VideoNetwork, variables: dict, layers: Sequence[str], colormap: str = "viridis"
) -> np.ndarray:
    """Arrays of a network's variables: uint8 (H, W, 3). The middle of the colors is 0.

    Args:
      model: the network.
      variables: its variables.
      layers: paths of arrays, "stem/conv/kernel" (or of modules, whose kernels are shown), with or
        without an index. Default: the first kernel that has a height and width.
      colormap: name of a color map.

    Raises ConfigError if an array does not exist, or an index does not fit.
    """
    arrays = {
        jax.tree_util.keystr(path, simple=True, separator="/").partition("/")[2]: leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(dict(variables))
    }
    kernels = [name for name in arrays if name.endswith("kernel")]
    stem = [name for name in kernels if "stem" in name or "patch" in name]
    # X3D's stem begins with kernels of time only, in which nothing can be seen.
    wide = [name for name in stem if max(arrays[name].shape[1:3]) > 1]
    rows: list[Row] = []
    for layer in layers or [*wide, *stem, *kernels][:1]:
        name, index = split_index(layer)
        name = f"{name}/kernel" if f"{name}/kernel" in arrays else name
        if name not in arrays:
            some = [kernel for kernel in kernels if kernel.startswith(f"{name}/")] or kernels
            raise ConfigError(
                f"the network has no weights {name}{closest(name, arrays)} (for example "
                f"{', '.join(some[:3])})"
            )
        values = np.asarray(arrays[name], np.float32)
        axes = KERNEL.get(values.ndim, tuple(f"axis {n}" for n in range(values.ndim)))
        size = " x ".join(map(str, values.shape))
        title = f"{layer} ({size}; {values.min():.3g} to {values.max():.3g})"
        rows += _tile_rows(title, values, axes, index, colormap, shared=True)
    return contact_sheet(rows, title=type(model).__name__, height=84)


def _tile_rows(
    title: str, values: np.ndarray, axes: Sequence[str], index: tuple, colormap: str, *,
    shared: bool,
) -> Iterator[Row]:
    """Rows with the parts of an array. shared: one range of colors for all, symmetric about 0."""
    found = tiles(values, axes, index, title.partition(" (")[0])
    scale = np.abs(found.pictures).max() or 1.0
    pictures, count = [], len(found.pictures)
    for picture in found.pictures[:MOST_TILES]:
        level = 0.5 + picture / (2 * scale) if shared else spread_out(picture)
        if level.ndim == 3:  # in color
            pictures.append((255 * level).round().astype(np.uint8))
        else:
            pictures.append(colored(level, colormap))
    which = f", the first {MOST_TILES} of {count} parts" if count > MOST_TILES else ""
    yield Row(f"{title}{which}", ())
    length = found.moments if 1 < found.moments <= TILES else TILES
    for start in range(0, len(pictures), length):
        names = [name for name in found.captions[start : start + length] if name]
        yield Row(
            f"{names[0]} to {names[-1]}" if len(names) > 1 else "".join(names),
            pictures[start : start + length],
        )


def input_sheet(
    recognizer: Recognizer, video: Video, keyframes: Sequence[Keyframe] = ()
) -> np.ndarray:
    """What the network sees of a video in a test: the frames of each view, by pathway.

    keyframes: those of the video, for networks that classify boxes.

    Raises VideoError if the video cannot be decoded.
    """
    model, config = recognizer.model, recognizer.config
    seen = _keyframe_clips(config, keyframes) if keyframes else _views(config, video)
    rows = [
        row for place, clip in itertools.islice(seen, MOST_VIEWS)
        for row in input_rows(model, clip, place)
    ]
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (model.mean, model.std))
    low, high = ((limit - np.array(model.mean)) / np.array(model.std) for limit in (0, 1))
    title = (
        f"{config.name}: mean {mean} and std {std} make pixels 0..255 to "
        f"{low.min():.2f}..{high.max():.2f}"
    )
    return contact_sheet(rows, title=title, height=112)


def _views(config: ConfigDict, video: Video) -> Iterator[tuple[str, np.ndarray]]:
    """The views of a video, each with its place."""
    crops = config.protocol.crops
    views = (view for clips in views_of(video, view_options(config)) for view in clips)
    for number, clip in enumerate(views):
        yield f"clip {number // crops}, crop {number % crops}", clip


def _keyframe_clips(
    config: ConfigDict, keyframes: Sequence[Keyframe]
) -> Iterator[tuple[str, np.ndarray]]:
    """The clip around each keyframe with its boxes drawn into it, and its place."""
    for keyframe in keyframes:
        frames, boxes = load_frames(keyframe, config)
        clip = frames[:: max(config.protocol.sampling_rate, 1)]
        numbers = [str(number + 1) for number in range(len(boxes))]
        drawn = [draw_boxes(frame, boxes, numbers, [BLUE] * len(boxes)) for frame in clip]
        yield f"around {second_of(keyframe):g} s", np.stack(drawn)


def input_rows(model: VideoNetwork, clip: np.ndarray, place: str) -> Iterator[Row]:
    """Rows with the frames of a clip that each pathway of a network sees."""
    pathways = model.pathways(len(clip))
    for name, indices in pathways.items():
        shown = spread(len(indices), MOST_FRAMES)
        which = f", {name} pathway" if len(pathways) > 1 else ""
        size = " x ".join(map(str, (len(indices), *clip.shape[1:])))
        some = "" if len(shown) == len(indices) else f"; {len(shown)} of them"
        yield Row(f"{place}{which}: {size}{some}", list(clip[indices[shown]]))

